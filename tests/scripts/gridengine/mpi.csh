#!/bin/csh -f
#$ -S /bin/csh
#$ -N lbm.3d
#$ -pe openmpi 48-96
#$ -l h_rt=86400,s_rt=23:50:0
#$ -l mem_free=2.5g,h_vmem=3G
#$ -l ngpus=1
#$ -l hostname=node0[1-4]
#$ -R y -r n
#$ -p -100
#$ -hold_jid 4711,prep_lbm
#$ -masterq big.q
#$ -binding set linear:4
#$ -w e

mpirun -np $NSLOTS ./lbm

#$ -l infiniband=TRUE
# The line above counts, although it stands below the command.
#$ -soft -l h=node09
