"""A command of `map` in a worker: its output comes back with its end."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from ..parsl import worker
from ..resources.host import name as host_name
from .node_task import exit_code, not_started


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a command ended, and all that it wrote; bytes that are no UTF-8 are replaced."""

    exit_code: int
    host: str
    stdout: str = ""
    stderr: str = ""
    error: str = ""


def run_command(argv: Sequence[str]) -> CommandEnd:
    """Run it to its end, in a session of its own."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=worker.environment(),
            start_new_session=True,
            preexec_fn=worker.in_child,
        )
    except (OSError, ValueError) as error:
        code, why = not_started(argv[0], error)
        return CommandEnd(code, host_name(), error=why)
    worker.started(process.pid)
    try:
        stdout, stderr = process.communicate()
    finally:
        worker.started(0)
    texts = [data.decode(errors="replace") for data in (stdout, stderr)]
    return CommandEnd(exit_code(process.returncode), host_name(), *texts)
