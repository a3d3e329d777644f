"""Where our files live, and the one way to write them: private, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import random
import socket
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from .errors import JournalError

#: What the system says when a process, a user or the host has no more of something.
SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
_LOOK_MOST_S = 0.1  # how often one looks whether a lock is free, at least


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The state directory: $PSIJ_PARSL_HOME, else $XDG_STATE_HOME/psij_parsl, else ~/.local/state/psij_parsl."""
    if own := environ.get("PSIJ_PARSL_HOME"):
        return Path(os.path.abspath(own))
    if state := environ.get("XDG_STATE_HOME"):
        return Path(state) / "psij_parsl"
    return Path(os.path.expanduser("~")) / ".local" / "state" / "psij_parsl"


def private_folder(path: Path) -> Path:
    """Make a folder, and those above it, readable by its owner only; an existing one is left as it is."""
    with telling(path):
        try:
            path.mkdir(mode=0o700)
        except FileNotFoundError:
            private_folder(path.parent)
            path.mkdir(mode=0o700, exist_ok=True)
        except FileExistsError:
            if not path.is_dir():
                raise
    return path


def write_whole(path: Path, text: str, *, durable: bool = False, mode: int = 0o600) -> None:
    """Replace a file in one step, so that no reader ever sees half of it. `durable` also survives a power cut."""
    with telling(path):
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
                os.fchmod(file.fileno(), mode)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


def write_new(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write a file into a folder that nobody else writes to."""
    with telling(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None if there is none or it cannot be read as such."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn an operating system error about our own files into one sentence with a hint."""
    try:
        yield
    except OSError as error:
        hint = {
            errno.ENOSPC: "the disk is full: make room, or set PSIJ_PARSL_HOME to another one",
            errno.EDQUOT: "your quota is used up: make room, or set PSIJ_PARSL_HOME to another disk",
            errno.EACCES: "set PSIJ_PARSL_HOME to a directory that you can write to",
            errno.EROFS: "the file system is read-only: set PSIJ_PARSL_HOME to another one",
            errno.EMFILE: "this process may open too few files: ulimit -n 1024",
            errno.ENOTDIR: "a file stands where a directory should be: set PSIJ_PARSL_HOME to another place",
        }.get(error.errno or 0, "set PSIJ_PARSL_HOME to a directory that works")
        raise JournalError(f"cannot write {error.filename or path}: {error.strerror}", hint=hint) from error


def is_private(path: Path) -> bool:
    """Whether nobody but the owner (and root) can read it."""
    return stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


@cache
def boot_id() -> str:
    """What tells this boot of this host from every other one; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


STATE, SESSION, STARTED, STATUS = 0, 3, 19, 49  #: Fields of `process_status`.


def process_status(pid: int) -> list[bytes]:
    """What the kernel tells of a process (proc(5), stat), from its state on. Raises `OSError` if there is none."""
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
        return file.read().rpartition(b")")[2].split()


def process_start(pid: int) -> str:
    """When a process started, in the kernel's own ticks, so that a reused pid is not taken for it; empty if gone.

    One that has ended is gone, also while its parent has not asked how it ended.
    """
    try:
        words = process_status(pid)
        return "" if words[STATE] in b"ZX" else words[STARTED].decode()
    except (OSError, IndexError):
        if os.path.isdir("/proc/self"):
            return ""
        return "?" if _exists(pid) else ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def this_owner(pid: int | None = None) -> str:
    """Who we are, or that process of this host is, for records that outlive us: host, boot, pid and its start."""
    pid = os.getpid() if pid is None else pid
    return f"{socket.gethostname()}/{boot_id()}/{pid}/{process_start(pid)}"


def owner_gone(owner: str) -> bool | None:
    """Whether that process has ended; None where it cannot be known from here (another host)."""
    try:
        host, boot, pid, start = owner.split("/")
        number = int(pid)
    except ValueError:
        return None
    if host != socket.gethostname():
        return None
    return boot != boot_id() or process_start(number) != start


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
    with telling(Path(lock.lock_file)):
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
            time.sleep(min(left, pause * random.uniform(0.5, 1.5)))
            pause = min(pause * 1.5, _LOOK_MOST_S)


@contextmanager
def tried(lock: Any) -> Iterator[bool]:
    """Hold a lock if nobody else does: tells whether we have it, and never waits."""
    if not _acquired(lock, 0):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def locked(lock: Any, *, timeout_s: float = 60.0) -> Iterator[None]:
    """Hold a lock. Raises `JournalError` when it cannot be had in time."""
    if not _acquired(lock, timeout_s):
        raise JournalError(
            f"the lock {lock.lock_file} was not free within {timeout_s:.0f} s",
            hint="another process of yours holds it: a stopped one, perhaps on another login node?",
        )
    try:
        yield
    finally:
        lock.release()
