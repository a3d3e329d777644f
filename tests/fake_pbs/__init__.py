"""A simulated PBS: a program that is qsub, qstat, qdel, ... and keeps its state in a file.

It really runs the scripts, as a mom does, and answers as OpenPBS 23.06.06 was seen to (tests/recorded/openpbs), exit
codes included. `server.py` starts one for a test and makes it fail in the ways that the field knows.
"""
