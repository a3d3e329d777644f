#!/usr/bin/env perl
#OAR -l /nodes=8,walltime=1:00:00
#OAR --resource nodes=4,walltime=2:00:00
#OAR -n ocean
use strict;

print "$ENV{OAR_JOB_ID}\n";
