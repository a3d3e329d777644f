"""File locks among the processes of a user, with a time limit and, if `named`, a file that says who holds them."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import JournalError
from ..signals import should_exit
from .files import private_folder, read_plain, translate_os_errors
from .processes import process_has_ended, process_identity, stopped

log = logging.getLogger(__name__)

_SAY_AFTER_S = 3.0  # how long one waits for a lock before a warning says who has it
_SIGN_BYTES = 1024
_LOOK_MOST_S = 0.1  # how often one looks whether a lock is free, at least


class Lock:
    """A lock of that name among all processes, threads and (where the file system can) hosts of the user.

    The kernel gives it back when its holder dies. A thread that has it may take it again. It is flock(2), which takes a
    fiftieth of the time of `filelock`, and `filelock`'s on file systems that have none, or where it cannot be known
    when the file is made. The two exclude each other, for `filelock` takes flock(2), too, where that is to be had.
    """

    def __init__(self, path: Path) -> None:
        self.lock_file = str(path)
        self._thread = threading.local()  # `hold`: how the present thread holds it
        self._other: Any = None  # filelock's

    def take(self) -> bool:
        """Take it if it is free; tells whether we have it."""
        hold: _Hold | None = getattr(self._thread, "hold", None)
        if hold is None or hold.pid != os.getpid():
            handle = self._flock()
            if handle == _TAKEN or (handle is None and not self._take_other()):
                return False
            hold = self._thread.hold = _Hold(handle)
        hold.times += 1
        return True

    def release(self) -> None:
        """Give it back; what was taken several times is given back as often."""
        hold: _Hold = self._thread.hold
        hold.times -= 1
        if hold.times:
            return
        self._thread.hold = None
        if hold.pid != os.getpid():  # we were forked meanwhile: it is our parent's
            return
        if hold.handle is None:
            self._other.release()
            return
        _open.discard(hold.handle)
        try:
            fcntl.flock(hold.handle, fcntl.LOCK_UN)  # also where a child of ours has the file open
        finally:
            os.close(hold.handle)

    def _flock(self) -> int | None:
        """The open file that holds it; `_TAKEN` if somebody else does, None if it is to be had otherwise."""
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            try:
                handle = os.open(self.lock_file, flags)
            except FileNotFoundError:
                _make(self.lock_file)
                handle = os.open(self.lock_file, flags)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(handle)
            if status.st_nlink == 1 and status.st_uid == os.geteuid() and stat.S_ISREG(status.st_mode):
                _watch_forks()
                _open.add(handle)
                return handle
            os.close(handle)
        except OSError as error:
            os.close(handle)
            return _TAKEN if isinstance(error, BlockingIOError) else None
        except BaseException:  # Ctrl-C
            os.close(handle)
            raise
        return None

    def _take_other(self) -> bool:
        from filelock import FileLock, Timeout

        self._other = self._other or FileLock(self.lock_file, mode=0o600)
        try:
            self._other.acquire(timeout=0)
        except Timeout:  # an OSError as well, but none that there is anything to tell about
            return False
        return True


def _make(path: str) -> None:
    """Make a lock's file in one step, if its file system has flock(2); else `filelock` must, to find that out.

    Raises `OSError` where that is not so, or cannot be known.
    """
    where, name = os.path.split(path)
    folder = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
    try:
        handle = os.open(".", os.O_RDWR | os.O_TMPFILE, 0o600, dir_fd=folder)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileExistsError):
                os.link(f"/proc/self/fd/{handle}", name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(handle)
    finally:
        os.close(folder)


class _Hold:
    """How a thread holds a lock: by an open file, or, without one, by filelock's; and how often it took it."""

    def __init__(self, handle: int | None) -> None:
        self.handle, self.times, self.pid = handle, 0, os.getpid()


_TAKEN = -1
_open: set[int] = set()  # the files of the locks that this process holds


