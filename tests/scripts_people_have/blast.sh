#!/bin/bash
#$ -N blast
#$ -cwd
#$ -j y
#$ -pe smp 4
#$ -l h_vmem=500M,h_rt=00:10:00
#$ -S /bin/bash
#$ -V
#$ -m e -M user@example.org

./seen -num_threads $NSLOTS
