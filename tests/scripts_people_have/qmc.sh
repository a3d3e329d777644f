#!/bin/bash
#$ -N qmc
#$ -cwd
#$ -pe rr 4
#$ -l h_rt=0:5:0
#$ -o qmc.out
#$ -e qmc.err
#$ -q all.q

./seen $NSLOTS
