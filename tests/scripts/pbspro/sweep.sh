#!/bin/bash
#PBS -N sweep
#PBS -J 1-99:2%8
#PBS -W depend=afterok:4711.pbs01:4712.pbs01,afterany:4713.pbs01
#PBS -l select=2:ncpus=6:mpiprocs=3:ngpus=1:mem=10gb,walltime=45:30
#PBS -o logs/ -e logs/^array_index^.err
#PBS -a 202812312330
#PBS -W sandbox=PRIVATE
#PBS -l software=solver,cput=100:00:00

set -e
./solve --case "$PBS_ARRAY_INDEX"
