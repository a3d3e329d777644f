#!/bin/tcsh
#PBS -S /bin/tcsh
#PBS -N	scan    # of all cases
#PBS -t 1-20,31,40-49%5
##PBS -t 1
#SBATCH --array=1-2
#PBS -l procs=12
#PBS -W depend=afterokarray:812[].head:813[].head,afterany:900.head
#PBS -o out/$PBS_JOBNAME.$PBS_ARRAYID
#PBS -v MODEL,LEVELS=3
#PBS -l nice=10
#PBS -p -5

./scan $PBS_ARRAYID
