#!/bin/csh -f
# Lines are read up to the first empty one.
#HTCONDOR Description=relax
#HTCONDOR   REQUEST_CPUS   =8
#HTCONDOR request_memory = 1.5G
 #HTCONDOR request_cpus = 1
#HTCONDORS = 1
#HTCONDOR nice_user = True
#HTCONDOR queue index in 7,11

#HTCONDOR request_cpus = 2
./relax
