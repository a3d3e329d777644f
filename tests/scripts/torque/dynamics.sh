#!/bin/bash
#PBS -N dynamics
#PBS -l nodes=4:ppn=16
#PBS -l walltime=48:00:00,pmem=3gb
#PBS -l naccesspolicy=singlejob
#PBS -q batch -A chem
#PBS -j oe
#PBS -o $PBS_O_WORKDIR/dynamics.log
#PBS -m ae
#PBS -M user@example.org
#PBS -W x=PARTITION:west

cd $PBS_O_WORKDIR
mpirun -machinefile $PBS_NODEFILE -np $PBS_NP ./md in.lj
