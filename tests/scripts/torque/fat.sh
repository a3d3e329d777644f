#!/bin/bash
# lines of a site with properties of nodes, and of its own submit command
#PBS -l nodes=2:ppn=8:bigmem+1:ppn=4
#PBS -l feature=fast
#PBS -L tasks=2:lprocs=4
#PBS -q batch@elsewhere
#PBS -W stageout=out.dat@files:/data/out.dat
#PBS -T pre.sh
#PBS -l walltime=30:00
./fat
