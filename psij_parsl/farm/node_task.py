"""A task on its node: what a worker does with it."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import ExitStack
from typing import Any

from ..parsl import worker
from ..resources.host import name as host_name
from .task import Task, TaskEnd


def run(task: Task) -> TaskEnd:
    """Run its command to the end, in a session of its own."""
    began = time.time()
    error = ""
    try:
        with ExitStack() as files:
            process = _started(task, files)
        worker.started(process.pid)
        code = exit_code(process.wait())
    except (OSError, ValueError) as problem:
        code, error = not_started(task.argv[0], problem)
    finally:
        worker.started(0)
    return TaskEnd(task.number, code, host_name(), began, time.time(), error)


def _started(task: Task, files: ExitStack) -> subprocess.Popen[bytes]:
    def opened(path: str, mode: str) -> Any:
        return files.enter_context(open(os.path.join(task.directory, path), mode)) if path else subprocess.DEVNULL

    stdout = opened(task.stdout, "wb")
    return subprocess.Popen(
        task.argv,
        stdin=opened(task.stdin, "rb"),
        stdout=stdout,
        stderr=opened(task.stderr, "wb") if task.stderr else stdout,
        cwd=task.directory or None,
        env={**worker.environment(), **task.environment},
        start_new_session=True,
        preexec_fn=worker.in_child,
    )


def exit_code(code: int) -> int:
    """That of a shell: 128 + the signal that ended it."""
    return 128 - code if code < 0 else code


def not_started(program: str, error: OSError | ValueError) -> tuple[int, str]:
    """The exit code, as a shell has it, and the reason."""
    if not isinstance(error, OSError):
        return 125, f"{program!r} cannot be started: {error}"
    reason, path = error.strerror or str(error), error.filename or program
    if path != program:  # its directory, or a file of its own
        return 125, f"{path}: {reason}"
    codes = {FileNotFoundError: 127, PermissionError: 126}
    return codes.get(type(error), 125), f"{program!r} cannot be started: {reason}"
