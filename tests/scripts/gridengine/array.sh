#!/bin/sh
#$	-t 3-99:3   -tc 10
#$   -pe   smp   4
#$ -l h_rt=0:90:,mem=1500m
#$ -l 'gpu=1'
#$ -wd "/scratch/u/run 7"
#$ -o $HOME/out/
#$ -e :$USER-$HOSTNAME/e.$JOB_ID.$TASK_ID
#$ -v MODEL=v2,SEED
#$ -A bio-0042
#$ -h -notify
#$ -a 203101020304.05
#$ -terse -sync n
#$ -ckpt blcr -c sx
#$ -hard

./sweep "$SGE_TASK_ID"
