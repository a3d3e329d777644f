#!/bin/bash
#HTCONDOR universe = parallel
#HTCONDOR machine_count = 4
#HTCONDOR request_cpus = 16
#HTCONDOR environment = A=1;B=two
#HTCONDOR queue

mpirun ./solver
