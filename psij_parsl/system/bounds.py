"""Output and memory bounds for queries of a manager.

A client was seen to print for ever, and to eat 1.5 GB a second. The bounds are watched from outside, by what the
processes have in memory. A limit set on a process (`setrlimit`) is handed on by some managers to the job that it
submits, and cuts off clients that only reserve address space.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from .processes import GROUP, RESIDENT, process_status

OUTPUT_MB = 256
MEMORY_MB = 1024
_MOMENT_S = 0.2  # what ends sooner is not looked at
_LOOK_S = 0.1  # between two looks at the command itself
_SCAN_S = 0.5  # between two looks at all processes of its group, and longer where looking takes long
_SHARE = 20  # of the time, one part in so many goes into looking
_PAGES_A_MB = 2**20 // os.sysconf("SC_PAGE_SIZE")


class Bounds(NamedTuple):
    """The most MB of output, on both streams together, and of memory, in all processes of the group."""

    memory_mb: int = MEMORY_MB
    output_mb: int = OUTPUT_MB


class Watch:
    """Watches the memory of a process group by looking now and then. Without /proc it sees nothing."""

    def __init__(self, pgid: int, limit_mb: int) -> None:
        self._pgid, self._limit = pgid, limit_mb * _PAGES_A_MB
        self.due = self._scan_due = time.monotonic() + _MOMENT_S

    def exceeded(self) -> bool:
        """Whether the group has more than it may; `due` is when to ask again."""
        now = time.monotonic()
        if now < self.due:
            return False
        pages = _pages(self._pgid)
        if pages <= self._limit and now >= self._scan_due:
            pages = sum(_pages(int(name), self._pgid) for name in _listed() if name.isdigit())
            self._scan_due = now + max(_SCAN_S, _SHARE * (time.monotonic() - now))
        self.due = time.monotonic() + _LOOK_S
        return pages > self._limit


def _listed() -> list[str]:
    try:
        return os.listdir("/proc")
    except OSError:
        return []


def _pages(pid: int, pgid: int | None = None) -> int:
    """What a process has in memory, in pages; 0 if it is gone, or of another group than that."""
    try:
        fields = process_status(pid)
        return int(fields[RESIDENT]) if pgid is None or int(fields[GROUP]) == pgid else 0
    except (OSError, IndexError, ValueError):
        return 0
