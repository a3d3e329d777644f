"""Records of jobs that have ended: in files that are written once and never changed, and looked up without loading.

A segment holds about a megabyte of lines, each the whole record of one job, sorted by id. Its name says what it
holds, so that most are passed over unopened: FIRST-LAST-OLDEST-NEWEST-COUNT-RANDOM.jsonl, with the first and last id,
when the oldest and the newest of its jobs were submitted (seconds since the epoch), and how many they are. Which
segments count is said by the log (see `journal`), in the same step that takes their records out of it.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from ..errors import JournalError
from ..system.files import private_folder, sync_folder, translate_os_errors

_ROOM = 1 << 20  # bytes in a segment; one record may be larger
_BLOCK = 1 << 15  # bytes that are read at once where many segments are read side by side
_FEW = 16  # ids that are searched for one by one
_STALE_S = 600.0  # a segment that no longer counts may still be being read
_GIVEN = 6  # characters of an id that are its time, in seconds

ID = re.compile(r"[0-9a-z]{1,40}")
_NAME = re.compile(r"([0-9a-z]+)-([0-9a-z]+)-(\d{1,12})-(\d{1,12})-(\d{1,9})-[0-9a-z]+\.jsonl")
LINE = re.compile(rb'^\{"e":"job","id":"([0-9a-z]+)"[^\n]*', re.MULTILINE)
IDS = re.compile(rb'^\{"e":"job","id":"([0-9a-z]+)"', re.MULTILINE)
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
        match = _NAME.fullmatch(path.name)
        if match is None:
            return None
        first, last, *numbers = match.groups()
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
            for match in LINE.finditer(text[:end]):
                yield match[1].decode(), match[0]
            rest = text[end:]
            if not block:
                return

    def ids(self) -> set[str]:
        """The ids of all its records."""
        return {match.decode() for match in IDS.findall(self.read())}


def intended_at(line: bytes) -> float:
    """When the job of that line was submitted, without reading all of it."""
    match = _INTENDED.search(line)
    try:
        return float(match[1]) if match else 0.0
    except ValueError:
        return 0.0


def may_hold(job_id: str, line: bytes) -> bool:
    """Whether that record can stand in a segment: one without an id of our kind stays in the log."""
    match = IDS.match(line)
    return match is not None and match[1] == job_id.encode() and ID.fullmatch(job_id) is not None


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
    times = [intended_at(records[job_id]) for job_id in ids]
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
