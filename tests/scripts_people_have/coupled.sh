#!/bin/bash
#SBATCH --job-name=coupled
#SBATCH -N 1 -n 2 -t 10
#SBATCH hetjob
#SBATCH -N 1 -n 4

srun --het-group=0,1 ./seen
