#!/bin/bash -l
#PBS -N potentials
#PBS -l select=4:system=polaris
#PBS -l place=scatter
#PBS -l walltime=0:30:00
#PBS -l filesystems=home:eagle
#PBS -q prod
#PBS -A Materials
#PBS -k doe
#PBS -V

cd "$PBS_O_WORKDIR"
NODES=$(sort -u "$PBS_NODEFILE" | wc -l)
mpiexec -n $((NODES * 4)) --ppn 4 --depth 8 ./fit input.yaml
#PBS -l walltime=9:00:00
