"""The processes of a run on this host, as /proc shows them, and how what is left of them is ended."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from ..system.processes import SESSION, STARTED, STATE, STATUS, process_status

#: The variable by which the processes of a run are known: its value is the run's mark.
MARK = "PSIJ_RUN"
_LOST_AFTER_S = 5.0  # how long a launcher may take to notice that a daemon of its own could not be started


def processes(mark: str, session: int, since: int = 0) -> Iterator[int]:
    """The live processes of a run on this host: those that bear its mark, and those of the launcher's session.

    Those that started earlier than `since`, in the kernel's ticks, are not looked at: there may be thousands.
    """
    setting, own_pid = f"{MARK}={mark}".encode(), os.getpid()
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if not name.isdigit() or int(name) == own_pid:
            continue
        try:
            status = process_status(int(name))
            if status[STATE] in b"ZX" or int(status[STARTED]) < since:
                continue
            if int(status[SESSION]) == session or setting in _read(f"/proc/{name}/environ").split(b"\0"):
                yield int(name)
        except (OSError, IndexError):
            continue  # it has ended, or is somebody else's


class ProcessSweep(NamedTuple):
    """Ends the processes of one run on this host, whose launcher started at `since` with a session of its own."""

    mark: str
    session: int
    since: int

    @classmethod
    def of(cls, mark: str, launcher: int) -> ProcessSweep:
        """That of a launcher which has just started."""
        with suppress(OSError):
            return cls(mark, launcher, int(process_status(launcher)[STARTED]))
        return cls(mark, launcher, 0)

    def end(self, number: int, seconds: float) -> bool:
        """Send the signal to what there is until nothing is left; whether that was so in time. KILL is repeated."""
        deadline = time.monotonic() + seconds
        signalled: set[int] = set()
        sure = True  # a process that is just becoming another program shows no environment: one looks twice
        while (pids := set(processes(self.mark, self.session, self.since))) or not sure:
            sure = not pids
            for pid in pids - signalled if number != signal.SIGKILL else pids:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            signalled |= pids
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


class LostDaemon:
    """Sees that a launcher waits for ever for a daemon of its own that has failed."""

    def __init__(self, launcher: int) -> None:
        self.launcher = launcher
        self._since: float | None = None

    def exit_code(self) -> int | None:
        """That of a daemon which failed a while ago, and the launcher has not noticed; None if there is none."""
        code = failed_child(self.launcher)
        if code is None:
            self._since = None
            return None
        self._since = self._since or time.monotonic()
        return code if time.monotonic() - self._since >= _LOST_AFTER_S else None


def failed_child(pid: int) -> int | None:
    """The exit code of a child of that process that has failed, while it was not asked how it ended; None if none has.

    128 + the number for a signal. Known where the kernel lists children (Linux).
    """
    with suppress(OSError, IndexError, ValueError):
        for child in _read(f"/proc/{pid}/task/{pid}/children").split():
            status = process_status(int(child))
            if status[STATE] == b"Z" and (end := int(status[STATUS])):
                code = os.waitstatus_to_exitcode(end)
                return 128 - code if code < 0 else code
    return None


def ends(process: subprocess.Popen[bytes], timeout_s: float | None) -> bool:
    """Wait for a process without reaping it, woken at once by its end or by a signal handler of ours."""
    try:
        handle = os.pidfd_open(process.pid)
    except (OSError, AttributeError):  # an old kernel, or another system
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
        return process.poll() is not None
    try:
        return bool(select.select([handle], [], [], timeout_s)[0])
    finally:
        os.close(handle)


def _read(path: str) -> bytes:
    handle = os.open(path, os.O_RDONLY)
    try:
        parts = []
        while part := os.read(handle, 1 << 17):
            parts.append(part)
    finally:
        os.close(handle)
    return b"".join(parts)
