"""How the text of a flag becomes its value. A wrong one is an `InvalidRequest` with a hint."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from ..dependency import read_dependencies
from ..errors import InvalidRequest
from ..job_texts import indices

_STDIN = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
_STREAM = re.compile(r"/dev/(?:stdin|stdout|stderr|tty|fd(?:/.*)?)|/proc/(?:self|thread-self|\d+)/.*")


def dependencies(texts: Sequence[str]) -> tuple[str, ...]:
    """`kind:ID` for each of `ID`, `kind:ID` or `kind:ID:ID`, with commas between: see `read_dependencies`."""
    return tuple(dict.fromkeys(dependency for text in texts for dependency in read_dependencies(text)))


class Indices(NamedTuple):
    """The indices of an array, and how many of its elements may run at a time."""

    indices: tuple[int, ...]
    limit: int | None = None


def limited_indices(text: str) -> Indices:
    """`0-9,12`, or `0-99%4` with a limit."""
    listed, percent, limit = text.partition("%")
    if percent and not re.fullmatch(r"[1-9][0-9]{0,8}", limit):
        raise InvalidRequest(
            f"--array {text}: {limit!r} is no number of elements that may run at a time", hint="for example 0-99%4"
        )
    return Indices(indices(listed), int(limit) if percent else None)


class Gpus(NamedTuple):
    """A number of GPUs, and their model; '' for any."""

    number: int
    kind: str = ""


def gpus(text: str) -> Gpus:
    """`4`, or `a100:4`."""
    kind, _, count = text.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,9}", count) or not re.fullmatch(r"([A-Za-z0-9][\w.-]*)?", kind, re.ASCII):
        raise ValueError("must be a number of GPUs, or a model and a number, such as 4 or a100:4")
    return Gpus(int(count), kind)


def job_input(text: str) -> str:
    """The name of a file for a job's stdin, or `-` for the stdin of this command."""
    return "-" if text == "-" or os.path.normpath(text) in _STDIN else job_file(text)


def job_file(text: str) -> str:
    """The name of a file for a job. Refuses the streams of this process, which the job does not have."""
    path = os.path.normpath(os.path.expanduser(text))
    if text == "-" or _STREAM.fullmatch(path):
        raise ValueError("is a stream of this command, which the job does not have; name a file")
    return text


class Several(str):
    """The value of a parameter that was given several times: the last one, which counts unless it is a list.

    `texts` are all of them.
    """

    texts: tuple[str, ...]

    def __new__(cls, *texts: str) -> Several:
        several = super().__new__(cls, texts[-1])
        several.texts = texts
        return several


def together(earlier: str, later: str) -> str:
    """The value of a parameter that was given a second time in the same place."""
    return Several(*(text for value in (earlier, later) for text in getattr(value, "texts", (value,))))


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """The parameters in NAME=VALUE texts; one that is given several times has a value that knows all of them."""
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidRequest(f"-X {text} is not of the form NAME=VALUE", hint="for example -X qos=debug")
        name = name.strip().replace("-", "_")
        values[name] = together(values[name], value) if name in values else value
    return values


def variables(texts: Sequence[str]) -> dict[str, str]:
    """Environment variables in NAME=VALUE texts; NAME alone is copied from this process's environment."""
    values: dict[str, str] = {}
    for text in texts:
        values |= _variable(text, f"--env {text}")
    return values


def _variable(text: str, source: str) -> dict[str, str]:
    name, equals, value = text.partition("=")
    if equals:
        return {name: value}
    if name not in os.environ:
        raise InvalidRequest(
            f"{source}: {name!r} is not set here, so it cannot be copied", hint=f"--env {name}=VALUE sets it"
        )
    return {name: os.environ[name]}


def environment_files(paths: Sequence[str]) -> dict[str, str]:
    """Variables from lines NAME=VALUE. Blank lines and # comments are skipped, quotes around a whole value removed."""
    values: dict[str, str] = {}
    for path in map(os.path.expanduser, paths):
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read().splitlines()
        except OSError as error:
            raise InvalidRequest(
                f"cannot read --env-file {path}: {error.strerror}", hint="check that the file exists"
            ) from error
        for number, line in enumerate(lines, 1):
            text = line.strip().removeprefix("export ").strip()
            if text and not text.startswith("#"):
                values |= {
                    name: _unquoted(value) for name, value in _variable(text, f"{path}, line {number}").items()
                }
    return values


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"" else value
