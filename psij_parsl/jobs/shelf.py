"""Finds records of ended jobs in the segments without loading them all."""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Callable, Collection, ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import attrgetter, itemgetter

from .record import JobRecord
from .record_filter import EVERY, RecordFilter
from .record_lines import Records, from_line, line_of, record_of, repeats_marker
from .segments import ID, IDS, LINE, Segment, intended_at

_SEPARATE_SEARCHES = 16  # up to so many ids are searched for one by one
_TIME_LENGTH = 6  # characters of an id that are its time, in seconds
_ROOT = re.compile(rb'\{"e":"job","id":"[0-9a-z]+","platform":"[^"\\\n]*","place":"([^"\\\n]*(?:\\.[^"\\\n]*)*)/')


@dataclass(frozen=True)
class Shelf:
    """The records in these segments, without those that are `gone` (forgotten) or `live` (in the log).

    All of them are records of jobs that have ended.
    """

    segments: Sequence[Segment] = ()
    gone: Collection[str] = frozenset()
    live: Collection[str] = frozenset()
    exact: bool = True  # no record is in two segments, or in a segment and in the log

    def some(self, ids: Iterable[str]) -> dict[str, JobRecord]:
        """The records with these ids, as far as the segments have them."""
        wanted = sorted({job_id for job_id in ids if self._counts(job_id) and ID.fullmatch(job_id)})
        entries: dict[str, JobRecord] = {}
        for segment in self.segments if wanted else ():
            here = [job_id for job_id in wanted if segment.first <= job_id <= segment.last and job_id not in entries]
            if not here:
                continue
            text = segment.read()
            if len(here) <= _SEPARATE_SEARCHES:
                lines = ((job_id, _line(text, job_id)) for job_id in here)
            else:
                among = set(here)
                lines = ((job_id, line) for job_id, line in _all(text) if job_id in among)
            entries.update((job_id, entry) for job_id, line in lines if line and (entry := _entry(line)) is not None)
        return entries

    def with_prefix(self, prefix: str) -> list[str]:
        """The ids that begin with that prefix."""
        return sorted(
            {
                job_id
                for segment in self.segments
                if segment.first[: len(prefix)] <= prefix <= segment.last[: len(prefix)]
                for job_id in segment.ids()
                if job_id.startswith(prefix) and self._counts(job_id)
            }
        )

    def native(self, native: str, accepts: Callable[[JobRecord], bool]) -> JobRecord | None:
        """The newest record that has this id of the manager, among those for which `accepts` is true."""
        marker = f'"native":{json.dumps(native)}'.encode()
        latest: JobRecord | None = None
        for segment in self._newest_first():
            if latest is not None and segment.newest < latest.intended:
                break
            for entry in self._with_marker(segment, marker):
                if entry.native == native and accepts(entry):
                    latest = max(latest or entry, entry, key=attrgetter("intended"))
        return latest

    def resubmissions(self, entry: JobRecord) -> list[JobRecord]:
        """The records of submissions that repeat that one."""
        marker = repeats_marker(entry.id)
        found: dict[str, JobRecord] = {}
        for segment in self._newest_first():
            if segment.newest + 1 < entry.intended:
                break
            for one in self._with_marker(segment, marker):
                if one.resubmitted_from == entry.id:
                    found[one.id] = one
        return list(found.values())

    def _with_marker(self, segment: Segment, marker: bytes) -> Iterator[JobRecord]:
        """The records of a segment whose lines have that text."""
        text = segment.read()
        at = text.find(marker)
        while at >= 0:
            start, end = text.rfind(b"\n", 0, at) + 1, text.find(b"\n", at)
            entry = _entry(text[start : end if end >= 0 else len(text)])
            if entry is not None and self._counts(entry.id):
                yield entry
            at = text.find(marker, at + 1)

    def recent(self, count: int, wanted: RecordFilter = EVERY) -> list[JobRecord]:
        """The newest `count` of the wanted records, oldest first."""
        newest: list[tuple[float, str, bytes]] = []
        for segment in self._newest_first():
            if segment.newest < wanted.after or (len(newest) >= count and segment.newest < newest[0][0]):
                break
            candidates = (
                (intended_at(line), job_id, line)
                for job_id, line in segment.lines()
                if self._counts(job_id) and wanted.may_match(line)
            )
            for found in sorted(candidates, reverse=True) if wanted.covers(segment.oldest, segment.newest) else ():
                if len(newest) >= count and found < newest[0]:
                    break
                if _wanted(found[2], wanted) is not None:
                    heapq.heappush(newest, found)
                if len(newest) > count:
                    heapq.heappop(newest)
        entries = (_entry(line) for _, _, line in sorted(newest))
        return list({entry.id: entry for entry in entries if entry is not None}.values())

    def aged(self, before: float) -> Iterator[JobRecord]:
        """The records submitted before that time."""
        for segment in self.segments:
            if segment.oldest <= before:
                for job_id, line in segment.lines():
                    if self._counts(job_id) and intended_at(line) <= before and (entry := _entry(line)) is not None:
                        yield entry

    def places(self) -> tuple[set[str], set[str]]:
        """All ids, and the parent directories of the jobs' folders."""
        ids: set[str] = set()
        roots: set[bytes] = set()
        for segment in self.segments:
            text = segment.read()
            ids.update(map(bytes.decode, IDS.findall(text)))
            roots.update(_ROOT.findall(text))
        return ids.difference(self.gone, self.live), set(filter(None, map(_string, roots)))

    def ids(self) -> set[str]:
        """All ids."""
        return {job_id for segment in self.segments for job_id in segment.ids() if self._counts(job_id)}

    @cached_property
    def count(self) -> int:
        """The number of records."""
        if self.exact and not self.gone:
            return sum(segment.count for segment in self.segments)
        return len(self.ids())

    def merged(self, others: Sequence[JobRecord] = (), wanted: RecordFilter = EVERY) -> Iterator[JobRecord]:
        """All wanted records and these others, oldest first."""
        extra = sorted((entry.id[:_TIME_LENGTH], at, entry) for at, entry in enumerate(others))
        streams: list[Iterable[tuple[str, int, JobRecord | bytes]]] = [extra]
        streams += [
            (
                (job_id[:_TIME_LENGTH], at, line)
                for job_id, line in segment.lines()
                if self._counts(job_id) and wanted.may_match(line)
            )
            for at, segment in enumerate(self.segments, len(others))
            if wanted.covers(segment.oldest, segment.newest)
        ]
        seen: set[str] = set()
        for _, group in groupby(heapq.merge(*streams, key=itemgetter(0)), itemgetter(0)):
            entries = [entry for _, _, line in group if (entry := _wanted(line, wanted)) is not None]
            for entry in sorted(entries, key=attrgetter("intended")) if len(entries) > 1 else entries:
                if self.exact or entry.id not in seen:
                    yield entry
                if not self.exact:
                    seen.add(entry.id)

    def damage(self) -> int:
        """How many lines cannot be read, or are missing although the name of a segment counts them."""
        bad = 0
        for segment in self.segments:
            lines = segment.read().split(b"\n")
            read = sum(_entry(line) is not None for line in lines if line)
            bad += max(segment.count - read, sum(map(bool, lines)) - read)
        return bad

    def _counts(self, job_id: str) -> bool:
        return job_id not in self.gone and job_id not in self.live

    def _newest_first(self) -> list[Segment]:
        return sorted(self.segments, key=attrgetter("newest"), reverse=True)


