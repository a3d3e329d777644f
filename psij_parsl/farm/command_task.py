"""A command of `map` in a worker: its output comes back with its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from subprocess import DEVNULL
from tempfile import TemporaryFile
from typing import IO

from ..parsl import worker
from ..resources.host import name as host_name
from .node_task import end_group, exit_code, not_started, started


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
    with TemporaryFile() as stdout, TemporaryFile() as stderr:  # what it leaves behind may hold pipes open
        try:
            process = started(argv, worker.environment(), stdin=DEVNULL, stdout=stdout, stderr=stderr)
            code = exit_code(process.wait())
            end_group(process.pid)
        except (OSError, ValueError) as error:
            code, why = not_started(error)
            return CommandEnd(code, host_name(), error=why)
        finally:
            worker.ended()
        return CommandEnd(code, host_name(), _text(stdout), _text(stderr))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
