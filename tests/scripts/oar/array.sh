#!/bin/sh
#OAR   --array 20
#OAR	-l/core=8,walltime=0:45:30  
#OAR --name=fold
#OAR --array-param-file params.txt
#OAR -i /home/u/.ssh/key
#OAR -r 2026-12-01 08:00:00

./fold "$OAR_ARRAY_INDEX"