class _Values(ValuesView[JobRecord]):
    def __init__(self, records: AllRecords) -> None:
        super().__init__(records)
        self._records = records

    def __iter__(self) -> Iterator[JobRecord]:
        return self._records.walk()


class _Items(ItemsView[str, JobRecord]):
    def __init__(self, records: AllRecords) -> None:
        super().__init__(records)
        self._records = records

    def __iter__(self) -> Iterator[tuple[str, JobRecord]]:
        return ((entry.id, entry) for entry in self._records.walk())


class AllRecords(Mapping[str, JobRecord]):
    """All records by id, oldest first, as of one moment. Records of ended jobs are read from disk on access."""

    def __init__(self, live: Records, shelf: Shelf) -> None:
        self._live, self._shelf = live, shelf

    def __repr__(self) -> str:
        return f"AllRecords({len(self)} jobs)"

    def __getitem__(self, job_id: str) -> JobRecord:
        return record_of(self._live, job_id) if job_id in self._live else self._shelf.some([job_id])[job_id]

    def __len__(self) -> int:
        return len(self._live) + self._shelf.count

    def __iter__(self) -> Iterator[str]:
        return (entry.id for entry in self.walk())

    def values(self) -> ValuesView[JobRecord]:
        return _Values(self)

    def items(self) -> ItemsView[str, JobRecord]:
        return _Items(self)

    def walk(self) -> Iterator[JobRecord]:
        """An iterator over all records, which makes each of them only when it is reached."""
        if not self._shelf.segments:
            return (record_of(self._live, job_id) for job_id in self._live)
        return self._shelf.merged([record_of(self._live, job_id) for job_id in self._live])


def without(
    shelf: Shelf, gone: Collection[str], again: Collection[str] = ()
) -> tuple[list[Segment], dict[str, bytes], set[str]]:
    """Plan the removal of forgotten records from the segments.

    Returns the segments that stay, the lines of those that do not, by id, and the ids that the log must go on marking
    as forgotten. A segment is written anew, without its forgotten records, if these are a tenth of it or more, or if
    it has an older record of a job that is to be written `again`. In the segments that stay, forgotten records are
    skipped as before. All segments are written anew if a record may be in two places.
    """
    stay: list[Segment] = []
    lines: dict[str, bytes] = {}
    marks: set[str] = set()
    if not shelf.exact:
        return stay, {entry.id: line_of(entry) for entry in shelf.merged()}, marks
    for segment in shelf.segments:
        here = segment.ids() & set(gone) if any(segment.first <= job_id <= segment.last for job_id in gone) else set()
        if not here or (len(here) * 10 < segment.count and here.isdisjoint(again)):
            stay.append(segment)
            marks |= here
        else:
            lines.update((job_id, line) for job_id, line in segment.lines() if job_id not in here)
    return stay, lines, marks


def _string(text: bytes) -> str:
    """The value of a JSON string without its quotes; '' if it is damaged."""
    try:
        return str(json.loads(b'"' + text + b'"'))
    except ValueError:
        return ""


def _entry(line: JobRecord | bytes) -> JobRecord | None:
    if isinstance(line, JobRecord):
        return line
    try:
        return from_line(line)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):  # damaged: only that line is lost
        return None


def _wanted(line: JobRecord | bytes, wanted: RecordFilter) -> JobRecord | None:
    """The record in that line, if it is wanted."""
    entry = _entry(line)
    return entry if entry is not None and (isinstance(line, JobRecord) or wanted.matches(entry)) else None


def _all(text: bytes) -> Iterator[tuple[str, bytes]]:
    return ((match[1].decode(), match[0]) for match in LINE.finditer(text))


def _line(text: bytes, job_id: str) -> bytes:
    marker = b'{"e":"job","id":"%b"' % job_id.encode()
    at = 0 if text.startswith(marker) else text.find(b"\n" + marker) + 1
    return text[at : text.find(b"\n", at)] if at or text.startswith(marker) else b""
