"""`launch`: its help, and words that its own reader (`launching.py`) leaves to typer."""

from __future__ import annotations

import typer

from ..arguments import ProgramWords
from ..options import Chosen, job_flags
from . import launching


def _launch(ctx: typer.Context, chosen: Chosen, command: ProgramWords = None) -> int:
    """Start a run inside an allocation, on nodes, cores and GPUs of its own.

    Waits until there is room beside other runs, binds each rank, shows its output, hands signals on, and exits with
    the run's code.
    """
    return launching.launch(ctx.obj, chosen, command)


launch = job_flags(_launch, launching.LAUNCH_FLAGS)
