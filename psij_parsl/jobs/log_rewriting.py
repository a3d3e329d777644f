"""Rewrites the log: outdated events are dropped, and the records of ended jobs are moved into segments."""

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
    """What a process has read of the log: the inode and first bytes of the file, and all records before `offset`."""

    inode: int
    head: bytes
    offset: int
    records: Records
    forgotten: Collection[str]
    latest: str
    shelf: Shelf


def rewrite(path: Path, folder: Path, copy: LogCopy, locked: Callable[[], AbstractContextManager[None]]) -> bool:
    """Rewrite the log without outdated events and ended jobs; False if that would not halve it.

    `path` is the log's path, `folder` the directory of the segments; `locked()` holds the log's lock. Raises
    `JournalError` or `OSError` if it cannot be done: then everything is as before.
    """
    new_path = path.with_suffix(".new")
    moved = {
        job_id: record
        for job_id, record in copy.records.items()
        if isinstance(record, bytes) and job_id != copy.latest and may_hold(job_id, record)
    }
    kept_segments, rewritten, marks = without(copy.shelf, copy.forgotten, moved.keys())
    lines = [json.dumps({"e": "gone", "id": job_id}, separators=(",", ":")).encode() for job_id in sorted(marks)]
    lines += [line_of(record) for job_id, record in copy.records.items() if job_id not in moved]
    if 2 * sum(len(line) + 1 for line in lines) > copy.offset:
        return False
    new_segments: list[Segment] = []
    try:
        new_segments = write(folder, rewritten | moved)
        segments = [*kept_segments, *new_segments]
        names = [segment.path.name for segment in segments]
        first = {"e": "log", "rewritten": random.random(), "last": copy.latest, "segments": names}
        text = b"\n".join([json.dumps(first, separators=(",", ":")).encode(), *lines, b""])
        with open(new_path, "wb", buffering=0, opener=_private) as file:
            write_all(file.fileno(), text, 0)
            os.fsync(file.fileno())
    except (JournalError, OSError):
        _remove(new_path, *(segment.path for segment in new_segments))
        raise
    with locked():
        swapped = _swap(path, new_path, copy)
    if not swapped:
        _remove(new_path, *(segment.path for segment in new_segments))
        raise JournalError("the log was replaced meanwhile, or there is no room")
    # If an exception ends the swap, the new log may be in place all the same: so the new segments stay, and a later
    # sweep removes them if they are not needed.
    for segment in copy.shelf.segments:
        if segment not in kept_segments:
            os.utime(segment.path)  # its age counts from now: no process begins to read it any more
    sweep(folder, segments)
    return True


def _swap(path: Path, new_path: Path, copy: LogCopy) -> bool:
    """Replace the old log by the new one, after copying what was appended since the copy. The caller has its lock."""
    with open(path, "rb", buffering=0) as old, open(new_path, "ab", buffering=0) as file:
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
    os.replace(new_path, path)
    return True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def write_all(log: int, text: bytes, size: int) -> None:
    """Write all of the text, or restore the file: a full disk may take only a part of it."""
    try:
        rest = memoryview(text)
        while rest:
            rest = rest[os.write(log, rest) :]
    except OSError:
        os.ftruncate(log, size)
        raise
