#!/bin/bash -l
#SBATCH --job-name=sweep
#SBATCH --array=0-15:3,99%4
#SBATCH --ntasks=2          # two ranks, where there is room
#SBATCH --gres=gpu:a100:2
#SBATCH --time=24:00:00
#SBATCH --mem-per-cpu=4G
#SBATCH -o logs/%x-%A_%4a.out
#SBATCH -e logs/100%%-%j.err
#SBATCH -A bio-0042 -p gpu,gpu-long
#SBATCH --mail-type=END,FAIL
#SBATCH --mail-user=user@example.org

module load cuda/12.4
srun python train.py --fold "$SLURM_ARRAY_TASK_ID"
