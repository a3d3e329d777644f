"""What the managers have in common whose `qsub` reads `#PBS` lines: they grew from one program, OpenPBS 2.3.

A platform imports no other one, so it stands here: `options` for their tables of option lines, `jobs` for their
templates and schedulers. What differs is the platform's own.
"""
