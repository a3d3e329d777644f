#!/bin/bash
#SBATCH --job-name=from-windows
#SBATCH -N 1
#SBATCH --ntasks=3
#SBATCH --time=00:02:00
#SBATCH -o out.txt

./seen "$@"
exit 0
