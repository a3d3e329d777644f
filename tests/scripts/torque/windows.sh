#!/bin/bash
#PBS -N one
#PBS -l ncpus=4
#PBS -l walltime=1:30:00

./one
#PBS -h
