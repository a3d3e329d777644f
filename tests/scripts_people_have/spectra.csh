#!/bin/csh -f
#SBATCH -J spectra
#SBATCH -n 4
#SBATCH --mem=400
#SBATCH -t 0:10:0
#SBATCH --open-mode=append
#SBATCH -o spectra.log

setenv OMP_NUM_THREADS 1
if ( $?SLURM_NTASKS ) echo "tasks: $SLURM_NTASKS"
./seen $argv
