#!/bin/csh -f
#SBATCH -J wrf
#SBATCH -N 4
#SBATCH --ntasks-per-node=8 -c 16 --threads-per-core=2
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH -t 2-01:01
#SBATCH -q regular -C cpu
#SBATCH -L scratch:1
#SBATCH --signal=B:USR1@120
#SBATCH --open-mode=append
#SBATCH -H
#SBATCH --requeue --nice=100
#SBATCH --distribution=block:cyclic
#SBATCH --switches=2@10:00
#SBATCH --export-file=vars.txt

setenv OMP_NUM_THREADS 16
srun --cpu-bind=cores ./wrf.exe
