"""A task on its node: what a worker does with it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..parsl import worker
from ..resources.host import name as host_name
from . import spawner
from .task import Task, TaskEnd


def run(task: Task) -> TaskEnd:
    """Run its command to the end; what it leaves behind ends, too."""
    began = ended = time.time()
    handles: list[int] = []
    error = ""
    try:
        os.chdir(task.directory or ".")
        handles = spawner.opened(*map(os.fsencode, (task.stdin, task.stdout, task.stderr)))
        environment = {**worker.environment(), **task.environment}
        process = started(task.argv, environment, **dict(zip(("stdin", "stdout", "stderr"), handles, strict=True)))
        code = exit_code(process.wait())
        ended = time.time()
        end_group(process.pid)
    except (OSError, ValueError) as problem:
        code, error = not_started(problem)
    finally:
        worker.ended()
        for handle in handles:
            os.close(handle)
    return TaskEnd(task.number, code, host_name(), began, ended, error)


def started(argv: Sequence[str], environment: Mapping[str, str], **streams: Any) -> subprocess.Popen[bytes]:
    """A command that runs in a session of its own, and ends with this worker. Raises `OSError`, `ValueError`."""
    words: list[bytes] = [*map(os.fsencode, argv)]
    file = spawner.program(words[0], os.fsencode(environment.get("PATH", os.defpath)))
    settings: dict[str, Any] = {
        "env": environment,
        "start_new_session": True,
        "preexec_fn": worker.in_child,
        **streams,
    }
    with worker.starting() as note:
        try:
            process = subprocess.Popen(words, executable=file, **settings)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise OSError(error.errno, f"{argv[0]} cannot be started: {error.strerror}") from error
            process = subprocess.Popen(
                [b"sh", file, *words[1:]], executable=b"/bin/sh", **settings
            )  # as shells have it
        note(process.pid)
    return process


def end_group(group: int) -> None:
    """End what a command that has ended left behind: TERM, and KILL soon after."""
    until = time.monotonic() + spawner.LEFT_S
    number = int(signal.SIGTERM)
    while True:
        worker.reap()  # those whose parents have ended are ours
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):  # nothing, or no longer ours
            return
        time.sleep(spawner.LOOK_S)
        number = signal.SIGKILL if time.monotonic() > until else 0


def exit_code(code: int) -> int:
    """That of a shell: 128 + the signal that ended it."""
    return 128 - code if code < 0 else code


def not_started(error: OSError | ValueError) -> tuple[int, str]:
    """The exit code, as a shell has it, and the reason."""
    if not isinstance(error, OSError):
        return 125, str(error)
    if error.filename is not None:  # its directory, or a file of its own
        return 125, f"{os.fsdecode(error.filename)}: {error.strerror}"
    return spawner.CODES.get(error.errno or 0, 125), error.strerror or str(error)
