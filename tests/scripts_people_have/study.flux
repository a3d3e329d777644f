#!/bin/bash
#flux: --nodes=2
#flux: --nslots=4
#flux: --cores-per-slot=2
#flux: --time-limit=300s
#flux: --bank=proj1
#flux: --setattr=user.study=7

./seen "$FLUX_JOB_NNODES"
