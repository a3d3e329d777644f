"""What the manager knows of a job, and how that stands in the journal and on the screen.

The journal is a file of JSON lines: ``{"new": {...}}`` is a submission, ``{"id": "12", "state": ...}``
changes the named fields of one job, and the first line holds what concerns all. Reading it from top to bottom
gives the state; nothing else is needed and nothing is ever changed in place.
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
COLUMNS = ("id", "state", "exit", "signal", "reason", "submitted", "started", "ended", "host", "tag", "name")
NEVER = "DependencyNeverSatisfied"


_FRESH: dict[str, Any] = {
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
}


_TIME, _TEXT, _WHOLE = (int, float), (str,), (int,)
_NOTHING = (type(None),)
_KINDS: dict[str, tuple[type, ...]] = {
    "state": _TEXT,
    "limit": _TIME,
    "nonce": _TEXT,
    "since": _TIME,
    "starts": _WHOLE,
    "cancel": _TIME,
    "by": (list, *_NOTHING),
    "started": (*_TIME, *_NOTHING),
    "ended": (*_TIME, *_NOTHING),
    "exit": (*_WHOLE, *_NOTHING),
    "signal": (*_WHOLE, *_NOTHING),
    "reason": _TEXT,
}
_SPEC_KINDS: dict[str, tuple[type, ...]] = {
    "affinity": (list,),
    "after": (list,),
    "array": _TEXT,
    "boot": _TEXT,
    "cores": _WHOLE,
    "cwd": _TEXT,
    "held": (bool,),
    "host": _TEXT,
    "id": _TEXT,
    "kill_wait": _TIME,
    "limit": _TIME,
    "name": _TEXT,
    "output": _TEXT,
    "script": (list,),
    "submitted": _TIME,
    "tag": _TEXT,
    "umask": _WHOLE,
}
_ELEMENTS = 1_000_000  # of an array, at most


AFTER = ("afterok", "afterany", "afternotok", "after")
"""What a job may wait for: another one's good end, any end, bad end, or start."""


def indices(text: str) -> list[int]:
    """The indices that ``0-9,12`` means."""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        span = range(int(first), int(last or first) + 1)
        if len(found) + len(span) > _ELEMENTS:
            raise ValueError("too many elements")
        found.extend(span)
    return found


class LocalError(Exception):
    """A sentence for the user."""


class Spec:
    """What was submitted, and never changes. The elements of an array share one."""

    __slots__ = (
        "affinity",
        "after",
        "array",
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
    after: list[str]  # what must have happened first, as kind:id
    held: bool
    cwd: str
    output: str
    umask: int
    affinity: list[int]
    kill_wait: float
    script: list[int]  # size and CRC of the copy, and of the environment: neither is synced to the disk
    submitted: float
    host: str  # where it will run: the machine it was submitted on
    boot: str

    def __init__(self, fields: dict[str, Any]) -> None:
        for field in self.__slots__:
            setattr(self, field, fields[field])

    def as_dict(self) -> dict[str, Any]:
        return {field: getattr(self, field) for field in self.__slots__}


class LocalJob:
    """One job, or one element of an array, as it stands."""

    __slots__ = ("id", "index", "spec", *_FRESH)
    state: str
    limit: float
    nonce: str  # names one attempt to start it: who was sent with another one is late and must leave
    since: float  # when that attempt began
    starts: int
    cancel: float  # when somebody asked for its end
    by: list[Any] | None  # its supervisor: host, boot, pid namespace, pid, start time
    started: float | None
    ended: float | None
    exit: int | None
    signal: int | None
    reason: str

    def __init__(self, spec: Spec, index: int | None) -> None:
        self.spec, self.index = spec, index
        self.id = spec.id if index is None else f"{spec.id}_{index}"
        for field, value in _FRESH.items():
            setattr(self, field, value)
        self.limit = spec.limit
        if spec.held:
            self.state = HELD

    def changes(self) -> dict[str, Any]:
        """What sets it apart from a job that was just submitted."""
        fresh = LocalJob(self.spec, self.index)
        return {f: getattr(self, f) for f in _FRESH if getattr(self, f) != getattr(fresh, f)}

    def row(self) -> str:
        """The line that ``list`` prints. The free text is last, it may hold anything but a line's end."""
        state = QUEUED if self.state == STARTING else self.state
        submitted, started, ended = (_time(t) for t in (self.spec.submitted, self.started, self.ended))
        code = "" if self.exit is None else self.exit
        number = "" if self.signal is None else self.signal
        return (
            f"{self.id}|{state}|{code}|{number}|{self.reason}|{submitted}|{started}|{ended}"
            f"|{self.spec.host}|{self.spec.tag}|{self.spec.name}"
        )


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.3f}"


