#!/bin/bash
#PBS -N relax_pbs
#PBS -l select=1:ncpus=2:mpiprocs=2:mem=300mb
#PBS -l walltime=00:05:00
#PBS -j oe
#SBATCH --job-name=relax_slurm
#SBATCH --ntasks=3
#SBATCH --time=00:07:00

cd "${PBS_O_WORKDIR:-${SLURM_SUBMIT_DIR:-.}}"
./seen
