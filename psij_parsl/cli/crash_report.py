"""Unexpected errors: one sentence for the person, and the traceback in a file if the cause is not obvious."""

from __future__ import annotations

import os
import shlex
import time
import traceback
from collections.abc import Sequence

from ..errors import Error, InvalidRequest
from ..system.files import SHORT, home, private_folder, write_whole


def describe(error: BaseException, args: Sequence[str]) -> Error:
    """The error to print. Writes the traceback below the state directory if possible, unless the cause is obvious."""
    if isinstance(error, OSError) and (system_error := _system_error(error)) is not None:
        return system_error
    summary = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    message = f"unexpected error in psij-run ({summary})"
    try:
        path = private_folder(home() / "crashes") / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        trace = "".join(traceback.format_exception(error))
        write_whole(path, f"psij-run {shlex.join(args)}\n{trace}")
    except Exception:  # noqa: BLE001 - the disk may be what is broken
        return Error(message, hint="set PSIJ_PARSL_DEBUG=1 to see the whole traceback")
    return Error(message, hint=f"the traceback is in {path}; please report it")


def _system_error(error: OSError) -> Error | None:
    """The error for a missing working directory, or for a resource of the system that is used up."""
    try:
        os.getcwd()
    except FileNotFoundError:
        if isinstance(error, FileNotFoundError):
            return InvalidRequest(
                "the working directory does not exist any more",
                hint="cd to another directory; -D gives a job its directory",
            )
    if error.errno in SHORT:
        return Error(f"this process has reached a limit: {error.strerror}", hint="`ulimit -a` shows its limits")
    return None
