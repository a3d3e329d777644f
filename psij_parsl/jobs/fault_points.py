"""The places at which a test may kill a process that submits."""

from __future__ import annotations

import os
import signal


def fault_point(step: str) -> None:
    """Mark a step of a submission. With $PSIJ_PARSL_FAULT set to its name the process is killed right there.

    Steps: folder, written, intended, submitted, committed.
    """
    if os.environ.get("PSIJ_PARSL_FAULT") == step:
        os.kill(os.getpid(), signal.SIGKILL)
