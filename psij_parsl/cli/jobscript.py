"""Job scripts: `#PSIJ` lines read as flags, and a copy of the file that stays as it was at submission."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InvalidRequest
from ..system.files import private_folder, write_whole
from .options import FLAGS, Chosen, gathered
from .usage_errors import is_usage, usage

_LONGEST = 4 * 1024 * 1024  # bytes; a longer file is no script
_HINT = "a #PSIJ line holds flags of `psij-run submit`, e.g. #PSIJ -N 2 -t 30"
DIRECTIVE = re.compile(r"#PSIJ(?:\s+(.*))?")


@dataclass(frozen=True)
class JobScript:
    """A script that is copied into its job. `flags` are its `#PSIJ` lines: line number and words."""

    path: str
    text: str
    interpreter: tuple[str, ...]
    flags: tuple[tuple[int, tuple[str, ...]], ...]


def recognised(word: str) -> JobScript | None:
    """The job script of that name; None for an ordinary command.

    A script is a text file with `#PSIJ` lines before its first command, or one that starts with `#!` and could
    not be run as it is.
    """
    if not os.path.isfile(word):
        return None
    try:
        with open(word, "rb") as file:
            data = file.read(_LONGEST + 1)
    except OSError:
        return None  # not readable: it may be an executable all the same
    if b"\0" in data or len(data) > _LONGEST:
        return None
    text = data.decode("utf-8", "surrogateescape")
    lines = tuple(_directives(word, text))
    runnable = os.access(word, os.X_OK) if "/" in word else shutil.which(word) is not None
    if not lines and (runnable or not text.startswith("#!")):
        return None
    return JobScript(word, text, _interpreter(text), lines)


def _directives(path: str, text: str) -> list[tuple[int, tuple[str, ...]]]:
    found = []
    for number, line in head(text):
        if match := DIRECTIVE.fullmatch(line.rstrip()):
            try:
                found.append((number, tuple(shlex.split(match[1] or "", comments=False))))
            except ValueError as error:
                raise InvalidRequest(
                    f"{path}, line {number}: cannot be split into words ({error})", hint="see to its quotes"
                ) from error
    return found


def head(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a script before its first command, with their numbers."""
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            return
        yield number, line


def _interpreter(text: str) -> tuple[str, ...]:
    """As the kernel reads a `#!` line: a path, and the rest as one argument."""
    first = text.partition("\n")[0]
    words = first[2:].strip().split(None, 1) if first.startswith("#!") else []
    return tuple(words) or ("/bin/bash",)


def flags(script: JobScript, command: Any) -> list[tuple[Chosen, str]]:
    """What each `#PSIJ` line says, the last line first, with its place for messages.

    `command` is the typer command, whose own parser reads the lines. Raises `InvalidRequest` with file and line.
    """
    said = []
    for number, words in reversed(script.flags):
        where = f"{script.path}, line {number}"
        try:
            values = _parsed(command, where, words)
            chosen = gathered(values)
        except InvalidRequest as error:
            raise InvalidRequest(f"{where}: {error.message}", hint=error.hint) from error
        if rest := values.pop("command", None):
            raise InvalidRequest(f"{where}: {rest[0]!r} is no flag", hint=_HINT)
        allowed = {flag.name for flag in FLAGS if flag.in_script}
        for name, value in values.items():
            if value and name not in allowed:
                raise InvalidRequest(
                    f"{where}: --{name.replace('_', '-')} cannot stand in a script", hint="say it on the command line"
                )
        said.append((chosen, where))
    return said


def _parsed(command: Any, where: str, words: Sequence[str]) -> dict[str, Any]:
    """The values of flags, by the parser of the command line itself."""
    if {"-h", "--help"} & set(words):
        raise InvalidRequest("--help cannot stand in a script", hint="say it on the command line")
    try:
        with command.make_context(where, list(words)) as context:
            values: dict[str, Any] = dict(context.params)
            return values
    except Exception as error:
        if is_usage(error):
            raise usage(error, ["submit"], hint=_HINT) from error
        raise


def copy_of(script: JobScript, folder: Path) -> Path:
    """Where its copy belongs: below `folder`, named after its content."""
    data = script.text.encode("utf-8", "surrogateescape")
    return folder / "scripts" / f"{hashlib.sha256(data).hexdigest()[:32]}.sh"


def keep(script: JobScript, path: Path) -> None:
    """Write that copy, which nobody changes afterwards."""
    private_folder(path.parent)
    try:
        os.utime(path)  # there already, and in use again: `clean` goes by it
    except OSError:
        write_whole(path, script.text, durable=True)
