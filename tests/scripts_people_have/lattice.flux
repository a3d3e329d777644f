#!/bin/sh
# flux: --job-name=lattice
# flux: -N1 -n4 -c1
# flux: -t 10m
# flux: --output=lattice.{{id}}.out

./seen
