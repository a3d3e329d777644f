"""Records of jobs that have ended: in files that are written once and never changed, and looked up without loading.

A segment holds about a megabyte of lines, each the whole record of one job, sorted by id. Its name says what it
holds, so that most are passed over unopened: FIRST-LAST-OLDEST-NEWEST-COUNT-RANDOM.jsonl, with the first and last id,
when the oldest and the newest of its jobs were submitted (seconds since the epoch), and how many they are. Which
segments count is said by the log (see `journal`), in the same step that takes their records out of it.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from math import ceil
from operator import attrgetter, itemgetter
from pathlib import Path

from ..errors import JournalError
from ..system.files import private_folder, sync_folder, translate_os_errors
from .record import JobRecord, from_line, line_of

_ROOM = 1 << 20  # bytes in a segment; one record may be larger
_BLOCK = 1 << 15  # bytes that are read at once where many segments are read side by side
_FEW = 16  # ids that are searched for one by one
_STALE_S = 600.0  # a segment that no longer counts may still be being read
_GIVEN = 6  # characters of an id that are its time, in seconds

_ID = re.compile(r"[0-9a-z]{1,40}")
_NAME = re.compile(r"([0-9a-z]+)-([0-9a-z]+)-(\d{1,12})-(\d{1,12})-(\d{1,9})-[0-9a-z]+\.jsonl")
_LINE = re.compile(rb'^\{"e":"job","id":"([0-9a-z]+)"[^\n]*', re.MULTILINE)
_IDS = re.compile(rb'^\{"e":"job","id":"([0-9a-z]+)"', re.MULTILINE)
_INTENDED = re.compile(rb'[,{]"intended":([0-9.e+]+)')
_ROOT = re.compile(rb'\{"e":"job","id":"[0-9a-z]+","platform":"[^"\\\n]*","place":"([^"\\\n]*(?:\\.[^"\\\n]*)*)/')


@dataclass(frozen=True)
class Segment:
    """One file of ended jobs' records, as its name describes it."""

    path: Path
    first: str
    last: str
    oldest: int
    newest: int
    count: int

    @classmethod
    def named(cls, path: Path) -> Segment | None:
        """The segment in a file of that name; None if it is no segment's."""
        found = _NAME.fullmatch(path.name)
        if found is None:
            return None
        first, last, *numbers = found.groups()
        return cls(path, first, last, *map(int, numbers))

    def read(self) -> bytes:
        """All of its text; nothing if somebody has taken it away."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """Its ids and lines in order, a block at a time: the file is closed between them."""
        offset, rest = 0, b""
        while True:
            try:
                with open(self.path, "rb", buffering=0) as file:
                    file.seek(offset)
                    block = file.read(_BLOCK)
            except FileNotFoundError:
                return
            offset += len(block)
            text = rest + block
            end = text.rfind(b"\n") + 1
            for found in _LINE.finditer(text[:end]):
                yield found[1].decode(), found[0]
            rest = text[end:]
            if not block:
                return

    def ids(self) -> set[str]:
        """The ids of all its records."""
        return {found.decode() for found in _IDS.findall(self.read())}


@dataclass(frozen=True)
class Shelf:
    """The ended records in these segments, but for those that are `gone` (forgotten) or still `live` (in the log)."""

    segments: Sequence[Segment] = ()
    gone: Collection[str] = frozenset()
    live: Collection[str] = frozenset()
    exact: bool = True  # no record is in two places

    def some(self, ids: Iterable[str]) -> dict[str, JobRecord]:
        """Those of these ids that are here."""
        wanted = sorted({job_id for job_id in ids if self._counts(job_id) and _ID.fullmatch(job_id)})
        found: dict[str, JobRecord] = {}
        for segment in self.segments if wanted else ():
            here = [job_id for job_id in wanted if segment.first <= job_id <= segment.last and job_id not in found]
            if not here:
                continue
            text = segment.read()
            if len(here) <= _FEW:
                lines = ((job_id, _line(text, job_id)) for job_id in here)
            else:
                among = set(here)
                lines = ((job_id, line) for job_id, line in _all(text) if job_id in among)
            found.update((job_id, entry) for job_id, line in lines if line and (entry := _entry(line)) is not None)
        return found

    def started(self, beginning: str) -> list[str]:
        """The ids that begin so."""
        return sorted(
            {
                job_id
                for segment in self.segments
                if segment.first[: len(beginning)] <= beginning <= segment.last[: len(beginning)]
                for job_id in segment.ids()
                if job_id.startswith(beginning) and self._counts(job_id)
            }
        )

    def native(self, native: str, asked: Callable[[JobRecord], bool]) -> JobRecord | None:
        """The latest of those that have this id of the manager and are `asked` for."""
        word = f'"native":{json.dumps(native)}'.encode()
        latest: JobRecord | None = None
        for segment in self._newest_first():
            if latest is not None and segment.newest < latest.intended:
                break
            text = segment.read()
            at = text.find(word)
            while at >= 0:
                start, end = text.rfind(b"\n", 0, at) + 1, text.find(b"\n", at)
                entry = _entry(text[start : end if end >= 0 else len(text)])
                if entry is not None and entry.native == native and self._counts(entry.id) and asked(entry):
                    latest = max(latest or entry, entry, key=attrgetter("intended"))
                at = text.find(word, at + 1)
        return latest

    def recent(self, after: float = 0.0, count: int = 0) -> list[JobRecord]:
        """Those submitted since then; the newest so many of them; oldest first."""
        newest: list[tuple[float, str, bytes]] = []
        for segment in self._newest_first():
            if segment.newest < after or (count and len(newest) >= count and segment.newest < newest[0][0]):
                break
            for job_id, line in segment.lines():
                intended = _intended(line)
                if intended < after or not self._counts(job_id):
                    continue
                if count and len(newest) >= count:
                    heapq.heappushpop(newest, (intended, job_id, line))
                else:
                    heapq.heappush(newest, (intended, job_id, line))
        entries = (_entry(line) for _, _, line in sorted(newest))
        return list({entry.id: entry for entry in entries if entry is not None}.values())

    def aged(self, before: float) -> Iterator[JobRecord]:
        """Those submitted before then."""
        for segment in self.segments:
            if segment.oldest <= before:
                for job_id, line in segment.lines():
                    if self._counts(job_id) and _intended(line) <= before and (entry := _entry(line)) is not None:
                        yield entry

    def places(self) -> tuple[set[str], set[str]]:
        """All ids, and the folders in which the jobs' folders lie."""
        ids: set[str] = set()
        roots: set[bytes] = set()
        for segment in self.segments:
            text = segment.read()
            ids.update(map(bytes.decode, _IDS.findall(text)))
            roots.update(_ROOT.findall(text))
        return ids.difference(self.gone, self.live), set(filter(None, map(_string, roots)))

    def ids(self) -> set[str]:
        """All ids."""
        return {job_id for segment in self.segments for job_id in segment.ids() if self._counts(job_id)}

    @cached_property
    def count(self) -> int:
        """How many they are."""
        if self.exact and not self.gone:
            return sum(segment.count for segment in self.segments)
        return len(self.ids())

    def merged(self, others: Sequence[JobRecord] = ()) -> Iterator[JobRecord]:
        """All of them and these others, oldest first."""
        beside = sorted((entry.id[:_GIVEN], at, entry) for at, entry in enumerate(others))
        streams: list[Iterable[tuple[str, int, JobRecord | bytes]]] = [beside]
        streams += [
            ((job_id[:_GIVEN], at, line) for job_id, line in segment.lines() if self._counts(job_id))
            for at, segment in enumerate(self.segments, len(others))
        ]
        seen: set[str] = set()
        for _, group in groupby(heapq.merge(*streams, key=itemgetter(0)), itemgetter(0)):
            entries = [entry for _, _, known in group if (entry := _entry(known)) is not None]
            for entry in sorted(entries, key=attrgetter("intended")) if len(entries) > 1 else entries:
                if self.exact or entry.id not in seen:
                    yield entry
                if not self.exact:
                    seen.add(entry.id)

    def damage(self) -> int:
        """How many lines cannot be read, or are not there though a segment's name counts them."""
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


