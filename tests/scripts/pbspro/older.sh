#!/bin/bash
#SBATCH --nodes=16
#PBS -lnodes=2:ppn=4,walltime=3600
#SBATCH --time=10
#PBS -N		both_ways   # the tabs are as people have them
##PBS -N off
 #PBS -N indented
#PBSPro -N no
#PBS -S /bin/bash -h
#PBS -e errors/^array_index^.txt
#PBS -I

mpirun -np 8 ./a.out
