"""What the journal knows of one submission, and the lines that say it.

A line is one event in JSON: `job` has the whole record, the others change a part of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .files import owner_gone
from .states import JobState, JobStatus

LOG = "manager.log"  # the file in a job's folder to which the manager writes its own log


@dataclass(frozen=True)
class Entry:
    """One submission: a job, or a job array. Times are seconds since the epoch.

    `native` is '' until the manager has given an id; `sure`: it stood alone in the manager's answer. `elements` are
    the ids of an array's elements where these are no function of `native`. `born` is the manager's own time of the
    submission, as noted when a record was first proved to be ours. `ended` holds the final status by array index
    ('' for a job that is no array), `dropped` that of failed jobs which the manager was told to forget. `unsent` are
    the keys in `cancelled` of which the manager was not told yet.
    """

    id: str
    platform: str
    place: str  # its folder, as text
    site: str = ""
    cluster: str = ""
    name: str = ""
    command: str = ""
    array: tuple[int, ...] = ()
    native: str = ""
    owner: str = ""
    run: str = ""
    intended: float = 0.0
    committed: float = 0.0
    cancelled: Mapping[str, float] = field(default_factory=dict)
    ended: Mapping[str, JobStatus] = field(default_factory=dict)
    twins: tuple[str, ...] = ()  # ids of second copies that the manager made of it
    attached: bool = False  # submitted by somebody else
    sure: bool = False
    elements: tuple[str, ...] = ()
    born: float | None = None
    unsent: tuple[str, ...] = ()
    dropped: Mapping[str, JobStatus] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where its script, output, claim and exit file lie."""
        return Path(self.place)

    @property
    def keys(self) -> Sequence[str]:
        """The key of each element: '' alone for a job that is no array."""
        return [str(index) for index in self.array] if self.array else [""]

    @property
    def open(self) -> bool:
        """Whether any element has not been seen to end."""
        return len(self.ended) < len(self.array or ("",))

    def over(self, key: str) -> bool:
        """Whether that element has ended; '' and '*' mean all of it."""
        return not self.open if key in ("", "*") else key in self.ended

    @property
    def orphaned(self) -> bool:
        """Whether it waits or runs for a workflow (`run` is its process) that is known to have ended."""
        return bool(self.run) and self.open and owner_gone(self.run) is True

    def cancel_asked(self, key: str) -> bool:
        """Whether somebody asked us to cancel that element."""
        return key in self.cancelled or "*" in self.cancelled

    def cancel_unsent(self, key: str) -> bool:
        """Whether the manager was not told: its id was not known yet, or no record of it had been seen."""
        return any(
            asked in self.unsent or self.cancelled.get(asked, self.committed) < self.committed for asked in (key, "*")
        )

    def element_folder(self, key: str) -> Path:
        """Where that element's claim, exit file and output lie."""
        return self.folder / key if key else self.folder


def element_id(entry: Entry, key: str) -> str:
    """Our id of one element; '' and '*' are the submission as a whole."""
    return f"{entry.id}_{key}" if key not in ("", "*") else entry.id


NAMED = "cluster="  # before the name of a cluster, where one was chosen, at the end of `Entry.cluster`


def cluster_in(key: str) -> str:
    """The name of the cluster that was chosen, in `Entry.cluster`; '' if none was."""
    before, found, name = key.rpartition(NAMED)
    return name if found and (not before or before.endswith("|")) else ""


# ---- lines ---------------------------------------------------------------------------------------------------


Records = dict[str, "Entry | dict[str, Any]"]
"""By id; a record stays the data of its line until it is looked at."""


def made(entries: Records, job_id: str) -> Entry:
    """A record as an `Entry`, made of its line if this is the first look at it."""
    record = entries[job_id]
    if isinstance(record, Entry):
        return record
    try:
        entry = from_plain(record)
    except (AttributeError, KeyError, TypeError, ValueError):  # damaged: what is left of it stays known
        entry = Entry(job_id, str(record["platform"]), str(record["place"]))
    entries[job_id] = entry
    return entry


def is_open(record: Entry | dict[str, Any]) -> bool:
    """`Entry.open` without making one."""
    if isinstance(record, Entry):
        return record.open
    return len(record.get("ended", ())) < len(record.get("array") or ("",))


def apply(entries: Records, event: dict[str, Any]) -> None:
    """Change the records as one line says. What a later version may write is passed over."""
    kind, job_id = event.get("e"), event.get("id", "")
    if kind == "job":
        if "platform" in event and "place" in event:  # a line that makes sense
            entries[job_id] = event
        return
    if job_id not in entries:
        return
    entry = made(entries, job_id)
    if kind == "native":
        entries[job_id] = replace(
            entry, native=event["native"], committed=event["t"], sure=bool(event.get("sure")),
            elements=tuple(event.get("elements", ())), cluster=event.get("cluster", entry.cluster),
        )  # fmt: skip
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
    elif kind == "gone":
        del entries[job_id]


_FIELDS = frozenset(Entry.__dataclass_fields__)
_LISTS = ("array", "twins", "elements", "unsent")
_STATUSES = ("ended", "dropped")
_PLAIN = (
    "site", "cluster", "name", "command", "native", "owner", "run", "intended", "committed", "attached", "sure", "born",
)  # fmt: skip
_DEFAULT_STATUS = JobStatus(JobState.UNKNOWN).to_dict()


def plain_status(status: JobStatus) -> dict[str, Any]:
    """A status as data for JSON, without what is as usual."""
    return {key: value for key, value in status.to_dict().items() if value != _DEFAULT_STATUS[key]}


def plain(entry: Entry) -> dict[str, Any]:
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


def from_plain(data: Mapping[str, Any]) -> Entry:
    """The inverse of `plain`."""
    known = dict(data)
    for key in known.keys() - _FIELDS:  # "e", and what a later version may add
        del known[key]
    for name in _LISTS:
        if name in known:
            known[name] = tuple(known[name])
    for name in _STATUSES:
        if name in known:
            known[name] = {key: JobStatus.from_dict(status) for key, status in known[name].items()}
    return Entry(**known)
