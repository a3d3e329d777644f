"""Which recorded jobs are wanted: by name, site, state, and the time of submission."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

from ..states import JobStatus
from .record import JobRecord
from .segments import intended_at

_NAME = re.compile(rb'[,{]"name":"([^"\\]*)"')
HELD = "HELD"  # a word for jobs in the queue that were told not to start


@dataclass(frozen=True)
class RecordFilter:
    """Conditions of which each must hold; those without a value always hold.

    `after`, `before`: when the job was submitted, in seconds since the epoch. `names`: patterns as those of a shell, of
    which one must match. `sites`: names of sites, or of the platform for a job without a site. `states`: names of
    states and of reasons for an end; a job that has not ended has them only for the manager, so it is looked up in
    `going`, the ids of open jobs that are wanted (None: all are). `elements`: an array is wanted if one of its elements
    may be.
    """

    after: float = 0.0
    before: float = math.inf
    names: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    states: frozenset[str] = frozenset()
    going: Collection[str] | None = None
    elements: bool = False

    def covers(self, oldest: float, newest: float) -> bool:
        """Whether a job that was submitted between these times may be wanted."""
        return self.after <= newest and oldest <= self.before

    def may_match(self, line: bytes) -> bool:
        """Whether the record of an ended job in that line may be wanted: a quick look that does not parse it."""
        if self._timed and not self.after <= intended_at(line) <= self.before:
            return False
        if not all(any(mark in line for mark in marks) for marks in self._marks):
            return False
        return not self.names or self._names_match(_name_in(line))

    def matches(self, entry: JobRecord) -> bool:
        """Whether that record is wanted."""
        if not self.matches_open(entry):
            return False
        if entry.open:
            return self.going is None or entry.id in self.going
        if not self.states:
            return True
        from .array_status import worst

        return self.has_state(worst(list(entry.ended.values())), entry)

    def matches_open(self, entry: JobRecord) -> bool:
        """Whether that record is wanted, as far as this does not depend on its state."""
        return (
            self.after <= entry.intended <= self.before
            and (not self.names or self._names_match(entry.name))
            and (not self.sites or (entry.site or entry.platform) in self.sites)
        )

    def has_state(self, status: JobStatus, entry: JobRecord) -> bool:
        """Whether a job with that status is wanted; an array also has the reasons of its elements that have ended."""
        if self.elements and entry.array:
            return entry.open or any(map(self.has_this_state, entry.ended.values()))
        return self.has_this_state(status) or any(map(self._has_reason, entry.ended.values()))

    def has_this_state(self, status: JobStatus) -> bool:
        """Whether one job, or one element, with that status is wanted."""
        if not self.states or status.state.name in self.states or (status.held and HELD in self.states):
            return True
        return self._has_reason(status)

    def _has_reason(self, status: JobStatus) -> bool:
        return status.reason is not None and status.reason.name in self.states

    def _names_match(self, name: str | None) -> bool:
        return name is None or any(fnmatchcase(name, pattern) for pattern in self.names)

    @cached_property
    def _timed(self) -> bool:
        return self.after > 0 or self.before < math.inf

    @cached_property
    def _marks(self) -> Sequence[Sequence[bytes]]:
        """Pieces of a line: of each group, one must be in it."""
        marks: list[Sequence[bytes]] = []
        if self.sites:
            keys = ("site", "platform")
            marks.append([b'"%b":%b' % (key.encode(), _quoted(site)) for key in keys for site in self.sites])
        if self.states:
            keys = ("state", "reason")
            marks.append([b'"%b":%b' % (key.encode(), _quoted(word)) for key in keys for word in self.states])
        return marks


EVERY = RecordFilter()


def _name_in(line: bytes) -> str | None:
    """The name of the job in that line, found without parsing the JSON; None if it cannot be read so."""
    match = _NAME.search(line)
    if match is None:
        return None if b'"name":' in line else ""
    return match[1].decode(errors="replace")  # a damaged line is no record


def _quoted(text: str) -> bytes:
    return json.dumps(text).encode()
