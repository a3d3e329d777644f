"""File locks among the processes of a user, with a time limit and, if `named`, a file that says who holds them."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


def lock(path: Path) -> Any:
    """The lock of that name among all processes, threads and (where the file system can) hosts of the user.

    A `filelock.FileLock`; the kernel gives it back when its holder dies. Keep and reuse it: making one is slow.
    """
    from filelock import FileLock

    private_folder(path.parent)
    return FileLock(path, mode=0o600)


def _acquired(lock: Any, timeout_s: float) -> bool:
    from filelock import Timeout

    deadline, pause = time.monotonic() + timeout_s, 0.002
    asked = should_exit()  # a signal that came before has led to what needs the lock: a cancel after Ctrl-C
    with translate_os_errors(lock.lock_file):
        while True:
            try:
                lock.acquire(timeout=0)
            except Timeout:  # an OSError as well, but none that there is anything to tell about
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
            else:
                return True
            # Ever more rarely, and not in step: hundreds that look every few milliseconds keep the holder from working.
            if should_exit(min(left, pause * random.uniform(0.5, 1.5))) and not asked:
                raise KeyboardInterrupt
            pause = min(pause * 1.5, _LOOK_MOST_S)


@contextmanager
def try_lock(lock: Any, *, named: bool = False) -> Iterator[bool]:
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
def hold_lock(lock: Any, *, timeout_s: float = 60.0, named: bool = False) -> Iterator[None]:
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


def _sign(lock: Any) -> None:
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


def holder(lock: Any) -> str:
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


def holder_stopped(lock: Any) -> bool:
    """Whether who holds a lock that is `named` is known to be a stopped process of this host."""
    owner = _signed(lock)
    return bool(owner) and process_has_ended(owner) is False and stopped(int(owner.split("/")[2]))


def _signed(lock: Any) -> str:
    try:
        owner = read_plain(Path(f"{lock.lock_file}.holder"), _SIGN_BYTES).decode()
        return owner if owner.count("/") == 3 else ""
    except (OSError, ValueError):
        return ""
