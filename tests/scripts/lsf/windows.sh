#!/bin/bash
#BSUB -n 24
#BSUB -R "span[ptile=12]"
#BSUB -R 'rusage[mem=64GB/host]'
#BSUB -W 0:30
#BSUB -G chem

mpirun ./a.out
