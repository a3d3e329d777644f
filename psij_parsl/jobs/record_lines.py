"""The lines of the journal: one event each, in JSON. `job` has a whole record, the others change a part of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, replace
from typing import Any

from ..states import EndReason, JobState, JobStatus, sound
from .record import JobRecord

Records = dict[str, "JobRecord | dict[str, Any] | bytes"]
"""By id. A record stays the data of its line until it is looked at; one that has ended is kept as its line."""


def record_of(entries: Records, job_id: str) -> JobRecord:
    """The `JobRecord` of that id, made of its line if this is the first look at it."""
    record = entries[job_id]
    if isinstance(record, JobRecord):
        return record
    if isinstance(record, bytes):  # one of the many that have ended: not kept, for the room that it takes
        return from_line(record)
    entry = entries[job_id] = from_plain(record)
    return entry


def is_open(record: JobRecord | dict[str, Any] | bytes) -> bool:
    """`JobRecord.open` without making one."""
    if isinstance(record, bytes):
        return False
    if isinstance(record, JobRecord):
        return record.open
    return len(record.get("ended", ())) < len(record.get("array") or ("",))


def line_of(record: JobRecord | dict[str, Any] | bytes) -> bytes:
    """The line that holds all of a record, without its end."""
    if isinstance(record, bytes):
        return record
    data = plain(record) if isinstance(record, JobRecord) else record
    known = {"e": "job", "id": data["id"], **data}  # first of all, so that a search finds them
    return json.dumps(known, separators=(",", ":")).encode()


def from_line(line: bytes) -> JobRecord:
    """The inverse of `line_of`, for a line that was looked at before."""
    return from_plain(json.loads(line))


def apply(entries: Records, event: dict[str, Any]) -> None:
    """Change the records as one line says. What a later version may write is passed over."""
    kind, job_id = event.get("e"), event.get("id", "")
    if kind == "job":
        entries[job_id] = _checked(event)
        return
    if job_id not in entries:
        return
    entry = record_of(entries, job_id)
    if kind == "native":
        entries[job_id] = replace(
            entry,
            native=event["native"],
            committed=event["t"],
            sure=bool(event.get("sure")),
            elements=tuple(event.get("elements", ())),
            cluster=event.get("cluster", entry.cluster),
        )
    elif kind == "born":
        entries[job_id] = replace(entry, born=float(event["t"]))
    elif kind == "drop":
        entries[job_id] = replace(entry, dropped={**entry.dropped, event["k"]: JobStatus.from_dict(event["s"])})
    elif kind == "end":
        ended = dict(entry.ended)
        ended.setdefault(event["k"], JobStatus.from_dict(event["s"]))
        entries[job_id] = replace(entry, ended=ended)
    elif kind == "cancel":
        unsent = {*entry.unsent, event["k"]} if event.get("unsent") else set(entry.unsent) - {event["k"]}
        entries[job_id] = replace(
            entry, cancelled={**entry.cancelled, event["k"]: event["t"]}, unsent=tuple(sorted(unsent))
        )
    elif kind == "uncancel":
        left = {key: asked for key, asked in entry.cancelled.items() if key != event["k"]}
        entries[job_id] = replace(entry, cancelled=left)
    elif kind == "twin":
        entries[job_id] = replace(entry, twins=(*entry.twins, *event["natives"]))


_LISTS = ("array", "twins", "elements", "unsent")
_STATUSES = ("ended", "dropped")
_PLAIN = (
    "site",
    "cluster",
    "name",
    "command",
    "native",
    "owner",
    "run",
    "intended",
    "committed",
    "attached",
    "sure",
    "born",
)
_DEFAULT_STATUS = JobStatus(JobState.UNKNOWN).to_dict()


def plain_status(status: JobStatus) -> dict[str, Any]:
    """A status as data for JSON, without what is as usual."""
    return {key: value for key, value in status.to_dict().items() if value != _DEFAULT_STATUS[key]}


def plain(entry: JobRecord) -> dict[str, Any]:
    """A record as data for its line."""
    data: dict[str, Any] = {"id": entry.id, "platform": entry.platform, "place": entry.place}
    for name in _PLAIN:
        if value := getattr(entry, name):
            data[name] = value
    for name in _LISTS:
        if value := getattr(entry, name):
            data[name] = list(value)
    if entry.cancelled:
        data["cancelled"] = dict(entry.cancelled)
    for name in _STATUSES:
        if value := getattr(entry, name):
            data[name] = {key: plain_status(status) for key, status in value.items()}
    return data


def from_plain(data: Mapping[str, Any]) -> JobRecord:
    """The inverse of `plain`. What is of a wrong kind counts as not said; what a later version adds is passed over."""
    known = {}
    for name, value in data.items():
        read = _READ.get(name)
        if read is not None:
            try:
                known[name] = read(value)
            except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
                continue
    entry = JobRecord(**known)
    if entry.ended and not all(map(entry.has, entry.ended)):
        entry = replace(entry, ended={key: status for key, status in entry.ended.items() if entry.has(key)})
    return entry


def _checked(event: dict[str, Any]) -> dict[str, Any] | JobRecord:
    """A record's line, if it says whose it is. Raises `ValueError`; what else is wrong with it counts as not said."""
    for name in ("id", "platform", "place"):
        _path(event[name])
    if "\0" in event["place"]:
        raise ValueError("no path")
    if "array" not in event and "ended" not in event:
        return event
    array, ended = event.get("array", []), event.get("ended", {})
    kinds = isinstance(array, list) and isinstance(ended, dict)
    if kinds and all(map(_usual, ended.values())) and (not array or not ended) and (array or ended.keys() <= {""}):
        return event
    return from_plain(event)  # how much of it has ended must be known for certain


