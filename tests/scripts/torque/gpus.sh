#!/bin/sh
#PBS -l nodes=1:ppn=8:gpus=2
#PBS -l mem=32gb
#PBS -l walltime=7200
#PBS -d /home/u/train
#PBS -n
#PBS -V -z
#PBS -r n
#PBS -F "--epochs 10"
#PBS -e logs/${PBS_JOBID}.err -o logs/
python train.py "$@"
#PBS -l nodes=9
