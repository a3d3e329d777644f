"""An error that nobody foresaw: one sentence for the person, the traceback in a file for us."""

from __future__ import annotations

import os
import shlex
import time
import traceback
from collections.abc import Sequence

from ..errors import Error
from ..files import home, private_folder, write_whole


def describe(error: BaseException, words: Sequence[str]) -> Error:
    """The sentence. Writes the traceback below the state directory where it can."""
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    message = f"psij-run stumbled over something that nobody foresaw ({said})"
    try:
        path = private_folder(home() / "crashes") / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        trace = "".join(traceback.format_exception(error))
        write_whole(path, f"psij-run {shlex.join(words)}\n{trace}")
    except Exception:  # noqa: BLE001 - the disk may be what is broken
        return Error(message, hint="set PSIJ_PARSL_DEBUG=1 to see the whole traceback")
    return Error(message, hint=f"the traceback is in {path}; please report it")
