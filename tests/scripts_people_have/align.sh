#!/bin/sh
#$ -N align -cwd
#$ -t 3-9:3
#$ -tc 2
#$ -l h_rt=600
#$ -l h_vmem=1G

./seen sample$SGE_TASK_ID
echo "step: $SGE_TASK_STEPSIZE"
#$ -v MODEL=late
