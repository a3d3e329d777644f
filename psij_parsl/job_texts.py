"""How values of a job's fields are read that are not of the field's own type: texts as flags take them, first of all."""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, SupportsIndex, TypeAlias, TypedDict

from .dependency import ONE_OF, read_dependencies
from .errors import InvalidRequest
from .validators import (
    Validator,
    end_signal,
    memory,
    memory_or_all,
    moment,
    non_negative_int,
    positive_int,
    str2bool,
    unambiguous,
    wall_time,
)


class Handle(Protocol):
    """A submitted job."""

    @property
    def id(self) -> str: ...

    @property
    def native_id(self) -> str: ...


_Count: TypeAlias = int | str | SupportsIndex
_File: TypeAlias = str | os.PathLike[str] | None


class JobOptions(TypedDict, total=False):
    """What `Job` takes beside its command."""

    num_nodes: _Count | None
    ranks: _Count | None
    ranks_per_node: _Count
    cpus_per_rank: _Count
    threads_per_core: _Count
    gpus_per_rank: _Count
    gpus_per_node: _Count | None
    gpu_kind: str
    memory_per_node: _Count | None
    memory_per_core: _Count | None
    memory_per_gpu: _Count | None
    wall_time_min: _Count | timedelta | None
    queue: str | None
    project: str | None
    job_mode: str | None
    name: str
    directory: _File
    environment: Mapping[str, str] | Mapping[str, str | int | float | os.PathLike[str]]
    inherit_environment: bool
    stdin: _File
    stdout: _File
    stderr: _File
    append: bool
    name_patterns: bool
    array: Iterable[SupportsIndex] | str
    array_limit: _Count | None
    begin: datetime | str | None
    after: Iterable[str | Handle] | str | Handle
    signal_before_end: str | None
    hold: bool
    setup: str | Sequence[str]
    setup_may_fail: bool
    launcher: str | None
    parameters: Mapping[str, Any]
    queue_name: str
    node_type: str
    project_name: str
    implied: Iterable[str]
    option_lines: Iterable[str]
    script_of: str
    compat: str
    script: str


class JobFields(JobOptions):
    """What `Job` takes."""

    command: Sequence[str | os.PathLike[str]]


_MOST_ELEMENTS = 1_000_000
_TIME_EXAMPLE = "pass minutes, a timedelta, or a text such as '90', '1h30m', '1:30:00' or '2-12' (days-hours)"
_PATH_EXAMPLE = "pass a path as text or pathlib.Path"


def read_field(name: str, value: object) -> Any:
    """The value for the field of that name. Raises `InvalidRequest`, with a hint, for what cannot be meant by it."""
    read, hint = _FIELDS[name]
    try:
        return read(value)
    except ValueError as error:
        rule = str(error)
        what = f"{name} {rule}, not {value!r}" if rule.startswith("must") else f"{name}={value!r}: it {rule}"
        raise InvalidRequest(what, hint=hint) from error


def indices(text: str, *, name: str = "--array") -> tuple[int, ...]:
    """The indices in `0-9,12,20-30:5`; errors call the text by that name."""
    hint = "for example 0-9, or 0-9,12,20-30:5"
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9})(?::(\d{1,9}))?)?\s*", part)
        if match is None:
            if "%" in part:
                hint = "how many run at a time stands at the end, for all of them: 0-9,20-30%4"
            raise InvalidRequest(f"{name} {text}: {part.strip()!r} is neither an index nor a range", hint=hint)
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first or step < 1:
            raise InvalidRequest(f"{name} {text}: the range {part.strip()!r} is empty", hint=hint)
        span = range(first, last + 1, step)
        if len(numbers) + len(span) > _MOST_ELEMENTS:
            raise InvalidRequest(f"{name} {text} has more than {_MOST_ELEMENTS:,} elements", hint=hint)
        numbers.extend(span)
    return tuple(numbers)


def _number(read: Validator) -> Callable[[object], int]:
    """A reader that also takes the whole numbers of numpy and its like; a fraction is no number of anything."""

    def number(value: object) -> int:
        if isinstance(value, float):
            raise ValueError("must be a whole number")
        return int(read(_plain(value)))

    return number


def _plain(item: object) -> object:
    return operator.index(item) if hasattr(item, "__index__") and not isinstance(item, bool) else item


def _array(value: object) -> tuple[Any, ...]:
    if isinstance(value, str):
        return indices(value, name="array")
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise ValueError("is no list")
    if not (items := tuple(map(_plain, value))):
        raise ValueError("has no element")
    return items


def _after(value: object) -> tuple[Any, ...]:
    """The ids in `ID,kind:ID:ID`; a handle of one job is that job."""
    if hasattr(value, "native_id"):
        return (value,)
    if isinstance(value, Iterable) and not isinstance(value, str | Mapping):
        return tuple(value)
    if not isinstance(value, str):
        raise ValueError("is no list")
    bare = re.compile(r"[^:?,]+")
    parts = [value] if ONE_OF in value else [part.strip() for part in value.split(",")]
    return tuple(
        one
        for part in parts
        for one in ((part,) if bare.fullmatch(part) or not part else read_dependencies(part, "after"))
    )


def _path(value: object) -> Path:
    if not isinstance(value, str | os.PathLike) or not isinstance(path := os.fspath(value), str):
        raise ValueError("is no path")
    if not path:
        raise ValueError("is empty")
    return Path(os.path.expanduser(path) if isinstance(value, str) else path)


_COUNT = (_number(positive_int), "pass a number, or its text")
_SWITCH = (str2bool, "pass True or False")
_MEMORY = (_number(memory), "pass MB, or a text such as '4G' or '512MB'")
_FIELDS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "num_nodes": _COUNT,
    "ranks": _COUNT,
    "ranks_per_node": _COUNT,
    "cpus_per_rank": _COUNT,
    "threads_per_core": _COUNT,
    "gpus_per_rank": (_number(non_negative_int), "pass a number, or its text"),
    "gpus_per_node": (_number(non_negative_int), "pass a number, or its text"),
    "memory_per_node": (_number(memory_or_all), "pass MB, or a text such as '4G' or '512MB'; 0 is all of a node's"),
    "memory_per_core": _MEMORY,
    "memory_per_gpu": _MEMORY,
    "wall_time_min": (_number(unambiguous(wall_time)), _TIME_EXAMPLE),
    "append": _SWITCH,
    "hold": _SWITCH,
    "inherit_environment": _SWITCH,
    "setup_may_fail": _SWITCH,
    "array": (_array, "pass its indices, e.g. range(10) or '0-9'; leave it out for one plain job"),
    "array_limit": _COUNT,
    "begin": (moment, "pass a datetime, or a text such as '16:00', '2026-12-01T08:00' or '+2h'"),
    "signal_before_end": (end_signal, "pass a text such as 'USR1@90', or 'B:USR1@90' for the command alone"),
    "after": (_after, "pass a list of ids or handles, e.g. after=[submission]"),
    "directory": (_path, _PATH_EXAMPLE),
    "stdin": (_path, _PATH_EXAMPLE),
    "stdout": (_path, _PATH_EXAMPLE),
    "stderr": (_path, _PATH_EXAMPLE),
}