def _string(text: bytes) -> str:
    """The text that JSON between quotes means; '' if it is damaged."""
    try:
        return str(json.loads(b'"' + text + b'"'))
    except ValueError:
        return ""


def _entry(line: JobRecord | bytes) -> JobRecord | None:
    if isinstance(line, JobRecord):
        return line
    try:
        return from_line(line)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):  # damaged: it costs that line only
        return None


def _all(text: bytes) -> Iterator[tuple[str, bytes]]:
    return ((found[1].decode(), found[0]) for found in _LINE.finditer(text))


def _line(text: bytes, job_id: str) -> bytes:
    word = b'{"e":"job","id":"%b"' % job_id.encode()
    at = 0 if text.startswith(word) else text.find(b"\n" + word) + 1
    return text[at : text.find(b"\n", at)] if at or text.startswith(word) else b""


def _intended(line: bytes) -> float:
    found = _INTENDED.search(line)
    try:
        return float(found[1]) if found else 0.0
    except ValueError:
        return 0.0


# ---- writing -------------------------------------------------------------------------------------------------


def may_hold(job_id: str, line: bytes) -> bool:
    """Whether that record can stand in a segment: one without an id of our kind stays in the log."""
    found = _IDS.match(line)
    return found is not None and found[1] == job_id.encode() and _ID.fullmatch(job_id) is not None


