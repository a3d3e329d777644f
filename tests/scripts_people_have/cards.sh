#!/bin/sh
#SBATCH -G 2 -t 5
#SBATCH -n 2

./seen
