#!/bin/bash
# eight ranks with a GPU each
# flux: --job-name=train
# flux: -N 2 -n 8 -c6 -g 1

# flux: --time-limit=1.5h
# flux: --queue=pbatch --bank="ml lab"   # the old one
# flux: # --urgency=20
# flux: --output=logs/{{name}}-{{id}}.out
# flux: --error='logs/{{jobid.dec}} {x}.err'
# flux: --setattr=system.bank=mlteam
# flux: --conf="""
# flux: [resource]
# flux: exclude = "0"  # not the first
# flux: # --nodes=7
# flux: """
# flux: -o mpi=spectrum --setattr=user.note='''two words'''
# flux: --urgency=24

module load rocm
flux run -N2 -n8 -g1 python train.py
