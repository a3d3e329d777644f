#!/bin/bash
#PBS -N train
#PBS -l select=1:ncpus=16:ngpus=2:mem=64gb
#PBS -l walltime=02:00:00

python train.py
#PBS -N late
