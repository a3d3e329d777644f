"""What may well be a mistake in a job, and is no error: the job could be right where it runs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ..job import Job
from .jobscript import DIRECTIVE, head

_FOREIGN = re.compile(r"#(SBATCH|PBS|BSUB|COBALT|OAR|flux:|MSUB|\$)\s")
_NEARLY = re.compile(r"#\s*psij\b|#PSIJ\S", re.IGNORECASE)
_HEAD = 64 * 1024  # bytes of a script that are looked at
_PATTERN = re.compile(r"%[A-Za-z]")


def remarks(job: Job, program: str, *, script: bool = True) -> Iterator[str]:
    """What a person should be told of this job, whose program or job script is that file.

    `script`: it was looked at for `#PSIJ` lines.
    """
    directory = str(job.directory)
    if not os.path.isdir(directory):
        yield f"there is no directory {directory} here; the job fails unless it is where it runs"
    if job.stdin and not os.path.exists(job.stdin):
        yield f"there is no input file {job.stdin} here; the job fails unless it is where it runs"
    for path in dict.fromkeys(path for path in (job.stdout, job.stderr) if path):
        if os.path.isdir(path):
            yield f"{path} is a directory; the job cannot write its output there"
        elif os.path.isdir(directory) and not path.parent.is_dir():
            yield f"there is no directory {path.parent} here; the job fails unless it is where it runs"
        if pattern := _PATTERN.search(path.name):
            yield f"{pattern[0]} in {path.name} is taken as it stands; an array's elements append .INDEX"
    if os.path.isfile(program):
        text = _text(program)
        yield from _lines(program, text)
        if script:
            yield from _late(program, text)


def _text(program: str) -> str:
    """The beginning of a script; '' for what is none."""
    try:
        with open(program, "rb") as file:
            data = file.read(_HEAD)
    except OSError:
        return ""  # not readable: it may be run all the same
    return data.decode("utf-8", "replace") if data.startswith(b"#") else ""


def _late(program: str, text: str) -> Iterator[str]:
    """What is said of `#PSIJ` lines behind its first command: they are read no more than #SBATCH lines there."""
    lines = text.split("\n")
    begin = sum(1 for _ in head(text))
    found = [number for number, line in enumerate(lines, 1) if number > begin and DIRECTIVE.fullmatch(line.rstrip())]
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        yield f"{program}, line {found[0]}: a #PSIJ line after the first command is not read{more}"


def _lines(program: str, text: str) -> Iterator[str]:
    """What is said of a script's comments before its first command."""
    if not text.startswith("#!"):
        return
    seen = set()
    for number, line in head(text):
        if (match := _FOREIGN.match(line)) and match[1] not in seen:
            seen.add(match[1])
            yield f"{program}, line {number}: #{match[1]} lines are not read: say it with flags, or in #PSIJ lines"
        elif _NEARLY.match(line) and not DIRECTIVE.fullmatch(line.rstrip()):
            yield f"{program}, line {number}: no #PSIJ line, which begins with #PSIJ and a blank"
