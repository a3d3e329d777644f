#!/bin/bash
#PBS -N ocean
#PBS -l select=2:ncpus=4:mpiprocs=2:ompthreads=2:mem=1gb
#PBS -l place=scatter
#PBS -l walltime=00:20:00
#PBS -j oe
#PBS -m abe -M user@example.org
#PBS -q workq

cd $PBS_O_WORKDIR
./seen $(wc -l < $PBS_NODEFILE) ranks