def write(folder: Path, records: Mapping[str, bytes]) -> list[Segment]:
    """Write segments of these records by id; on disk when this returns, none where there is no room for all.

    Nobody looks at them yet.
    """
    if not records:
        return []
    private_folder(folder)
    made: list[Segment] = []
    part: list[str] = []
    room = _ROOM
    try:
        for job_id in sorted(records):
            if part and room < len(records[job_id]):
                made.append(_write(folder, part, records))
                part, room = [], _ROOM
            part.append(job_id)
            room -= len(records[job_id]) + 1
        made.append(_write(folder, part, records))
        sync_folder(folder)
    except JournalError:  # no room
        for segment in made:
            segment.path.unlink(missing_ok=True)
        raise
    return made


def _write(folder: Path, ids: Sequence[str], records: Mapping[str, bytes]) -> Segment:
    times = [_intended(records[job_id]) for job_id in ids]
    numbers = f"{int(min(times))}-{ceil(max(times))}-{len(ids)}"
    path = folder / f"{ids[0]}-{ids[-1]}-{numbers}-{random.SystemRandom().getrandbits(40):010x}.jsonl"
    with translate_os_errors(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(records[job_id] + b"\n" for job_id in ids)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            path.unlink(missing_ok=True)
            raise
    return Segment(path, ids[0], ids[-1], int(min(times)), ceil(max(times)), len(ids))


def without(
    shelf: Shelf, gone: Collection[str], again: Collection[str] = ()
) -> tuple[list[Segment], dict[str, bytes], set[str]]:
    """What to do about forgotten records: the segments that stay, the lines of those that do not, the marks to keep.

    A segment of which a tenth is gone is written anew without them, and so is one that has an older record of those
    that are to be written `again`; in the others they go on being passed over. All are written anew where a record may
    be in two places.
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


def found_in(folder: Path) -> list[Segment]:
    """Every segment that lies there."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [segment for name in names if (segment := Segment.named(folder / name)) is not None]


def sweep(folder: Path, kept: Iterable[Segment]) -> None:
    """Remove what no longer counts, or never did, once nobody can be reading it any more."""
    names = {segment.path.name for segment in kept}
    for segment in found_in(folder):
        if segment.path.name not in names and time.time() - segment.path.stat().st_mtime > _STALE_S:
            segment.path.unlink(missing_ok=True)
