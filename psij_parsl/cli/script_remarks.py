"""Remarks on a job script that is going to run, for what may surprise its user."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from ..platforms.directives.script import ScriptLines

_CD = re.compile(r"^\s*(?:cd|chdir|pushd)\b", re.MULTILINE)


def starts_here(path: str, lines: ScriptLines) -> Iterator[str]:
    """A remark on a script that its manager starts in the user's home, and we where it was submitted."""
    habits, reading = lines.table.habits, lines.reading
    if not habits.starts_at_home or "directory" in reading.words or _CD.search(lines.text):
        return
    if habits.stays_by.isdisjoint(name for one in reading.directives if one.option for name in one.option.names):
        yield f"{path}: starts here, not in your home as by {lines.table.command}"


def no_interpreter(path: str, interpreter: Sequence[str]) -> Iterator[str]:
    """A remark on a script whose interpreter this host does not have."""
    if os.path.isabs(interpreter[0]) and not os.path.exists(interpreter[0]):
        yield f"{path}: there is no {interpreter[0]} here; the job fails unless there is one where it runs"
