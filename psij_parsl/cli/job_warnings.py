"""Warnings about probable mistakes in a job. They are no errors, for the job may be right where it runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..job import Job
from .jobscript import DIRECTIVE, head

#: Option lines of managers that there is no platform for.
_FOREIGN = r"#(MSUB|PJM|HQ|DSUB|@)\s"
#: What looks like a `#PSIJ` line and is none: in small letters, after blanks or before no blank, and then a flag.
#: A comment that speaks of psij-run or psij-parsl does not look like one.
_NEARLY = r"#\s*psij(\s*$|[:=]?\s+--?\w|[:=]?-(?!(?:run|parsl)\b)\S)|#(?-i:PSIJ)\w+\s+--?\w"
_HEAD = 64 * 1024  # bytes of a script that are read
_PATTERN = re.compile(r"%[A-Za-z]")


def warnings(job: Job, program: str, *, script: bool = True) -> Iterator[str]:
    """The warnings on a job, whose program or job script is the file `program`.

    `script`: its `#PSIJ` lines were read.
    """
    directory = str(job.directory)
    if not os.path.isdir(directory):
        yield f"there is no directory {directory} here; the job fails unless it exists where the job runs"
    filled_in = job.name_patterns and "{" in str(job.stdin)
    if job.stdin and not filled_in and not os.path.exists(job.stdin):
        yield f"there is no input file {job.stdin} here; the job fails unless it exists where the job runs"
    for path in dict.fromkeys(path for path in (job.stdout, job.stderr) if path):
        if os.path.isdir(path):
            yield f"{path} is a directory; the job cannot write its output there"
        elif os.path.isdir(directory) and not os.path.isdir(folder := _folder(path, filled_in=job.name_patterns)):
            yield (
                f"there is no directory {folder} here; the job fails unless it exists where the job runs:"
                f" mkdir -p {shlex.quote(str(folder))}"
            )
        if not job.name_patterns and (pattern := _PATTERN.search(path.name)):
            yield f"{pattern[0]} in {path.name} is not replaced; the elements of an array append .INDEX"
    if os.path.isfile(program):
        text = _text(program)
        if not job.script_of and not job.option_lines and not job.compat:
            yield from _stand_ins(program, text)
        yield from _lines(program, text)
        if script:
            yield from _late(program, text)


def _folder(path: Path, *, filled_in: bool) -> str:
    """The folder of an output file; the directory that we are in where its name is filled in later."""
    folder = str(path.parent)
    if not filled_in:
        return folder
    plain = re.sub(r"\{\{|\}\}", lambda match: match[0][0], folder)
    return os.curdir if re.search(r"(?<!\{)\{\w", folder) else plain


def _text(program: str) -> str:
    """The beginning of a script; '' for another file."""
    try:
        with open(program, "rb") as file:
            data = file.read(_HEAD)
    except OSError:
        return ""  # not readable, but it may be executable
    return data.decode("utf-8", "replace") if data.startswith(b"#") else ""


def _stand_ins(program: str, text: str) -> Iterator[str]:
    """A warning on a script that calls a command which is not here, and for which there is a stand-in."""
    if not text.startswith("#!") or text.count("\0"):
        return
    from ..jobs.stand_ins import with_stand_ins
    from .bash_syntax import calls_of

    for platform in with_stand_ins():
        calls = calls_of(text, [name for name in platform.stand_ins if shutil.which(name) is None])
        for number, name in calls[:1]:
            yield (
                f"{program}, line {number}: {name} is not on PATH here, and the job fails unless it is there where it"
                f" runs; --compat {platform.name} puts one there"
            )


def _late(program: str, text: str) -> Iterator[str]:
    """Warnings on `#PSIJ` lines after the first command: they are not read, like #SBATCH lines there."""
    lines = text.split("\n")
    first = sum(1 for _ in head(text))
    numbers = [
        number for number, line in enumerate(lines, 1) if number > first and DIRECTIVE.fullmatch(line.rstrip())
    ]
    if numbers:
        more = f", and {len(numbers) - 1} more" if len(numbers) > 1 else ""
        yield f"{program}, line {numbers[0]}: a #PSIJ line after the first command is not read{more}"


def _lines(program: str, text: str) -> Iterator[str]:
    """Warnings on a script's comments before its first command."""
    if not text.startswith("#!"):
        return
    seen = set()
    foreign, nearly = re.compile(_FOREIGN), re.compile(_NEARLY, re.IGNORECASE)
    for number, line in head(text):
        if (match := foreign.match(line)) and match[1] not in seen:
            seen.add(match[1])
            yield f"{program}, line {number}: #{match[1]} lines are not read: use flags, or #PSIJ lines"
        elif nearly.match(line) and not DIRECTIVE.fullmatch(line.rstrip()):
            yield f"{program}, line {number}: not a #PSIJ line, which begins with #PSIJ and a blank"
