"""The state of a farm: which tasks have begun, and how they ended, so that another one can go on where it stopped.

A file of lines that only grows. A task's first line is written before it is started, so what has no line has not run.
What was written survives us, however we end; that it survives the host too is seen to once in a second. Lines of
the last second may then be zero bytes, which count as not written.

    farm {"format":1,...}      a farm began to use it: who, where, its mark
    begun 17 3fa2c1d0          task 17, with a sum of its command
    ended 17 0 1.234 node01    with that exit code, after so many seconds, there
    stopped 17                 we have ended it
    left {"done":...}          that farm has left
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import threading
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import InvalidRequest, JournalError
from ..system.processes import process_has_ended, process_identity

FORMAT = 1
#: How a task is, as far as the file says.
NEW, BEGUN, DONE, FAILED, STOPPED = range(5)
_FIRST = b"farm {"
_SYNC_S = 1.0


class StateFile:
    """The state of one farm, which has it alone. Raises `InvalidRequest` where another one is using it.

    `farms` are those that have used it before, the last one last; `finished`: it left no task undone. `damaged`: so many
    bytes of it are lines that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.farms: list[Mapping[str, Any]] = []
        self.finished = True
        self.damaged = 0
        self.highest = -1  # number of a task that has begun
        self._states, self._sums = bytearray(), array("I")
        with _writing(path):
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(self._handle).st_mode):
                raise InvalidRequest(
                    f"{path} is no file that could hold a farm's state", hint="name one with --state"
                )
            self._lock()
            with _writing(path):
                self._read()
        except BaseException:
            os.close(self._handle)
            raise
        self._dirty = threading.Event()
        self._closing = threading.Event()
        self._syncing = threading.Thread(target=self._sync, name="farm state", daemon=True)
        self._syncing.start()

    @property
    def used(self) -> bool:
        """Whether a farm has used it before."""
        return bool(self.farms)

    def state(self, number: int) -> int:
        """How that task is."""
        return self._states[number] if number < len(self._states) else NEW

    def sum(self, number: int) -> int:
        """The sum of the command that has begun as that task; 0 where that line is damaged."""
        return self._sums[number]

    # ---- writing ---------------------------------------------------------------------------------------------

    def open(self, about: Mapping[str, Any], *, fresh: bool) -> None:
        """Begin: after what the file has or, `fresh`, in place of it."""
        if fresh:
            with _writing(self.path):
                os.ftruncate(self._handle, 0)
            self._states, self._sums, self.highest = bytearray(), array("I"), -1
        self._write(f"farm {json.dumps({'format': FORMAT, 'process': process_identity(), **about})}\n")

    def begun(self, number: int, sum: int) -> None:
        """That task is about to be started."""
        self._write(f"begun {number} {sum:x}\n")

    def ended(self, number: int, code: int, seconds: float, host: str) -> None:
        """It has ended."""
        self._write(f"ended {number} {code} {seconds:.3f} {host}\n")

    def stopped(self, number: int) -> None:
        """We have ended it."""
        self._write(f"stopped {number}\n")

    def close(self, summary: Mapping[str, Any]) -> None:
        """Leave."""
        try:
            self._write(f"left {json.dumps(summary)}\n")
        finally:
            self.release()

    def release(self) -> None:
        """Let others use it. Doing so twice is fine."""
        if self._closing.is_set():
            return
        if not os.fstat(self._handle).st_size:  # no farm has begun
            with suppress(OSError):
                self.path.unlink()
        self._closing.set()
        self._dirty.set()
        self._syncing.join()
        os.close(self._handle)

    def _write(self, line: str) -> None:
        data, size = line.encode(), os.fstat(self._handle).st_size
        with _writing(self.path):
            try:
                while data:
                    data = data[os.write(self._handle, data) :]
            except OSError:
                with suppress(OSError):
                    os.ftruncate(self._handle, size)  # no part of a line, to which others would be added
                raise
        self._dirty.set()

    def _sync(self) -> None:
        while not self._closing.is_set():
            self._dirty.wait()
            self._dirty.clear()
            with suppress(OSError):
                os.fdatasync(self._handle)
            self._closing.wait(_SYNC_S)

    # ---- reading ---------------------------------------------------------------------------------------------

    def _lock(self) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                return  # a file system without locks
            self._read()
            who = _shown(self.farms[-1]) if self.farms else "another process"
            raise InvalidRequest(
                f"{self.path} is in use by {who}",
                hint="wait for that farm, or give this one another file with --state",
            ) from error

    def _read(self) -> None:
        whole, lost_after = 0, None
        with open(os.dup(self._handle), "rb") as file:
            file.seek(0)
            for line in file:
                known = whole or line.startswith(_FIRST)
                damaged = known and b"\0" in line
                if damaged:
                    self.damaged += len(line)
                    self.finished = False
                    lost_after = self.highest if lost_after is None else lost_after
                if not line.endswith(b"\n") and (known or _FIRST.startswith(line)):
                    break  # its writer was killed: as if it had not been written
                whole += len(line)
                if not damaged:
                    self._take(line)
        if lost_after is not None:
            for number in range(lost_after + 1, self.highest):  # they begin in order: what has no line has lost it
                self._states[number] = self._states[number] or BEGUN
        if whole < os.fstat(self._handle).st_size:
            with suppress(OSError):
                os.ftruncate(self._handle, whole)

    def _take(self, line: bytes) -> None:
        word, *rest = line.split() or [b""]
        try:
            if word != b"farm" and not self.farms:
                raise ValueError(word)
            if word == b"begun":
                self._note(int(rest[0]), BEGUN, int(rest[1], 16))
            elif word == b"ended":
                self._note(int(rest[0]), FAILED if int(rest[1]) else DONE)
            elif word == b"stopped":
                self._note(int(rest[0]), STOPPED)
            elif word == b"farm":
                about = json.loads(line.partition(b" ")[2])
                if about["format"] != FORMAT:
                    raise ValueError(about["format"])
                self.farms.append(about)
                self.finished = False
            elif word == b"left":
                self.finished = bool(json.loads(line.partition(b" ")[2])["finished"])
            else:
                raise ValueError(word)
        except (ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
            raise InvalidRequest(
                f"{self.path} is no state of a farm", hint="name another file with --state, or remove it"
            ) from error

    def _note(self, number: int, state: int, sum: int | None = None) -> None:
        if number >= len(self._states):
            if number > 1 << 30:
                raise ValueError(number)
            more = number + 1 - len(self._states)
            self._states += bytes(more)
            self._sums.extend([0] * more)
        self._states[number] = state
        self.highest = max(self.highest, number)
        if sum is not None:
            self._sums[number] = sum


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JournalError(
            f"the state of the farm cannot be kept in {path}: {error.strerror}",
            hint="make room there, or name another file with --state",
        ) from error


def _shown(farm: Mapping[str, Any]) -> str:
    host, _, pid, _ = str(farm.get("process", "///")).split("/")
    gone = process_has_ended(str(farm.get("process", "")))
    return f"process {pid} on {host}" if not gone else "another process"
