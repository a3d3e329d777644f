#!/bin/bash
#PBS -l select=1:ncpus=4:mem=16gb+2:ncpus=8:mpiprocs=8:mem=32gb
#PBS -l place=pack
#PBS -q workq@other
#PBS -W stagein=in.dat@files:/data/in.dat
#PBS -W block=true -z

./coupled
