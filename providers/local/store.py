"""The state directory: one lock, one journal, one file of ended jobs, one folder for each job that has not
ended.

::

    lock          held (flock) by the process that changes something
    journal       jobs that have not ended, and the latest that have: append only, one fsync per change
    ended.N       older ended jobs, each as the very line that ``list`` prints, so that ten thousand are
                  copied without parsing
    jobs/12/      script, environment, and for each element pid and the lock that its supervisor holds

*Why a log.* A writer that is killed at any instruction leaves whole lines and perhaps one torn line at the
end, which readers pass over and the next writer cuts off. When the disk is full, the write is undone by
truncating to the length before. With one file per job, a listing would have to open ten thousand files.

*Why two files.* Each supervisor reads the journal, so it must stay short: when it holds mostly ended jobs,
these move to ``ended.N``. The new journal's first line says how many bytes of ``ended.N`` are valid, so that
its rename commits both files at once. Readers take no lock."""

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
"""This many ended jobs are kept, however old they are."""
_LOCK_PATIENCE = 60.0
_REPORT_AFTER = 3.0  # seconds of waiting for the lock before its holder is reported
_SLACK = 500  # superfluous lines that the journal may hold before it is compacted


class LockWait:
    """How a process waits for the lock: what it reports, and what ends the wait early. Here nothing does."""

    def report(self, text: str) -> None:
        """Tell the user which process has the lock."""

    def sleep_interrupted(self, seconds: float) -> bool:
        """Sleep so long at most; True if a signal asks this process to exit."""
        time.sleep(seconds)
        return False


class Store(JobFolders):
    def __init__(self, settings: Settings, lock_wait: LockWait | None = None) -> None:
        self.settings = settings
        self.lock_wait = lock_wait or LockWait()
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
        if not state.has_header:
            self._restore_header(state)
        return state

    def _restore_header(self, state: State) -> None:
        """Restore the journal's lost first line from the file of ended jobs, so that no id is used again."""
        names = os.listdir(self.home) if os.path.isdir(self.home) else []
        numbers = [int(name[6:]) for name in names if name.startswith("ended.") and name[6:].isdigit()]
        if not numbers:
            return
        number = max(numbers)
        with open(os.path.join(self.home, f"ended.{number}"), "rb") as file:
            data = file.read()
        lines = data[: data.rfind(b"\n") + 1].splitlines()
        ids = [int(text) for line in lines if (text := line.split(b"|")[0].split(b"_")[0]).isdigit()]
        state.history = (number, data.rfind(b"\n") + 1, len(lines))
        state.next_id = max([state.next_id, *(number + 1 for number in ids)])

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
    def transaction(self, patience: float = _LOCK_PATIENCE) -> Iterator[State]:
        """The state, with the lock held. After the block, either all its changes are on the disk, or none is and
        `LocalError` is raised. *patience* is how many seconds to wait for the lock."""
        with self._hold_lock(patience):
            state = self.load()
            yield state
            if state.pending:
                self._append(state)
                self._clean_up(state)

    @contextmanager
    def _hold_lock(self, patience: float) -> Iterator[None]:
        try:
            _make_folder(os.path.join(self.home, "jobs"))
            if os.stat(self.home).st_uid != os.geteuid():
                # A command that reads the jobs also starts some: root must not run another user's script as root.
                raise LocalError(f"the state directory {self.home} belongs to another user")
            handle = os.open(os.path.join(self.home, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LocalError(f"the state directory {self.home} cannot be used: {error.strerror}") from error
        try:
            self._acquire_lock(handle, patience)
            try:
                yield
            finally:  # close() is not enough: a process forked meanwhile may hold the same open file
                fcntl.flock(handle, fcntl.LOCK_UN)
        finally:
            os.close(handle)

    def _acquire_lock(self, handle: int, patience: float) -> None:
        began = time.monotonic()
        pause = 0.0005
        reported = signalled = False
        while True:
            try:
                return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waited = time.monotonic() - began
                if waited > patience:
                    holder = processes.lock_holder(handle)
                    text = f"{self.home} was locked by another process for {patience:g} s"
                    raise LocalError(f"{text}: {holder}" if holder else text) from None
                if waited > _REPORT_AFTER and not reported:
                    reported = True
                    holder = processes.lock_holder(handle) or "another process of yours holds it"
                    self.lock_wait.report(f"waiting for the lock {self.home}/lock: {holder}")
            except OSError as error:
                raise LocalError(f"{self.home} cannot be locked: {error.strerror}") from error
            if (
                pause == 0.0005
            ):  # a signal from before the wait does not end it: it may be a cancel after Ctrl-C that needs the lock
                signalled = self.lock_wait.sleep_interrupted(0.0)
            if self.lock_wait.sleep_interrupted(pause) and not signalled:
                raise KeyboardInterrupt
            pause = min(pause * 1.5, 0.01)

    def _append(self, state: State) -> None:
        lines = state.pending if state.has_header else [state.header(), *state.pending]
        try:
            handle = create(self._journal, 0)
            try:
                os.ftruncate(handle, state.valid_bytes)
                _write(handle, state.valid_bytes, "".join(line + "\n" for line in lines).encode())
            except OSError:
                os.ftruncate(handle, state.valid_bytes)
                raise
            finally:
                os.close(handle)
            if not state.valid_bytes:
                _sync_folder(self.home)
        except OSError as error:
            raise LocalError(f"{self._journal} cannot be written: {error.strerror}") from error
        state.lines += len(lines)
        state.has_header = True

    # Clean-up: what fails here is tried again next time

    def _clean_up(self, state: State) -> None:
        for submission_id in state.newly_ended:
            if all(job.state in ENDED for job in state.groups[submission_id]):
                self.remove(submission_id)
        live = sum(1 for job in state.jobs.values() if job.state not in ENDED)
        if state.lines > 3 * live + _SLACK:
            try:
                self._compact(state)
            except OSError:
                return

    def _compact(self, state: State) -> None:
        number, size, count = state.history
        ids = state.removable()
        rows = [job.row() for submission_id in ids for job in state.groups[submission_id]]
        for submission_id in ids:
            for job in state.groups.pop(submission_id):
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
        """The rows without those that are both old and beyond the number that is kept."""
        since = time.time() - self.settings.retention
        return [row for row in rows[:-KEPT] if ended_at(row) >= since] + rows[-KEPT:]


def ended_at(row: str) -> float:
    try:
        return float(row.split("|", 8)[7])
    except (IndexError, ValueError):
        return 0.0


def _make_folder(path: str) -> None:
    """Make a folder and those above it, all private."""
    if not os.path.isdir(path):
        _make_folder(os.path.dirname(path))
        with suppress(FileExistsError):  # another process made it meanwhile
            os.mkdir(path, 0o700)


def _write(handle: int, offset: int, data: bytes) -> None:
    """Write all bytes and sync them to the disk. Raises `OSError` otherwise."""
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
