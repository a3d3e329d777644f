"""Converts records to and from the journal's lines: each line is one event, in JSON.

An event `job` has a whole record; the others change a part of one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, replace
from typing import Any

from ..states import EndReason, JobState, JobStatus, sound
from .record import JobRecord

Records = dict[str, "JobRecord | dict[str, Any] | bytes"]
"""The records by id. A record of an ended job is kept as its line, to save memory. Another record is kept as the JSON
data of its line until it is first read, and then as a `JobRecord`."""


def record_of(entries: Records, job_id: str) -> JobRecord:
    """The `JobRecord` with that id, made from its line when it is first read."""
    record = entries[job_id]
    if isinstance(record, JobRecord):
        return record
    if isinstance(record, bytes):  # of an ended job: there may be many, so the `JobRecord` is not kept in memory
        return from_line(record)
    entry = entries[job_id] = from_plain(record)
    return entry


def is_open(record: JobRecord | dict[str, Any] | bytes) -> bool:
    """Whether any element has not ended: `JobRecord.open`, without making a `JobRecord`."""
    if isinstance(record, bytes):
        return False
    if isinstance(record, JobRecord):
        return record.open
    return len(record.get("ended", ())) < len(record.get("array") or ("",))


def repeats(record: JobRecord | dict[str, Any] | bytes, job_id: str) -> bool:
    """Whether that is the record of a resubmission of that job, without making a `JobRecord`."""
    if isinstance(record, bytes):
        return repeats_marker(job_id) in record and from_line(record).resubmitted_from == job_id
    if isinstance(record, JobRecord):
        return record.resubmitted_from == job_id
    return record.get("resubmitted_from") == job_id


def repeats_marker(job_id: str) -> bytes:
    """What stands in the lines of a job's resubmissions."""
    return f'"resubmitted_from":{json.dumps(job_id)}'.encode()


def line_of(record: JobRecord | dict[str, Any] | bytes) -> bytes:
    """The line that holds the whole record, without the newline."""
    if isinstance(record, bytes):
        return record
    data = plain(record) if isinstance(record, JobRecord) else record
    event = {"e": "job", "id": data["id"], **data}  # these two come first: the search in segments expects that
    return json.dumps(event, separators=(",", ":")).encode()


def from_line(line: bytes) -> JobRecord:
    """The inverse of `line_of`, for a line that was checked before."""
    text = line.decode()
    try:
        data, end = _scan(text, 0)  # `json.loads` first guesses the encoding, and looks for blanks around
    except StopIteration:
        raise ValueError("no JSON") from None
    if end != len(text):
        raise ValueError("more than one value")
    return from_plain(data)


def apply(entries: Records, event: dict[str, Any]) -> None:
    """Apply one event to the records. Events of a later version are ignored."""
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
    elif kind == "left":
        entries[job_id] = replace(entry, left=event["t"])
    elif kind == "born":
        entries[job_id] = replace(entry, born=float(event["t"]))
    elif kind == "drop":
        entries[job_id] = replace(entry, dropped={**entry.dropped, event["k"]: JobStatus.from_dict(event["s"])})
    elif kind == "end":
        ended = dict(entry.ended)
        ended.setdefault(event["k"], JobStatus.from_dict(event["s"]))
        used = {**entry.used, event["k"]: event["u"]} if "u" in event else entry.used
        entries[job_id] = replace(entry, ended=ended, used=used)
    elif kind == "used":
        entries[job_id] = replace(entry, used={**entry.used, **event["u"]})
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


_LIST_FIELDS = ("array", "twins", "elements", "unsent")
_STATUS_FIELDS = ("ended", "dropped")
_PLAIN_FIELDS = (
    "site",
    "cluster",
    "name",
    "command",
    "native",
    "owner",
    "run",
    "intended",
    "committed",
    "left",
    "attached",
    "sure",
    "born",
    "queue",
    "resubmitted_from",
)
_DEFAULT_STATUS = JobStatus(JobState.UNKNOWN).to_dict()


def plain_status(status: JobStatus) -> dict[str, Any]:
    """A final status as data for JSON, without fields that have their default value."""
    return {
        key: value for key, value in status.to_dict().items() if value != _DEFAULT_STATUS[key] and key != "expected"
    }


