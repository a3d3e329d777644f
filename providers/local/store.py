"""The state directory: one lock, one journal, one file of ended jobs, one folder for each job that is not
over.

::

    lock          held (flock) by whoever changes something
    journal       jobs that are not over, and the latest that are: append only, one fsync per change
    ended.N       older ones, each as the very line that ``list`` prints: ten thousand are merely copied
    jobs/12/      script, environment, and for each element pid and the lock that its supervisor holds

*Why a log.* Killed at any instruction, a writer leaves whole lines and perhaps one torn line at the end,
which readers pass over and the next writer cuts off; a full disk is undone by truncating to the length
before. One file per job would cost a listing ten thousand opens. *Why two files.* Each supervisor reads the
journal, so it must stay short: when it holds mostly ended jobs, these move to ``ended.N``. The new
journal's first line says how many bytes of ``ended.N`` count, so that its rename commits both at once.
Readers take no lock."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import contextmanager, suppress

from . import processes
from .job_folders import JobFolders, create
from .records import ENDED, LocalError, State

TYPE_CHECKING = False  # see processes.py
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .settings import Settings

KEPT = 10_000
"""So many ended jobs are kept however old they are."""
_PATIENCE = 60.0
_SAY_AFTER = 3.0  # seconds that one waits for the lock before it is said who has it
_SLACK = 500  # lines that the journal may hold in vain


class Waits:
    """How one waits for the lock: what is said, and what ends the wait early. Here: nothing."""

    def say(self, text: str) -> None:
        """Tell the user why it takes so long."""

    def leave(self, seconds: float) -> bool:
        """Sleep so long, or less; whether a signal has asked us to leave."""
        time.sleep(seconds)
        return False


class Store(JobFolders):
    def __init__(self, settings: Settings, waits: Waits | None = None) -> None:
        self.settings = settings
        self.waits = waits or Waits()
        self.home = settings.home
        self._journal = os.path.join(self.home, "journal")

    # The state

    def exists(self) -> bool:
        return os.path.exists(self._journal)

    def load(self) -> State:
        """The state as it is, without the lock."""
        state = State()
        try:
            with open(self._journal, "rb") as file:
                state.read(file.read())
        except FileNotFoundError:
            pass
        if not state.headed:
            self._salvage(state)
        return state

    def _salvage(self, state: State) -> None:
        """Without a first line: believe the files, and use no id again."""
        names = os.listdir(self.home) if os.path.isdir(self.home) else []
        numbers = [int(name[6:]) for name in names if name.startswith("ended.") and name[6:].isdigit()]
        if not numbers:
            return
        number = max(numbers)
        with open(os.path.join(self.home, f"ended.{number}"), "rb") as file:
            data = file.read()
        lines = data[: data.rfind(b"\n") + 1].splitlines()
        ids = [int(word) for line in lines if (word := line.split(b"|")[0].split(b"_")[0]).isdigit()]
        state.history = (number, data.rfind(b"\n") + 1, len(lines))
        state.next_id = max([state.next_id, *(one + 1 for one in ids)])

    def history(self, state: State) -> str | None:
        """The lines of ended jobs that left the journal, oldest first; None if *state* is too old to ask."""
        number, size, _ = state.history
        if not size:
            return ""
        try:
            with open(os.path.join(self.home, f"ended.{number}"), "rb") as file:
                return file.read(size).decode("utf-8", "replace")
        except FileNotFoundError:
            return None

    @contextmanager
    def transaction(self, patience: float = _PATIENCE) -> Iterator[State]:
        """The state, with the lock held. After the block its changes are on the disk, or none is and an error
        is raised. The lock is waited for so many seconds."""
        with self._locked(patience):
            state = self.load()
            yield state
            if state.pending:
                self._append(state)
                self._tidy(state)

    @contextmanager
    def _locked(self, patience: float) -> Iterator[None]:
        try:
            _make(os.path.join(self.home, "jobs"))
            if os.stat(self.home).st_uid != os.geteuid():
                # Whoever looks also starts jobs: root must not run another user's script as root.
                raise LocalError(f"the state directory {self.home} belongs to another user")
            handle = os.open(os.path.join(self.home, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LocalError(f"the state directory {self.home} cannot be used: {error.strerror}") from error
        try:
            self._lock(handle, patience)
            try:
                yield
            finally:  # not left to close(): a process forked meanwhile may hold the same open file
                fcntl.flock(handle, fcntl.LOCK_UN)
        finally:
            os.close(handle)

    def _lock(self, handle: int, patience: float) -> None:
        began = time.monotonic()
        pause = 0.0005
        said = asked = False
        while True:
            try:
                return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waited = time.monotonic() - began
                if waited > patience:
                    who = processes.holder(handle)
                    text = f"{self.home} was locked by another process for {patience:g} s"
                    raise LocalError(f"{text}: {who}" if who else text) from None
                if waited > _SAY_AFTER and not said:
                    said = True
                    who = processes.holder(handle) or "another process of yours holds it"
                    self.waits.say(f"waiting for the lock {self.home}/lock: {who}")
            except OSError as error:
                raise LocalError(f"{self.home} cannot be locked: {error.strerror}") from error
            if pause == 0.0005:  # a signal that came before has led to what needs the lock: a cancel after Ctrl-C
                asked = self.waits.leave(0.0)
            if self.waits.leave(pause) and not asked:
                raise KeyboardInterrupt
            pause = min(pause * 1.5, 0.01)

    def _append(self, state: State) -> None:
        lines = state.pending if state.headed else [state.header(), *state.pending]
        try:
            handle = create(self._journal, 0)
            try:
                os.ftruncate(handle, state.valid)
                _write(handle, state.valid, "".join(line + "\n" for line in lines).encode())
            except OSError:
                os.ftruncate(handle, state.valid)
                raise
            finally:
                os.close(handle)
            if not state.valid:
                _sync_folder(self.home)
        except OSError as error:
            raise LocalError(f"{self._journal} cannot be written: {error.strerror}") from error
        state.lines += len(lines)
        state.headed = True

    # Tidying: whatever fails here is tried again next time

    def _tidy(self, state: State) -> None:
        for name in state.closed:
            if all(job.state in ENDED for job in state.groups[name]):
                self.remove(name)
        live = sum(1 for job in state.jobs.values() if job.state not in ENDED)
        if state.lines > 3 * live + _SLACK:
            try:
                self._compact(state)
            except OSError:
                return

    def _compact(self, state: State) -> None:
        number, size, count = state.history
        names = state.finished()
        rows = [job.row() for name in names for job in state.groups[name]]
        for name in names:
            for job in state.groups.pop(name):
                del state.jobs[job.id]
        old = (self.history(state) or "").splitlines()
        if count + len(rows) > KEPT * 5 // 4:
            rows = self._recent(old + rows)
            number, size, count = number + 1, 0, 0
        data = "".join(row + "\n" for row in rows).encode()
        handle = create(os.path.join(self.home, f"ended.{number}"), 0)
        try:
            os.ftruncate(handle, size)
            _write(handle, size, data)
        finally:
            os.close(handle)
        state.history = (number, size + len(data), count + len(rows))
        new = self._journal + ".new"
        handle = create(new)
        try:
            _write(handle, 0, "".join(line + "\n" for line in state.compacted()).encode())
        finally:
            os.close(handle)
        os.rename(new, self._journal)
        _sync_folder(self.home)
        for entry in os.listdir(self.home):
            if entry.startswith("ended.") and entry != f"ended.{number}":
                os.unlink(os.path.join(self.home, entry))
        for entry in os.listdir(os.path.join(self.home, "jobs")):
            if entry not in state.groups:
                self.remove(entry)

    def _recent(self, rows: list[str]) -> list[str]:
        """Without those that are both old and beyond the number that is kept."""
        since = time.time() - self.settings.retention
        return [row for row in rows[:-KEPT] if ended_at(row) >= since] + rows[-KEPT:]


def ended_at(row: str) -> float:
    try:
        return float(row.split("|", 8)[7])
    except (IndexError, ValueError):
        return 0.0


def _make(path: str) -> None:
    """Make a folder and those above it, all private."""
    if not os.path.isdir(path):
        _make(os.path.dirname(path))
        with suppress(FileExistsError):  # another process was as quick
            os.mkdir(path, 0o700)


def _write(handle: int, offset: int, data: bytes) -> None:
    """Write all and sync, or raise."""
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, offset)
        if not written:
            raise OSError(errno.EIO, "nothing was written")
        offset += written
        view = view[written:]
    os.fsync(handle)


def _sync_folder(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
