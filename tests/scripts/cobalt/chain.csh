#!/bin/csh
#COBALT   --nodecount=1	-t 45 -h
#COBALT --dependencies 1041:1042 --env MODEL=v2:URL=http\://host\:80:EMPTY=
#COBALT --env SEED=7
#COBALT --cwd /projects/lab/run -i in.txt -o out.$COBALT_JOBID -O all
#COBALT --attrs location=1001-1004 -u 027 --run_project
#COBALT	--queue vip
./step2
