"""How the text of a flag becomes its value. A wrong one is an `InvalidRequest` with a hint."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from ..errors import InvalidRequest, nearest
from ..job import DEPENDENCY_KINDS

_STREAM = re.compile(r"/dev/(?:stdin|stdout|stderr|tty|fd(?:/.*)?)|/proc/(?:self|thread-self|\d+)/.*")
_MOST_ELEMENTS = 1_000_000


def indices(text: str) -> tuple[int, ...]:
    """The indices in `0-9,12,20-30:5`."""
    hint = "for example 0-9, or 0-9,12,20-30:5"
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9})(?::(\d{1,9}))?)?\s*", part)
        if match is None:
            if "%" in part:
                hint = "a limit on how many run at once (%) cannot be asked for; " + hint
            raise InvalidRequest(f"--array {text} holds {part.strip()!r}, which is no index and no range", hint=hint)
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first or step < 1:
            raise InvalidRequest(f"--array {text} holds {part.strip()!r}, a range with nothing in it", hint=hint)
        span = range(first, last + 1, step)
        if len(found) + len(span) > _MOST_ELEMENTS:
            raise InvalidRequest(f"--array {text} has more than {_MOST_ELEMENTS:,} elements", hint=hint)
        found.extend(span)
    return tuple(found)


def dependencies(texts: Sequence[str]) -> tuple[str, ...]:
    """`kind:ID` for each of `ID`, `kind:ID` or `kind:ID:ID`, with commas between."""
    return tuple(dict.fromkeys(each for text in texts for each in _dependencies(text)))


def _dependencies(text: str) -> list[str]:
    found: list[str] = []
    for part in (each.strip() for each in text.split(",")):
        if not part:
            what = f"-d {text} has no job beside one of its commas" if "," in text else "-d is empty and names no job"
            raise InvalidRequest(what, hint="was the job refused that it is to come after? For example: -d last")
        kind, colon, ids = part.partition(":")
        if not colon:
            kind, ids = "afterok", part
        if kind not in DEPENDENCY_KINDS:
            raise InvalidRequest(
                f"-d {text} asks for the unknown kind {kind!r}", hint=nearest(kind, DEPENDENCY_KINDS)
            )
        if not all(ids.split(":")):
            raise InvalidRequest(f"-d {text} names no job after {kind!r}", hint=f"for example -d {kind}:last")
        found += [f"{kind}:{each}" for each in ids.split(":")]
    return found


def unambiguous(convert: Callable[[str], int]) -> Callable[[str], int]:
    """A reader of lengths of time that refuses `A:B`, of which managers do not agree what it means."""

    def read(text: str) -> int:
        plain = text.strip()
        if re.fullmatch(r"\d+:\d+", plain):
            raise ValueError(f"could be hours and minutes ({plain}:00), or minutes and seconds (0:{plain})")
        return convert(text)

    return read


def job_file(text: str) -> str:
    """The name of a file for a job, which has none of the streams that this process has."""
    path = os.path.normpath(os.path.expanduser(text))
    if text == "-" or _STREAM.fullmatch(path):
        raise ValueError("is a stream of this command, which ends or goes on without the job; name a file")
    return text


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """The parameters in NAME=VALUE texts; a later one of the same name counts."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidRequest(f"-X {text} is not of the form NAME=VALUE", hint="for example -X qos=debug")
        found[name.strip().replace("-", "_")] = value
    return found


def variables(texts: Sequence[str]) -> dict[str, str]:
    """Environment variables in NAME=VALUE texts; NAME alone is copied from our own environment."""
    found: dict[str, str] = {}
    for text in texts:
        found |= _variable(text, f"--env {text}")
    return found


def _variable(text: str, where: str) -> dict[str, str]:
    name, equals, value = text.partition("=")
    if equals:
        return {name: value}
    if name not in os.environ:
        raise InvalidRequest(
            f"{where}: {name!r} is not set here, so it cannot be copied", hint=f"--env {name}=VALUE sets it"
        )
    return {name: os.environ[name]}


def environment_files(paths: Sequence[str]) -> dict[str, str]:
    """Lines NAME=VALUE, as they stand; blanks and # comments are skipped, quotes around a whole value removed."""
    found: dict[str, str] = {}
    for path in map(os.path.expanduser, paths):
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read().splitlines()
        except OSError as error:
            raise InvalidRequest(
                f"cannot read --env-file {path}: {error.strerror}", hint="see that the file exists"
            ) from error
        for number, line in enumerate(lines, 1):
            text = line.strip().removeprefix("export ").strip()
            if text and not text.startswith("#"):
                found |= {name: _unquoted(value) for name, value in _variable(text, f"{path}, line {number}").items()}
    return found


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"" else value