@cache
def _watch_forks() -> None:
    os.register_at_fork(after_in_child=_close_all)


def _close_all() -> None:
    """Close what we have from our parent, lest we keep its locks when it is killed."""
    while _open:
        os.close(_open.pop())


def lock(path: Path) -> Lock:
    """The lock of that name."""
    private_folder(path.parent)
    return Lock(path)


def _acquired(lock: Lock, timeout_s: float) -> bool:
    deadline, pause = time.monotonic() + timeout_s, 0.002
    asked = should_exit()  # a signal that came before has led to what needs the lock: a cancel after Ctrl-C
    with translate_os_errors(Path(lock.lock_file)):
        while not lock.take():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            import random

            # Ever more rarely, and not in step: hundreds that look every few milliseconds keep the holder from working.
            if should_exit(min(left, pause * random.uniform(0.5, 1.5))) and not asked:
                raise KeyboardInterrupt
            pause = min(pause * 1.5, _LOOK_MOST_S)
    return True


@contextmanager
def try_lock(lock: Lock, *, named: bool = False) -> Iterator[bool]:
    """Hold a lock if it is free: tells whether we have it, and never waits. `named` as for `hold_lock`."""
    if not _acquired(lock, 0):
        yield False
        return
    try:
        if named:
            _sign(lock)
        yield True
    finally:
        lock.release()


@contextmanager
def hold_lock(lock: Lock, *, timeout_s: float = 60.0, named: bool = False) -> Iterator[None]:
    """Hold a lock. Raises `JournalError` when it cannot be had in time; after some seconds a warning says who has it.

    `named`: who holds it is written next to it, for those that wait. A signal that asks to leave ends the wait.
    """
    if not _acquired(lock, min(timeout_s, _SAY_AFTER_S)):
        who = holder(lock)
        if timeout_s > _SAY_AFTER_S:
            log.warning("waiting for the lock %s: %s", lock.lock_file, who or "another process of yours holds it")
        if timeout_s <= _SAY_AFTER_S or not _acquired(lock, timeout_s - _SAY_AFTER_S):
            raise JournalError(
                f"the lock {lock.lock_file} was not free within {timeout_s:.0f} s",
                hint=who or "another process of yours holds it: a stopped one, perhaps on another login node?",
            )
    try:
        if named:
            _sign(lock)
        yield
    finally:
        lock.release()


def _sign(lock: Lock) -> None:
    """Write next to a lock who holds it, unless that stands there already."""
    try:
        handle = os.open(f"{lock.lock_file}.holder", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            written, text = os.pread(handle, _SIGN_BYTES, 0), process_identity().encode()
            if written != text:
                os.pwrite(handle, text, 0)
                os.ftruncate(handle, len(text))
        finally:
            os.close(handle)
    except OSError:  # no room for it, perhaps: it is for a remark only, and the work can go on
        return


def holder(lock: Lock) -> str:
    """Who holds a lock that is `named`, as a sentence; '' where that is not known."""
    owner = _signed(lock)
    if not owner or (gone := process_has_ended(owner)):
        return ""
    host, _, pid, _ = owner.split("/")
    if gone is None:
        return f"process {pid} on {host} held it last: is it stopped?"
    if stopped(int(pid)):
        return f"process {pid} of this host holds it and is stopped: `kill -CONT {pid}` lets it go on"
    return f"process {pid} of this host holds it"


def holder_stopped(lock: Lock) -> bool:
    """Whether who holds a lock that is `named` is known to be a stopped process of this host."""
    owner = _signed(lock)
    return bool(owner) and process_has_ended(owner) is False and stopped(int(owner.split("/")[2]))


def _signed(lock: Lock) -> str:
    try:
        owner = read_plain(Path(f"{lock.lock_file}.holder"), _SIGN_BYTES).decode()
        return owner if owner.count("/") == 3 else ""
    except (OSError, ValueError):
        return ""
