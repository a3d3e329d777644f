#!/bin/sh
#COBALT -n 2 -A viz
#COBALT -t 0 --geom 4x4x4x4x2
#COBALT --mode c16
./render
