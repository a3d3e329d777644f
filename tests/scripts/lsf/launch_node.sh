#!/bin/bash
#BSUB -nnodes 16
#BSUB -W 1:45
#BSUB -P fusion
#BSUB -q batch -J plasma
#BSUB -alloc_flags "nvme smt2"
#BSUB -jsm d

jsrun -n 96 -a 1 -c 7 -g 1 ./plasma
