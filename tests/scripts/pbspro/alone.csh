#!/bin/csh -f
#
#PBS -N "protein"
#PBS -l select=1
#PBS -l mem=2147483648
#PBS -l pmem=1500mb
#PBS -l walltime=12:00:00
#PBS -l nice=5

setenv OMP_NUM_THREADS 1
# the next line is one of the script's own
echo '#PBS -q other'
./fold >& fold.log
