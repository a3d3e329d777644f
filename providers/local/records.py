"""The local manager's job records: as objects, as lines of its journal, and as rows that ``list`` prints.

The journal is a file of JSON lines: ``{"new": {...}}`` is a submission, ``{"id": "12", "state": ...}``
changes the named fields of one job, and the first line, the header, holds what concerns all jobs. Reading it from
top to bottom gives the state; nothing else is needed and nothing is ever changed in place.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False  # see processes.py
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

VERSION = 1
QUEUED, HELD, STARTING, RUNNING = "QUEUED", "HELD", "STARTING", "RUNNING"
DONE, FAILED, CANCELLED, TIMEOUT, LOST = "DONE", "FAILED", "CANCELLED", "TIMEOUT", "LOST"
ENDED = frozenset((DONE, FAILED, CANCELLED, TIMEOUT, LOST))
_STATES = ENDED | {QUEUED, HELD, STARTING, RUNNING}
COLUMNS = (
    *("id", "state", "exit", "signal", "reason", "submitted", "started", "ended"),
    *("cpu", "memory", "host", "tag", "name"),
)
_OLD_COLUMNS = tuple(column for column in COLUMNS if column not in ("cpu", "memory"))
NEVER_SATISFIED = "DependencyNeverSatisfied"


_INITIAL_VALUES: dict[str, Any] = {
    "state": QUEUED,
    "limit": 0.0,
    "nonce": "",
    "since": 0.0,
    "starts": 0,
    "cancel": 0.0,
    "by": None,
    "started": None,
    "ended": None,
    "exit": None,
    "signal": None,
    "reason": "",
    "cpu": None,
    "memory": None,
}


_NUMBER, _STRING, _INTEGER = (int, float), (str,), (int,)
_NONE = (type(None),)
_FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "state": _STRING,
    "limit": _NUMBER,
    "nonce": _STRING,
    "since": _NUMBER,
    "starts": _INTEGER,
    "cancel": _NUMBER,
    "by": (list, *_NONE),
    "started": (*_NUMBER, *_NONE),
    "ended": (*_NUMBER, *_NONE),
    "exit": (*_INTEGER, *_NONE),
    "signal": (*_INTEGER, *_NONE),
    "reason": _STRING,
    "cpu": (*_NUMBER, *_NONE),
    "memory": (*_INTEGER, *_NONE),
}
_SPEC_FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "affinity": (list,),
    "after": (list,),
    "array": _STRING,
    "at_once": _INTEGER,
    "begin": _NUMBER,
    "boot": _STRING,
    "cores": _INTEGER,
    "cwd": _STRING,
    "held": (bool,),
    "host": _STRING,
    "id": _STRING,
    "kill_wait": _NUMBER,
    "limit": _NUMBER,
    "name": _STRING,
    "output": _STRING,
    "script": (list,),
    "submitted": _NUMBER,
    "tag": _STRING,
    "umask": _INTEGER,
}
#: Fields that journals do not have of jobs that ask for none of it, and older ones never.
_SPEC_DEFAULTS: dict[str, Any] = {"at_once": 0, "begin": 0}
_MAX_ELEMENTS = 1_000_000  # of an array, at most


AFTER = ("afterok", "afterany", "afternotok", "after", "aftercorr")
"""The kinds of dependency: on another job's success, its end, its failure, or its start; each element on the success
of that with the same index."""


def indices(text: str) -> list[int]:
    """The array indices that ``0-9,12`` means. Raises `ValueError` if they are too many, or no numbers."""
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        span = range(int(first), int(last or first) + 1)
        if len(numbers) + len(span) > _MAX_ELEMENTS:
            raise ValueError("too many elements")
        numbers.extend(span)
    return numbers


class LocalError(Exception):
    """The local manager cannot do what it was asked; the message is a sentence for the user."""


class Spec:
    """One submission, which never changes. The elements of an array share one."""

    __slots__ = (
        "affinity",
        "after",
        "array",
        "at_once",
        "begin",
        "boot",
        "cores",
        "cwd",
        "held",
        "host",
        "id",
        "kill_wait",
        "limit",
        "name",
        "output",
        "script",
        "submitted",
        "tag",
        "umask",
    )
    id: str
    name: str
    tag: str
    cores: int
    limit: float  # wall time in seconds, 0: none
    array: str  # indices such as 0-9,12; "": a plain job
    at_once: int  # how many of its elements may run at a time, 0: all
    begin: float  # seconds since 1970 before which it does not start
    after: list[str]  # dependencies, as kind:id
    held: bool
    cwd: str
    output: str
    umask: int
    affinity: list[int]
    kill_wait: float
    script: list[int]  # size and CRC of the copy, and of the environment: neither is synced to the disk
    submitted: float
    host: str  # the machine that it was submitted on, and will run on
    boot: str

    def __init__(self, fields: dict[str, Any]) -> None:
        for field in self.__slots__:
            setattr(self, field, fields[field] if field in fields else _SPEC_DEFAULTS[field])

    def as_dict(self) -> dict[str, Any]:
        values = {field: getattr(self, field) for field in self.__slots__}
        return {field: value for field, value in values.items() if value != _SPEC_DEFAULTS.get(field, self)}


class LocalJob:
    """One job, or one element of an array, in its current state."""

    __slots__ = ("id", "index", "spec", *_INITIAL_VALUES)
    state: str
    limit: float
    nonce: str  # identifies one attempt to start the job: a supervisor with another nonce came too late and must exit
    since: float  # when that attempt began
    starts: int
    cancel: float  # when its cancellation was requested, 0: never
    by: list[Any] | None  # its supervisor: host, boot, pid namespace, pid, start time
    started: float | None
    ended: float | None
    exit: int | None
    signal: int | None
    reason: str
    cpu: float | None  # seconds that its processes have used
    memory: int | None  # the most bytes that they had at a time

    def __init__(self, spec: Spec, index: int | None) -> None:
        self.spec, self.index = spec, index
        self.id = spec.id if index is None else f"{spec.id}_{index}"
        for field, value in _INITIAL_VALUES.items():
            setattr(self, field, value)
        self.limit = spec.limit
        if spec.held:
            self.state = HELD

    def changes(self) -> dict[str, Any]:
        """The fields in which it differs from a job that was just submitted."""
        initial = LocalJob(self.spec, self.index)
        return {
            field: getattr(self, field)
            for field in _INITIAL_VALUES
            if getattr(self, field) != getattr(initial, field)
        }

    def row(self, why_it_waits: str = "") -> str:
        """The line that ``list`` prints. The name is last, because it may hold anything but a line break."""
        state = QUEUED if self.state == STARTING else self.state
        submitted, started, ended, cpu = map(_time, (self.spec.submitted, self.started, self.ended, self.cpu))
        code = "" if self.exit is None else self.exit
        number = "" if self.signal is None else self.signal
        return (
            f"{self.id}|{state}|{code}|{number}|{self.reason or why_it_waits}|{submitted}|{started}|{ended}"
            f"|{cpu}|{self.memory or ''}|{self.spec.host}|{self.spec.tag}|{self.spec.name}"
        )


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.3f}"


def parse_row(line: str) -> dict[str, Any]:
    """A line of ``list`` as a dictionary with numbers; None where a field is empty, or missing in an older line."""
    host = line.split("|", 9)[8:9]  # in an older line; else a number of seconds, or nothing
    columns = _OLD_COLUMNS if host and host[0].strip("0123456789.") else COLUMNS
    fields: dict[str, Any] = dict(zip(columns, line.split("|", len(columns) - 1), strict=True))
    times = dict.fromkeys(("submitted", "started", "ended", "cpu"), float)
    for name, kind in {"exit": int, "signal": int, "memory": int, **times}.items():
        fields[name] = kind(fields[name]) if fields.get(name) else None
    return fields


def _check_types(fields: dict[str, Any], kinds: dict[str, tuple[type, ...]]) -> None:
    """Raise `KeyError`, `TypeError` or `ValueError` for an unknown field or a bad value, which would fail later."""
    for field, value in fields.items():
        if type(value) not in kinds[field]:
            raise TypeError(f"{field} is of a wrong kind")
        if isinstance(value, int | float) and not abs(value) < 1e12:  # infinite, or no number
            raise ValueError(f"{field} is out of range")


def _check_items(values: list[Any], kind: type) -> None:
    if not all(type(value) is kind for value in values):
        raise TypeError("a list of other things")


def _is_supervisor(by: list[Any] | None) -> bool:
    """Whether that identifies a supervisor (host, boot, pid namespace, pid, start time), or is None."""
    if by is None:
        return True
    return (
        len(by) == 5 and type(by[3]) is int and 0 < by[3] < 2**31 and all(type(by[at]) is str for at in (0, 1, 2, 4))
    )


class State:
    """All jobs in the journal, oldest first, and the changes that are not written yet."""

    def __init__(self) -> None:
        self.jobs: dict[str, LocalJob] = {}
        self.groups: dict[str, list[LocalJob]] = {}  # by the submission's id: one job, or an array's elements
        self.next_id = 1
        self.history = (0, 0, 0)  # the file of ended jobs: its number, its bytes, its lines
        self.has_header = False
        self.lines = 0  # in the journal
        self.valid_bytes = 0  # bytes of the journal that are whole lines
        self.pending: list[str] = []  # lines to be written to the journal
        self.newly_ended: set[str] = set()  # ids of submissions of which a job has ended in this transaction
        self.starting: list[LocalJob] = []  # jobs whose supervisors are launched after the changes are written

    def read(self, data: bytes) -> None:
        """Read the journal's bytes. A damaged line is passed over, and affects no other line."""
        self.valid_bytes = data.rfind(b"\n") + 1  # what follows is the torn line of a write that did not complete
        for line in data[: self.valid_bytes].split(b"\n"):
            if line:
                self.lines += 1
                try:
                    self._apply(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                    continue

    def _apply(self, fields: dict[str, Any]) -> None:
        if "new" in fields:
            new = fields["new"]
            _check_types(new, _SPEC_FIELD_TYPES)
            _check_items(new["after"], str)
            _check_items(new["affinity"], int)
            self._add_jobs(Spec(new))
        elif "id" in fields:
            job = self.jobs[fields.pop("id")]
            _check_types(fields, _FIELD_TYPES)
            if fields.get("state", QUEUED) not in _STATES or not _is_supervisor(fields.get("by")):
                raise ValueError("no state, or no supervisor")
            for field, value in fields.items():
                setattr(job, field, value)
        elif fields["version"] != VERSION:
            raise LocalError("the state directory was written by another version of psij-parsl")
        else:
            number, size, lines = fields["history"]
            self.history = (int(number), int(size), int(lines))
            self.next_id = max(self.next_id, int(fields["next"]))
            self.has_header = True

    def _add_jobs(self, spec: Spec) -> list[LocalJob]:
        element_indices = indices(spec.array) if spec.array else [None]
        number = int(spec.id)
        self.groups[spec.id] = group = [LocalJob(spec, index) for index in element_indices]
        self.jobs.update((job.id, job) for job in group)
        self.next_id = max(self.next_id, number + 1)
        return group

    def header(self) -> str:
        return json.dumps({"version": VERSION, "next": self.next_id, "history": self.history})

    def add(self, spec: Spec) -> list[LocalJob]:
        self.pending.append(json.dumps({"new": spec.as_dict()}))
        return self._add_jobs(spec)

    def change(self, job: LocalJob, **fields: Any) -> None:
        for field, value in fields.items():
            setattr(job, field, value)
        if job.state in ENDED:
            self.newly_ended.add(job.spec.id)
        self.pending.append(json.dumps({"id": job.id, **fields}))

    def find(self, name: str) -> list[LocalJob]:
        """The jobs with this id: one job, all elements of an array, or none."""
        job = self.jobs.get(name)
        return [job] if job else self.groups.get(name, [])

    def removable(self) -> list[str]:
        """The ids of submissions all of whose jobs have ended and on which no waiting job depends."""
        needed: set[str] = set()
        ended = []
        for submission_id, group in self.groups.items():
            if all(job.state in ENDED for job in group):
                ended.append(submission_id)
            else:
                needed.update(after.partition(":")[2].split("_")[0] for after in group[0].spec.after)
        return [submission_id for submission_id in ended if submission_id not in needed]

    def compacted(self) -> Iterator[str]:
        """The shortest journal that gives this state."""
        yield self.header()
        for group in self.groups.values():
            yield json.dumps({"new": group[0].spec.as_dict()})
            for job in group:
                if changes := job.changes():
                    yield json.dumps({"id": job.id, **changes})
