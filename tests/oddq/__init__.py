"""oddq, a small manager that is like Grid Engine, OAR, LSF, HTCondor and Cobalt where these are not like Slurm.

It really runs jobs. Its platform is written on docs/how-to/odd-managers.md, and nowhere else.
"""
