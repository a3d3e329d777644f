"""`python -m psij_parsl.cli` is `psij-run`."""

import sys

from . import program

sys.exit(program())
