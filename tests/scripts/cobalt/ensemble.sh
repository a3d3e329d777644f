#!/bin/bash -l
#COBALT -n 128 -t 3:00:00   --proccount 8192
#COBALT -q default -A lattice
#COBALT --attrs mcdram=cache:numa=quad:filesystems=home,grand
#COBALT -O runs/$jobid --jobname hmc
#COBALT -M user@example.org --debuglog runs/hmc.cobaltlog
#COBALT --mode script
#
#COBALT -n 1 --held

aprun -n 8192 -N 64 -d 1 -j 1 ./hmc.x input.xml
