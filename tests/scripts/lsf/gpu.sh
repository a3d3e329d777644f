#!/bin/sh
#BSUB -q gpuv100
#BSUB -J train
#BSUB -n 4 -R span[hosts=1]
#BSUB -gpu "num=2:mode=exclusive_process:gmodel=TeslaV100"
#BSUB -R "select[gpu32gb]"
#BSUB -R "rusage[mem=8GB] order[ut]"
#BSUB -M 10GB
#BSUB -W 24:00
#BSUB -oo train.out
#BSUB -eo train.%J.err
#BSUB -B
#BSUB -wa 'USR2' -wt '10'
#BSUB -w "done(4711) && ended(4712[3])"

nvidia-smi
python train.py
