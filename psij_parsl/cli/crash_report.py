"""An error that no command expects: one sentence for the person, and where nobody foresaw it the traceback in a file."""

from __future__ import annotations

import os
import shlex
import time
import traceback
from collections.abc import Sequence

from ..errors import Error, InvalidRequest
from ..system.files import SHORT, home, private_folder, write_whole


def describe(error: BaseException, words: Sequence[str]) -> Error:
    """The sentence. Writes the traceback below the state directory where it can, unless the cause is plain."""
    if isinstance(error, OSError) and (plain := _plain(error)) is not None:
        return plain
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    message = f"psij-run stumbled over something that nobody foresaw ({said})"
    try:
        path = private_folder(home() / "crashes") / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        trace = "".join(traceback.format_exception(error))
        write_whole(path, f"psij-run {shlex.join(words)}\n{trace}")
    except Exception:  # noqa: BLE001 - the disk may be what is broken
        return Error(message, hint="set PSIJ_PARSL_DEBUG=1 to see the whole traceback")
    return Error(message, hint=f"the traceback is in {path}; please report it")


def _plain(error: OSError) -> Error | None:
    """What this system, or the way that we were started, leaves us without."""
    try:
        os.getcwd()
    except FileNotFoundError:
        if isinstance(error, FileNotFoundError):
            return InvalidRequest(
                "the working directory is not there any more",
                hint="cd to one that is; a job can be given one with -D",
            )
    if error.errno in SHORT:
        return Error(f"this process can have no more: {error.strerror}", hint="`ulimit -a` shows its limits")
    return None