def parse_row(line: str) -> dict[str, Any]:
    """A line of ``list`` as a dictionary with numbers, and None for what is not known."""
    fields: dict[str, Any] = dict(zip(COLUMNS, line.split("|", len(COLUMNS) - 1), strict=True))
    for name, kind in (("exit", int), ("signal", int), ("submitted", float), ("started", float), ("ended", float)):
        fields[name] = kind(fields[name]) if fields[name] else None
    return fields


def _check(fields: dict[str, Any], kinds: dict[str, tuple[type, ...]]) -> None:
    """Raise `KeyError`, `TypeError` or `ValueError` for a field that makes no sense: it would be met later on."""
    for field, value in fields.items():
        if type(value) not in kinds[field]:
            raise TypeError(f"{field} is of a wrong kind")
        if isinstance(value, int | float) and not abs(value) < 1e12:  # infinite, or no number
            raise ValueError(f"{field} is out of range")


def _check_texts(values: list[Any], kind: type) -> None:
    if not all(type(value) is kind for value in values):
        raise TypeError("a list of other things")


def _names_owner(by: list[Any] | None) -> bool:
    """Whether that names a supervisor: host, boot, pid namespace, pid, start time."""
    if by is None:
        return True
    return (
        len(by) == 5 and type(by[3]) is int and 0 < by[3] < 2**31 and all(type(by[at]) is str for at in (0, 1, 2, 4))
    )


class State:
    """All jobs in the journal, oldest first, and the changes that are still to be written."""

    def __init__(self) -> None:
        self.jobs: dict[str, LocalJob] = {}
        self.groups: dict[str, list[LocalJob]] = {}  # by the submission's id: one job, or an array's elements
        self.next_id = 1
        self.history = (0, 0, 0)  # the file of ended jobs: its number, its bytes, its lines
        self.headed = False
        self.lines = 0  # in the journal
        self.valid = 0  # bytes of the journal that are whole lines
        self.pending: list[str] = []
        self.closed: set[str] = set()  # submissions of which a job has ended just now
        self.starting: list[LocalJob] = []  # to be given a supervisor once the change is written

    def read(self, data: bytes) -> None:
        """Take in the journal. A line that makes no sense harms no other one."""
        self.valid = data.rfind(b"\n") + 1  # what follows is the torn end of a write that never was
        for line in data[: self.valid].split(b"\n"):
            if line:
                self.lines += 1
                try:
                    self._take(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                    continue

    def _take(self, fields: dict[str, Any]) -> None:
        if "new" in fields:
            new = fields["new"]
            _check(new, _SPEC_KINDS)
            _check_texts(new["after"], str)
            _check_texts(new["affinity"], int)
            self._put(Spec(new))
        elif "id" in fields:
            job = self.jobs[fields.pop("id")]
            _check(fields, _KINDS)
            if fields.get("state", QUEUED) not in _STATES or not _names_owner(fields.get("by")):
                raise ValueError("no state, or no supervisor")
            for field, value in fields.items():
                setattr(job, field, value)
        elif fields["version"] != VERSION:
            raise LocalError("the state directory was written by another version of psij-parsl")
        else:
            number, size, lines = fields["history"]
            self.history = (int(number), int(size), int(lines))
            self.next_id = max(self.next_id, int(fields["next"]))
            self.headed = True

    def _put(self, spec: Spec) -> list[LocalJob]:
        every = indices(spec.array) if spec.array else [None]
        number = int(spec.id)
        self.groups[spec.id] = group = [LocalJob(spec, index) for index in every]
        self.jobs.update((job.id, job) for job in group)
        self.next_id = max(self.next_id, number + 1)
        return group

    def header(self) -> str:
        return json.dumps({"version": VERSION, "next": self.next_id, "history": self.history})

    def add(self, spec: Spec) -> list[LocalJob]:
        self.pending.append(json.dumps({"new": spec.as_dict()}))
        return self._put(spec)

    def change(self, job: LocalJob, **fields: Any) -> None:
        for field, value in fields.items():
            setattr(job, field, value)
        if job.state in ENDED:
            self.closed.add(job.spec.id)
        self.pending.append(json.dumps({"id": job.id, **fields}))

    def find(self, name: str) -> list[LocalJob]:
        """The jobs that an id means: one, or all elements of an array, or none."""
        job = self.jobs.get(name)
        return [job] if job else self.groups.get(name, [])

    def finished(self) -> list[str]:
        """The submissions that have ended altogether and that no waiting job asks about."""
        needed: set[str] = set()
        done = []
        for name, group in self.groups.items():
            if all(job.state in ENDED for job in group):
                done.append(name)
            else:
                needed.update(after.partition(":")[2].split("_")[0] for after in group[0].spec.after)
        return [name for name in done if name not in needed]

    def compacted(self) -> Iterator[str]:
        """The shortest journal that gives this state."""
        yield self.header()
        for group in self.groups.values():
            yield json.dumps({"new": group[0].spec.as_dict()})
            for job in group:
                if changes := job.changes():
                    yield json.dumps({"id": job.id, **changes})
