"""The log is written anew: without what was overtaken, and with the records of ended jobs in segments."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from ..errors import JournalError
from .log_records import HEAD
from .record_lines import Records, line_of
from .segments import Segment, may_hold, sweep, write
from .shelf import Shelf, without


class LogCopy(NamedTuple):
    """What a process has read of the log: the file's inode and first bytes, and all before `offset`."""

    inode: int
    head: bytes
    offset: int
    records: Records
    forgotten: Collection[str]
    latest: str
    shelf: Shelf


def rewrite(path: Path, folder: Path, copy: LogCopy, locked: Callable[[], AbstractContextManager[None]]) -> bool:
    """Write the log anew without what was overtaken and what has ended; False where that would not halve it.

    `path` is the log's, `folder` that of the segments; `locked()` is the log's own lock. Raises `JournalError` or
    `OSError` where it cannot be done, and then all is as it was.
    """
    fresh = path.with_suffix(".new")
    moved = {
        job_id: record
        for job_id, record in copy.records.items()
        if isinstance(record, bytes) and job_id != copy.latest and may_hold(job_id, record)
    }
    stay, rewritten, marks = without(copy.shelf, copy.forgotten, moved.keys())
    kept = [json.dumps({"e": "gone", "id": job_id}, separators=(",", ":")).encode() for job_id in sorted(marks)]
    kept += [line_of(record) for job_id, record in copy.records.items() if job_id not in moved]
    if 2 * sum(len(line) + 1 for line in kept) > copy.offset:
        return False
    made_now: list[Segment] = []
    try:
        made_now = write(folder, rewritten | moved)
        segments = [*stay, *made_now]
        names = [segment.path.name for segment in segments]
        first = {"e": "log", "rewritten": random.random(), "last": copy.latest, "segments": names}
        text = b"\n".join([json.dumps(first, separators=(",", ":")).encode(), *kept, b""])
        with open(fresh, "wb", buffering=0, opener=_private) as file:
            write_all(file.fileno(), text, 0)
            os.fsync(file.fileno())
    except (JournalError, OSError):
        _remove(fresh, *(segment.path for segment in made_now))
        raise
    with locked():
        swapped = _swap(path, fresh, copy)
    if not swapped:
        _remove(fresh, *(segment.path for segment in made_now))
        raise JournalError("the log was replaced meanwhile, or there is no room")
    # Whatever stops us in the swap, it may have been made: then what was written stays, for a later sweep.
    for segment in copy.shelf.segments:
        if segment not in stay:
            os.utime(segment.path)  # from now on nobody begins to read it
    sweep(folder, segments)
    return True


def _swap(path: Path, fresh: Path, copy: LogCopy) -> bool:
    """Put the new log in the place of the old one, with what was written to that beyond the copy. Under its lock."""
    with open(path, "rb", buffering=0) as old, open(fresh, "ab", buffering=0) as file:
        stat = os.fstat(old.fileno())
        replaced = stat.st_ino != copy.inode or not old.read(HEAD).startswith(copy.head)
        if replaced or stat.st_size < copy.offset:
            return False
        old.seek(copy.offset)
        if rest := old.readall():
            try:
                write_all(file.fileno(), rest, os.fstat(file.fileno()).st_size)
                os.fdatasync(file.fileno())
            except OSError:
                return False
    os.replace(fresh, path)
    return True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def write_all(log: int, text: bytes, size: int) -> None:
    """Write, or put the file back as it was (a full disk may take a part of the text)."""
    try:
        rest = memoryview(text)
        while rest:
            rest = rest[os.write(log, rest) :]
    except OSError:
        os.ftruncate(log, size)
        raise
