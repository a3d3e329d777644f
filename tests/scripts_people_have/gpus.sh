#!/bin/sh
#SBATCH --job-name="two cards"
#SBATCH -G 2
#SBATCH --nodes=1
#SBATCH --ntasks=2
#SBATCH --time=00:10:00
#SBATCH --qos=normal
#SBATCH --account=proj1
#SBATCH --requeue

./seen
