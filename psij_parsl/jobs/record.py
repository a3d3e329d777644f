"""The journal's record of one submission."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ..states import JobStatus
from ..system.processes import process_has_ended


@dataclass(frozen=True)
class JobRecord:
    """One submission: a job, or a job array. Times are seconds since the epoch.

    `native` is the manager's id, '' until the manager has given it; `sure`: its answer to the submit command had no
    other id. `elements` are the ids of an array's elements, if they cannot be computed from `native`. `intended` and
    `committed` are our times before the submit command and after its answer; `born` is the manager's own time of the
    submission, from the first record that was proved to be ours. `ended` holds the final status by array index
    ('' for a job that is no array), `dropped` that of failed jobs that we then removed from the manager.
    `left` is when the process that submits gave up waiting for the manager's answer, 0 if it did not.
    `cancelled` holds when each element was asked to be cancelled; `unsent` are the keys in it for which no cancel
    command was sent to the manager yet. `owner` is the process that submits, `run` that of the workflow. `queue`
    is what people call the job's queue, '' for the manager's own choice. `resubmitted_from` is our id of the submission
    that this one repeats, '' for one that repeats none. `used` holds what elements that have ended have used, by array
    index, as data of `Usage`.
    """

    id: str
    platform: str
    place: str  # its folder (directory), as text
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
    left: float = 0.0
    cancelled: Mapping[str, float] = field(default_factory=dict)
    ended: Mapping[str, JobStatus] = field(default_factory=dict)
    twins: tuple[str, ...] = ()  # the manager's ids of duplicate submissions of this job
    attached: bool = False  # submitted by somebody else
    sure: bool = False
    elements: tuple[str, ...] = ()
    born: float | None = None
    unsent: tuple[str, ...] = ()
    dropped: Mapping[str, JobStatus] = field(default_factory=dict)
    queue: str = ""
    resubmitted_from: str = ""
    used: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The directory with its script, output, claim and exit file."""
        return Path(self.place)

    @property
    def keys(self) -> Sequence[str]:
        """The key of each element: '' alone for a job that is no array."""
        return [str(index) for index in self.array] if self.array else [""]

    @property
    def open(self) -> bool:
        """Whether the end of any element is not recorded yet."""
        return len(self.ended) < len(self.array or ("",))

    def has(self, key: str) -> bool:
        """Whether there is an element with that key; '' is the key of a job that is no array."""
        if not self.array or not key.isdecimal():
            return not self.array and not key
        return self.array[0] <= int(key) <= self.array[-1] or int(key) in self.array

    def keys_of(self, key: str) -> Sequence[str]:
        """The keys of the elements that one key means; '' and '*' mean all elements."""
        return self.keys if key in ("", "*") else [key]

    def over(self, key: str) -> bool:
        """Whether that element has ended; '' and '*' mean all elements."""
        return not self.open if key in ("", "*") else key in self.ended

    @property
    def orphaned(self) -> bool:
        """Whether the job has not ended, but its workflow has: the process `run` has certainly ended."""
        return bool(self.run) and self.open and process_has_ended(self.run) is True

    def cancel_asked(self, key: str) -> bool:
        """Whether a user asked us to cancel that element."""
        return key in self.cancelled or "*" in self.cancelled

    def cancel_unsent(self, key: str) -> bool:
        """Whether no cancel command was sent: there was no id yet, or the manager had shown no record of the job."""
        return any(
            asked in self.unsent or self.cancelled.get(asked, self.committed) < self.committed for asked in (key, "*")
        )

    def element_folder(self, key: str) -> Path:
        """The directory with that element's claim, exit file and output."""
        return self.folder / key if key else self.folder


def element_id(entry: JobRecord, key: str) -> str:
    """Our id of one element; '' and '*' are the submission as a whole."""
    return f"{entry.id}_{key}" if key not in ("", "*") else entry.id


JobPart: TypeAlias = tuple[JobRecord, str]
"""A record, and the key of one of its elements; '' is a job that is no array, '*' an array as a whole."""
