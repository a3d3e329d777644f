#!/bin/bash -l
# Three hosts; the last one has fewer ranks.
#BSUB -J "storm"   # name of the job
#BSUB   -P  meteo-17
  #BSUB -q "long idle"
#BSUB -n 40
#BSUB -R "span[ptile=16] affinity[core(2)]"
#BSUB -R "rusage[mem=2GB/task]" -W 36:30
#BSUB -o storm.%J.out
#BSUB -N -u me@example.org
##BSUB -n 99
#BSUB: -n 98
#BSUB hello -n 97

module load openmpi
mpirun ./storm.exe
cat <<END
#BSUB -We 30:00
END
