#!/bin/sh
# Eight hosts, sixteen ranks on each, two threads for each rank
#PBS -N ocean_2km
#PBS -P climate
#PBS -q normal
#PBS -l select=8:ncpus=32:mpiprocs=16:ompthreads=2:mem=120gb
#PBS -l place=scatter:excl
#PBS -l walltime=36:00:00
#PBS -j oe -o /scratch/u/ocean.log
#PBS -m abe -M user@example.org
#PBS -r n -p 100
#PBS -W umask=027,group_list=ocean
#PBS -v YEAR=1999,TZ

module load mpi
mpirun ./ocean.x namelist."$YEAR"