def _usual(status: Any) -> bool:
    """Whether that is surely a final status, looked at quickly: `from_plain` looks at the others."""
    if not isinstance(status, dict) or not isinstance(status.get("state"), str) or status["state"] not in _ENDS:
        return False
    for name, value in status.items():
        kind = type(value)
        if name in _TIMES or (kind is int and name in _NUMBERS):
            if (kind is not int and kind is not float) or not 0 <= value < 1e9 * (10 if name in _TIMES else 1):
                return False
        elif kind is not str or name not in _TEXTS or (name == "reason" and value not in EndReason.__members__):
            return False
    return True


def valid(entry: JobRecord) -> bool:
    """Whether all its fields are of their kind, after a change that a line has made."""
    try:
        for name, value in vars(entry).items():
            if name in _STATUSES:
                if not all(entry.has(key) and sound(status) and status.final for key, status in value.items()):
                    return False
            elif value is not None or name != "born":
                _READ[name](value)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return False
    return True


def _path(value: Any) -> str:
    """A text that may be part of a path; `UnicodeEncodeError`, a `ValueError`, for what no file can be named."""
    text = _text(value)
    text.encode("utf-8", "surrogateescape")
    return text


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _number(value: Any) -> float:
    """A time in seconds, from 1970 to the year 5000 or so."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("not a number")
    if not 0 <= value < 1e11:
        raise ValueError("not a time")
    return value


def _indices(value: Any) -> tuple[int, ...]:
    if not all(type(index) is int and 0 <= index < 2**31 for index in value):
        raise TypeError("not indices")
    return tuple(value)


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError("not a list")
    return tuple(map(_text, value))


def _numbers(value: Mapping[Any, Any]) -> dict[str, float]:
    return {_text(key): _number(number) for key, number in value.items()}


def _statuses(value: Mapping[Any, Any]) -> dict[str, JobStatus]:
    """Final statuses; those that are none are left out."""
    read = {}
    for key, data in value.items():
        try:
            status = data if isinstance(data, JobStatus) else JobStatus.from_dict(data)
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
        if sound(status) and status.final:
            read[_text(key)] = status
    return read


def _of_kind(default: Any) -> Callable[[Any], Any]:
    """How a field with that default is read, of which nothing more is known."""

    def read(value: Any) -> Any:
        if not isinstance(value, type(default)):
            raise TypeError(f"not a {type(default).__name__}")
        return value

    return {str: _text, float: _number, tuple: _texts}.get(type(default), read)


_ENDS = frozenset(state.name for state in JobState if state.final)
_TEXTS = frozenset(("state", "native", "reason", "message", "nodes"))
_NUMBERS = frozenset(("exit_code", "signal", "attempt"))
_TIMES = frozenset(("started", "ended"))
_READ: Mapping[str, Callable[[Any], Any]] = {
    name: _of_kind(each.default_factory() if each.default_factory is not MISSING else each.default)
    for name, each in JobRecord.__dataclass_fields__.items()
} | {
    "id": _text,
    "platform": _text,
    "place": _path,
    "array": _indices,
    "twins": _texts,
    "cancelled": _numbers,
    "ended": _statuses,
    "dropped": _statuses,
    "born": _number,
}
