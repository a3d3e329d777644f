#!/bin/sh
#FLUX: -xN1 -n4

#FLUX: -t 30
#FLUX: --gpus-per-slot=1
flux run -n4 -g1 ./a.out