def plain(entry: JobRecord) -> dict[str, Any]:
    """A record as data for its line."""
    data: dict[str, Any] = {"id": entry.id, "platform": entry.platform, "place": entry.place}
    for name in _PLAIN_FIELDS:
        if value := getattr(entry, name):
            data[name] = value
    for name in _LIST_FIELDS:
        if value := getattr(entry, name):
            data[name] = list(value)
    if entry.cancelled:
        data["cancelled"] = dict(entry.cancelled)
    if entry.used:
        data["used"] = {key: dict(figures) for key, figures in entry.used.items()}
    for name in _STATUS_FIELDS:
        if value := getattr(entry, name):
            data[name] = {key: plain_status(status) for key, status in value.items()}
    return data


def from_plain(data: Mapping[str, Any]) -> JobRecord:
    """The inverse of `plain`. Values of a wrong type, and fields that a later version added, are ignored."""
    fields = {}
    for name, value in data.items():
        kind = type(value)  # most fields are of these two kinds: the rest of the check takes much longer
        if (kind is str and name in _PLAIN_TEXTS) or (kind is float and name in _PLAIN_NUMBERS and 0 <= value < 1e11):
            fields[name] = value
            continue
        parse = _PARSERS.get(name)
        if parse is not None:
            try:
                fields[name] = parse(value)
            except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
                continue
    entry = JobRecord(**fields)
    if entry.ended and (entry.array or "" not in entry.ended) and not all(map(entry.has, entry.ended)):
        entry = replace(entry, ended={key: status for key, status in entry.ended.items() if entry.has(key)})
    return entry


def _checked(event: dict[str, Any]) -> dict[str, Any] | JobRecord:
    """The data of an event `job`, if it has an id, a platform and a folder; else raises `ValueError`.

    Any other value of a wrong type is ignored, as if it were missing.
    """
    for name in ("id", "platform", "place"):
        _path(event[name])
    if "\0" in event["place"]:
        raise ValueError("no path")
    if "array" not in event and "ended" not in event:
        return event
    array, ended = event.get("array", []), event.get("ended", {})
    right_types = isinstance(array, list) and isinstance(ended, dict)
    if (
        right_types
        and all(map(_is_plain_end, ended.values()))
        and (not array or not ended)
        and (array or ended.keys() <= {""})
    ):
        return event
    return from_plain(event)  # which elements have ended must be certain, so all is checked


def _is_plain_end(status: Any) -> bool:
    """Whether this is certainly a final status. A quick check: `from_plain` checks what does not pass it."""
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
    """Whether all fields have the right type and range, after an event has changed the record."""
    try:
        for name, value in vars(entry).items():
            if name in _STATUS_FIELDS:
                if not all(entry.has(key) and sound(status) and status.final for key, status in value.items()):
                    return False
            elif value is not None or name != "born":
                _PARSERS[name](value)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return False
    return True


def _path(value: Any) -> str:
    """A text that can be part of a path. Else raises `TypeError` or `UnicodeEncodeError`, which is a `ValueError`."""
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


def _figures(value: Mapping[Any, Any]) -> dict[str, Mapping[str, Any]]:
    """Data of `Usage`, by key. What is in it is checked where it is used."""
    return {_text(key): data for key, data in value.items() if isinstance(data, dict)}


def _statuses(value: Mapping[Any, Any]) -> dict[str, JobStatus]:
    """Final statuses, by key. Values that are no final status are left out."""
    statuses = {}
    for key, data in value.items():
        if type(key) is str and _is_plain_end(data):
            statuses[key] = JobStatus.from_dict(data)
            continue
        try:
            status = data if isinstance(data, JobStatus) else JobStatus.from_dict(data)
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
        if sound(status) and status.final:
            statuses[_text(key)] = status
    return statuses


def _parser_for(default: Any) -> Callable[[Any], Any]:
    """The function that checks a field of which only the default value is known: it requires the same type."""

    def check(value: Any) -> Any:
        if not isinstance(value, type(default)):
            raise TypeError(f"not a {type(default).__name__}")
        return value

    return {str: _text, float: _number, tuple: _texts}.get(type(default), check)


_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # typeshed has not got it
_ENDS = frozenset(state.name for state in JobState if state.final)
_TEXTS = frozenset(("state", "native", "reason", "message", "nodes"))
_NUMBERS = frozenset(("exit_code", "signal", "attempt"))
_TIMES = frozenset(("started", "ended"))
_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    name: _parser_for(item.default_factory() if item.default_factory is not MISSING else item.default)
    for name, item in JobRecord.__dataclass_fields__.items()
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
    "used": _figures,
}
_PLAIN_NUMBERS = frozenset(name for name, parse in _PARSERS.items() if parse is _number)
_PLAIN_TEXTS = frozenset(name for name, parse in _PARSERS.items() if parse is _text)
