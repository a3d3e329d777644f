#!/bin/bash
#SBATCH --dependency=afterok:1234:1235,afterany:77
#SBATCH --begin=now+2hours
#SBATCH --export=ALL,MODEL=v2,SEED
#SBATCH -n10 -N3
#SBATCH --time=UNLIMITED
#SBATCH --chdir="/scratch/u/run 7"
#SBATCH --clusters=west
#SBATCH --tmp=20G

./step2
#SBATCH --ntasks=99
