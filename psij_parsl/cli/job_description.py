"""A description of a job in place of a script: what is to run, and what is each element's own where it is an array."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InvalidRequest
from ..job import Job
from .file_patterns import has_patterns, pattern
from .flags import FlagValues
from .job_input import STDIN

if TYPE_CHECKING:
    from ..platforms.directives.script import ScriptLines

_FILES = {"input": "stdin", "output": "stdout", "error": "stderr"}
_SHOWN = 5


class Described(NamedTuple):
    """What the description `path` has run: the `command`, and for each index of an array the flags and the command of its own."""

    path: str
    command: tuple[str, ...]
    elements: Mapping[int, tuple[FlagValues, tuple[str, ...]]]

    def jobs(self, job: Job, values: FlagValues) -> tuple[Job, ...]:
        """The jobs of the elements of the array `job`, whose flags have these values; none where they are all the same.

        Raises `InvalidRequest` for an index that the description does not have.
        """
        if not self.elements or not job.array:
            return ()
        if missing := [index for index in job.array if index not in self.elements]:
            raise InvalidRequest(
                f"{self.path} makes no job with the index {', '.join(map(str, missing[:_SHOWN]))}",
                hint=f"its indices are those from {min(self.elements)} to {max(self.elements)}",
                about=("array",),
            )
        return tuple(_element(job, *self.elements[index], values) for index in sorted(job.array))


def described(path: str, lines: ScriptLines, words: Mapping[str, Any], taken: Collection[str]) -> Described:
    """What a description, which asks by these words, has run; `taken` are words that something else takes the place of.

    Raises `InvalidRequest` for one that names no program.
    """
    from .script_words import flag_values

    command = _command(words.get("command", ()))
    elements = {}
    for index, all_own in words.get("elements", {}).items():
        own = {word: value for word, value in all_own.items() if word not in taken}
        flags = flag_values(own, lines.table, path, usual_files=False)
        elements[index] = flags, _command(own.get("command", ())) or command
    if (not command and not all(own for _, own in elements.values())) or not (command or elements):
        raise InvalidRequest(
            f"{path} is a description for {lines.table.command} that names no program",
            hint="a line says it: executable = ./program",
        )
    return Described(path, command or next(iter(elements.values()))[1], elements)


def _command(words: tuple[str, ...]) -> tuple[str, ...]:
    """The command with the program's whole path: one without is here, not on PATH."""
    return (os.path.abspath(os.path.expanduser(words[0])), *words[1:]) if words else ()


def _element(job: Job, own: FlagValues, command: tuple[str, ...], values: FlagValues) -> Job:
    """The job of an element. A file that is called the same in each gets the index at the end of its name."""
    files: dict[str, Path] = {}
    for flag, field in _FILES.items():
        text = own.get(flag, values.get(flag))
        if text == STDIN and job.stdin is not None:
            text = job.stdin if job.name_patterns else pattern(str(job.stdin), literal=True)
        elif text is not None:
            text = pattern(text, literal=not has_patterns(text))
            is_anothers = flag != "input" and own.keys().isdisjoint((flag, "cwd")) and "{index" not in text
            text += ".{index}" if is_anothers and text != os.devnull else ""
        if text is not None:
            files[field] = Path(os.path.expanduser(text))
    return job.with_(
        command=command,
        array=(),
        array_limit=None,
        directory=Path(os.path.expanduser(own["cwd"])) if "cwd" in own else job.directory,
        environment={**own.get("env", {}), **job.environment},
        name_patterns=bool(files),
        **{field: files.get(field) for field in _FILES.values()},
    )


def array_of(job: Job, elements: tuple[Job, ...]) -> Job:
    """The array of these elements, which say themselves what differs."""
    if not elements:
        return job
    first = elements[0]
    return job.with_(
        command=first.command,
        environment={},
        stdin=None,
        stdout=None,
        stderr=None,
        name_patterns=any(one.name_patterns for one in elements),
    )
