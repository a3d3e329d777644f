"""Builds the jobs' records from the events in the journal's log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .record import JobRecord
from .record_lines import Records, apply, is_open, line_of, valid
from .segments import Segment, found_in, may_hold
from .shelf import Shelf

HEAD = 64  # bytes at the beginning of a log; they differ after it was rewritten
#: The exceptions that damaged data raise when they are read as a record.
DAMAGE = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)


class LogRecords:
    """The records of the jobs in the log, by id, and what the log says about those in segments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # of the segments
        self.listeners: list[set[str]] = []  # a job's id is added to each set when its last end is read
        self.clear()

    def clear(self) -> None:
        """Forget everything, as for an empty log."""
        self.records: Records = {}  # in the order of their submission
        self.forgotten: set[str] = set()
        self.segment_names: list[str] | None = None  # the valid ones; None: the log does not say
        self.latest = ""  # the id of the job that was submitted last
        self.ended_bytes = 0  # of ended records in the log
        self.damaged = 0  # lines that could not be read

    def take(self, text: bytes) -> None:
        """Apply the events in these lines, which must be complete. A damaged line is counted and skipped."""
        lines = text.splitlines()
        for line, event in zip(lines, _events(lines), strict=True):
            try:
                self._take_event(line, event)
            except DAMAGE:
                self.damaged += bool(line)

    def _take_event(self, line: bytes, event: Any) -> None:
        if not isinstance(event, dict):
            raise TypeError("no event")
        kind, job_id = event.get("e"), event.get("id")
        if kind == "log":
            names = event.get("segments")
            self.segment_names = (
                [name for name in names if isinstance(name, str)] if isinstance(names, list) else None
            )
            latest = event.get("last")
            self.latest = latest if isinstance(latest, str) else ""
            return
        if not isinstance(job_id, str):
            raise TypeError("no id")
        before = self.records.get(job_id)
        if kind == "again":
            self.forgotten.add(job_id)  # the one in a segment
            event = {**event, "e": "job"}
        if kind == "gone":
            self.forgotten.add(job_id)
            if self.records.pop(job_id, None) is not None and isinstance(before, bytes):
                self.ended_bytes -= len(before)
            return
        apply(self.records, event)
        after = self.records.get(job_id)
        if after is None:
            return
        if isinstance(after, JobRecord) and after is not before and not valid(after):
            if before is None:
                del self.records[job_id]
            else:
                self.records[job_id] = before
            raise ValueError("of a wrong kind")
        if kind == "job":
            self.latest = job_id
        if after is not before:
            if isinstance(before, bytes):
                self.ended_bytes -= len(before)
            if not is_open(after):
                if kind == "end":
                    for ended in self.listeners:
                        ended.add(job_id)
                whole = kind == "job" and after is event and may_hold(job_id, line)
                packed = self.records[job_id] = line if whole else line_of(after)
                self.ended_bytes += len(packed)

    def shelf(self) -> Shelf:
        """The records in the segments. The caller must have read the log to its end just before."""
        if self.segment_names is None:  # never rewritten, or the line with the names is damaged: all are used
            return Shelf(found_in(self.folder), frozenset(self.forgotten), dict(self.records), exact=False)
        segments = [Segment.named(self.folder / name) for name in self.segment_names]
        return Shelf(
            [segment for segment in segments if segment is not None], frozenset(self.forgotten), dict(self.records)
        )


def _events(lines: Sequence[bytes]) -> Sequence[Any]:
    """The event in each line; None for a line that cannot be read."""
    try:
        events: list[Any] = json.loads(b"[" + b",".join(lines) + b"]")
        if len(events) == len(lines) and b"" not in lines:
            return events
    except (RecursionError, ValueError):
        pass
    return [_event(line) for line in lines]


def _event(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (RecursionError, ValueError):  # its writer was killed; recovery finds the job again by its tag
        return None
