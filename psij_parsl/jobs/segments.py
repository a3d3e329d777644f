"""Segments: files with the records of ended jobs, written once, never changed, and searched without loading them all.

A segment holds about a megabyte of lines. Each line is the whole record of one job; the lines are sorted by id. The
name of the file describes its content, so that most segments need not be opened for a search:
FIRST-LAST-OLDEST-NEWEST-COUNT-RANDOM.jsonl has the first and the last id, the submission times of the oldest and the
newest job (seconds since the epoch), and the number of jobs. The first line of the log (see `journal`) lists the
valid segments. It is written in the same step that removes their records from the log.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from ..errors import JournalError
from ..system.files import private_folder, sync_folder, translate_os_errors

_SEGMENT_BYTES = 1 << 20  # in a segment; one record may be larger
_BLOCK = 1 << 15  # bytes of one read: many segments are read in parallel
_STALE_S = 600.0  # another process may still read a segment that is no longer valid

ID = re.compile(r"[0-9a-z]{1,40}")
_NAME = re.compile(r"([0-9a-z]+)-([0-9a-z]+)-(\d{1,12})-(\d{1,12})-(\d{1,9})-[0-9a-z]+\.jsonl")
LINE = re.compile(rb'^\{"e":"job","id":"([0-9a-z]+)"[^\n]*', re.MULTILINE)
IDS = re.compile(rb'^\{"e":"job","id":"([0-9a-z]+)"', re.MULTILINE)
_INTENDED = re.compile(rb'[,{]"intended":([0-9.e+]+)')


@dataclass(frozen=True)
class Segment:
    """One file with records of ended jobs, as its name describes it."""

    path: Path
    first: str
    last: str
    oldest: int
    newest: int
    count: int

    @classmethod
    def named(cls, path: Path) -> Segment | None:
        """The segment in a file with that name; None if that is not the name of a segment."""
        match = _NAME.fullmatch(path.name)
        if match is None:
            return None
        first, last, *numbers = match.groups()
        return cls(path, first, last, *map(int, numbers))

    def read(self) -> bytes:
        """All of its text; empty if another process has removed the file."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """Its ids and lines in order. They are read in blocks; the file is closed between two blocks."""
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
            for match in LINE.finditer(text[:end]):
                yield match[1].decode(), match[0]
            rest = text[end:]
            if not block:
                return

    def ids(self) -> set[str]:
        """The ids of all its records."""
        return {match.decode() for match in IDS.findall(self.read())}


def intended_at(line: bytes) -> float:
    """The submission time of the job in that line, found without parsing the JSON."""
    match = _INTENDED.search(line)
    try:
        return float(match[1]) if match else 0.0
    except ValueError:
        return 0.0


def may_hold(job_id: str, line: bytes) -> bool:
    """Whether a segment can hold that record. A record whose id has another format than ours stays in the log."""
    match = IDS.match(line)
    return match is not None and match[1] == job_id.encode() and ID.fullmatch(job_id) is not None


def write(folder: Path, records: Mapping[str, bytes]) -> list[Segment]:
    """Write these records, given by id, into new segments. They are on disk when this returns.

    If there is no room for all, no segment is left. No process reads them before the log lists them.
    """
    if not records:
        return []
    private_folder(folder)
    made: list[Segment] = []
    part: list[str] = []
    room = _SEGMENT_BYTES
    try:
        for job_id in sorted(records):
            if part and room < len(records[job_id]):
                made.append(_write(folder, part, records))
                part, room = [], _SEGMENT_BYTES
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
    times = [intended_at(records[job_id]) for job_id in ids]
    numbers = f"{int(min(times))}-{ceil(max(times))}-{len(ids)}"
    path = folder / f"{ids[0]}-{ids[-1]}-{numbers}-{os.urandom(5).hex()}.jsonl"
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


def found_in(folder: Path) -> list[Segment]:
    """All segments in that directory."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [segment for name in names if (segment := Segment.named(folder / name)) is not None]


def sweep(folder: Path, kept: Iterable[Segment]) -> None:
    """Remove segments that are no longer valid, or never were, when no process can be reading them any more."""
    names = {segment.path.name for segment in kept}
    for segment in found_in(folder):
        if segment.path.name not in names and time.time() - segment.path.stat().st_mtime > _STALE_S:
            segment.path.unlink(missing_ok=True)
