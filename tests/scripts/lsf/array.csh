#!/bin/tcsh
#BSUB -J "sweep[1-100:3,250]%8"
#BSUB -o logs/%J_%I.log
#BSUB -W 90
#BSUB -R "rusage[mem=4GB]"
#BSUB -M 6000MB
#BSUB -r
#BSUB -cwd /scratch/me/sweep
#BSUB -env "all, MODEL=v2, SEED"
#BSUB -b 20:30
#BSUB -x -H
#BSUB -R "2*{select[type==any] rusage[mem=1GB]} + 4*{order[ut]}"
#BSUB -L /bin/tcsh
#BSUB -m "node1 node2"
#BSUB -c 3:00

./one $LSB_JOBINDEX
