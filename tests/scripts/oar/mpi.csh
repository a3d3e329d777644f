#!/bin/tcsh
# Four nodes of one cluster
#OAR -l /cluster=1/nodes=4/core=16,walltime=2:30
#OAR -d /scratch/u/run 7
  #OAR -q never
##OAR -q never
#OARSUB -q never
#OAR -t allow_classic_ssh
#OAR -a 1234
#OAR --anterior 1240
#OAR -k
#OAR --hold
#OAR --stagein /data/in.tgz

source /etc/profile.d/modules.csh
mpirun -machinefile $OAR_NODEFILE ./solver
#OAR -q long
