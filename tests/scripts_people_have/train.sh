#!/bin/bash -l
#SBATCH --job-name=finetune
#SBATCH --array=1-7:3%2                # folds, two at a time
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --gres=gpu:1
#SBATCH --mem-per-cpu=200M
#SBATCH --time=0-00:10:00
#SBATCH --output=logs/%x-%A_%a.out
#SBATCH --error=logs/%x-%A_%a.err
#SBATCH --mail-type=END,FAIL
#SBATCH --mail-user=user@example.org

export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
shopt -q login_shell && echo "login shell: yes"
./seen --fold "$SLURM_ARRAY_TASK_ID" --of "$SLURM_ARRAY_TASK_MAX"
echo "warning: no data" >&2
