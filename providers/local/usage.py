"""What a job's processes use, as its supervisor sees it: CPU time when they end, memory by samples."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from . import processes

TYPE_CHECKING = False  # see processes.py
if TYPE_CHECKING:
    import resource

_PAUSES = (0.1, 5.0)  # seconds between two samples: at first, each being twice as long as the one before, and at most
_KB = 1024


class Meter:
    """Adds up the CPU time of the processes that end, and notes the most memory that all of them had at a time."""

    def __init__(self) -> None:
        self.cpu = 0.0  # seconds
        self.memory = 0  # bytes
        self.next_sample = time.monotonic() + _PAUSES[0]
        self._pause = _PAUSES[0]
        self._own = _peak(os.getpid())  # which a child shows as its own, until it has become another program
        self._page = os.sysconf("SC_PAGE_SIZE")

    def ended(self, usage: resource.struct_rusage) -> None:
        """A child has ended, and those that it has waited for before it."""
        self.cpu += usage.ru_utime + usage.ru_stime
        largest = usage.ru_maxrss * _KB
        if largest > self._own:
            self.memory = max(self.memory, largest)

    def sample_if_due(self, session: int) -> None:
        """Look at the memory of all processes of the job, if it is time; `session` is its script."""
        if time.monotonic() < self.next_sample:
            return
        sizes = map(self._resident, processes.pids_below(os.getpid(), session))
        self.memory = max(self.memory, sum(sizes))
        self._pause = min(2 * self._pause, _PAUSES[1])
        self.next_sample = time.monotonic() + self._pause

    def _resident(self, pid: int) -> int:
        fields = processes.read(f"/proc/{pid}/statm").split()
        return int(fields[1]) * self._page if len(fields) > 1 else 0


def _peak(pid: int) -> int:
    """The most memory that a process has had, in bytes; 0 where the system does not show it."""
    for line in processes.read(f"/proc/{pid}/status").splitlines():
        if line.startswith(b"VmHWM:"):
            with suppress(ValueError, IndexError):
                return int(line.split()[1]) * _KB
    return 0
