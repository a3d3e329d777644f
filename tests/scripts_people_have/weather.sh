#!/bin/bash
#
# Forecast on two nodes
#
#SBATCH -J forecast -N 2
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=2   # OpenMP threads
#SBATCH -t 15
#SBATCH -p debug
##SBATCH --mem=64G

#SBATCH --mem=1G

set -e
cd "$SLURM_SUBMIT_DIR"
./seen "$@"
srun sh -c 'echo "rank: $SLURM_PROCID on $(hostname)"'
#SBATCH --time=99
