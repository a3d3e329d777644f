"""Parsl's interchange, which ends with the workflow that started it: `python -m psij_parsl.parsl.interchange`.

Parsl's own lives on when the workflow is killed, and its worker pools with it, until their wall time is over.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

_POLL_INTERVAL_S = 2.0


def command() -> list[str]:
    """The command that starts it, for `interchange_launch_cmd`; it needs no activated environment."""
    return [sys.executable, "-m", __name__]


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_INTERVAL_S)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(os.getppid(),), name="end-with-workflow", daemon=True).start()
    runpy.run_module("parsl.executors.high_throughput.interchange", run_name="__main__", alter_sys=True)
