#!/bin/bash
#SBATCH --job-name=scaling
#SBATCH --nodes=2-3
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --switches=1
#SBATCH --time=00:08:00
#SBATCH --signal=B:USR1@60
#SBATCH --comment="strong scaling"

./seen $SLURM_JOB_NUM_NODES
