#!/bin/bash
#$ -N win
#$ -pe threaded 8
#$ -l h_rt=3600
#$ -i in.txt

./a.out
