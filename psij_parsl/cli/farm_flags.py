"""The flags of `psij-run launch` that make many tasks of it, and how their texts become values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import InvalidRequest, nearest
from ..validators import positive_int
from .flags import Flag
from .job_flags import job_flags

if TYPE_CHECKING:
    from ..farm.farm import Halt

AGAIN = ("failed", "unknown")


def halt(text: str) -> Halt:
    """`3` failures, or `10%` of all tasks."""
    from ..farm.farm import Halt

    match = re.fullmatch(r"([1-9][0-9]{0,8})(%?)", text)
    if match is None or (match[2] and int(match[1]) > 100):
        raise ValueError("must be a number of failed tasks, or per cent of all: 1, 10%")
    return Halt(int(match[1]), bool(match[2]))


def again(texts: Sequence[str]) -> frozenset[str]:
    """`failed`, `unknown`, or both."""
    words = [word.strip() for text in texts for word in text.split(",")]
    for word in words:
        if word not in AGAIN:
            raise InvalidRequest(f"--again {word}: there are no such tasks", hint=nearest(word, AGAIN))
    return frozenset(words)


EACH_LINE = Flag(
    "each_line",
    ("--each-line",),
    "FILE",
    "Run one task for each line of a file; - is stdin. Without a command each line is shell code; with one, the line"
    " takes the place of {} in it, or is its last argument.",
)
ARRAY = job_flags("array")[0]._replace(
    help="Run one task for each index, for example 0-999: {index} in the command, $PSIJ_ARRAY_INDEX in its environment."
    " 0-999%4: at most 4 of them at a time."
)
FARM_FLAGS: tuple[Flag, ...] = (
    EACH_LINE,
    ARRAY,
    Flag(
        "at_once",
        ("-P", "--at-once"),
        "COUNT",
        "At most so many tasks at a time (default: as many as there are cores and GPUs for).",
        positive_int,
    ),
    Flag(
        "halt",
        ("--halt",),
        "COUNT[%]",
        "Start no more tasks when so many, or so many per cent of all, have failed (default: go on whatever fails).",
        halt,
    ),
    Flag(
        "resume",
        ("--resume",),
        "",
        "Go on where an earlier farm of these tasks has stopped: run those that have not begun, or were stopped.",
        switch=True,
    ),
    Flag(
        "again",
        ("--again",),
        "failed|unknown",
        "With --resume, which it implies: run those again that failed, or those that began and of which nobody knows"
        " how they ended. Repeatable.",
        again,
        many=True,
    ),
    Flag("fresh", ("--fresh",), "", "Run all tasks, whatever an earlier farm of them has done.", switch=True),
    Flag(
        "state",
        ("--state",),
        "FILE",
        "File that records which tasks have begun and ended (default: FILE.farm beside the file of --each-line, else"
        " NAME.farm here).",
    ),
)
