"""Where our files live, and the one way to write them: private, whole or not at all."""

from __future__ import annotations

import errno
import json
import logging
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

from ..errors import JournalError
from ..signals import should_exit

log = logging.getLogger(__name__)

#: What the system says when a process, a user or the host has no more of something.
SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
_SAY_AFTER_S = 3.0  # how long one waits for a lock before it is said who has it
_LOOK_MOST_S = 0.1  # how often one looks whether a lock is free, at least


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The state directory: $PSIJ_PARSL_HOME, else $XDG_STATE_HOME/psij_parsl, else ~/.local/state/psij_parsl.

    Raises `JournalError` for a $PSIJ_PARSL_HOME that another working directory would make another place.
    """
    if own := environ.get("PSIJ_PARSL_HOME"):
        if not os.path.isabs(own):
            raise JournalError(
                f"PSIJ_PARSL_HOME is the relative path {own}, another place in each working directory",
                hint="set it to a path that begins with /",
            )
        return Path(os.path.normpath(own))
    if os.path.isabs(state := environ.get("XDG_STATE_HOME", "")):  # by its standard a relative one does not count
        return Path(state) / "psij_parsl"
    return Path(os.path.expanduser("~")) / ".local" / "state" / "psij_parsl"


def private_folder(path: Path) -> Path:
    """Make a folder, and those above it, readable by its owner only; an existing one is left as it is."""
    with translate_os_errors(path):
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
    with translate_os_errors(path):
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
    with translate_os_errors(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None if there is none or it cannot be read as such."""
    try:
        return json.loads(read_plain(path))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, RecursionError, ValueError):
        return None


def read_plain(path: Path, most: int = -1) -> bytes:
    """The content of a file, or the first so many bytes of it. Raises `ValueError` for a pipe or a device."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(f"{path} is no file")
        return file.read(most)


def sync_folder(path: Path) -> None:
    """Have the names in a folder on disk."""
    with translate_os_errors(path):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # where folders have no such thing
                raise
        finally:
            os.close(handle)


def guard(path: Path) -> bool:
    """See that nobody else can change what lies in a state directory; False while there is none.

    Raises `JournalError` if it is another user's, or if others may write to it or to one above it. Those above are
    looked at up to one that is root's or sticky: beyond that, only root can put another one in its place. A group may
    write if it is the owner's private one, as on systems where each user has a group of the same name.
    """
    try:
        found = os.stat(path)
    except OSError:
        return False
    mine = os.geteuid()
    if found.st_uid != mine:
        raise JournalError(
            f"the state directory {path} belongs to another user (uid {found.st_uid})",
            hint="set PSIJ_PARSL_HOME to a directory of your own",
        )
    if found.st_mode & 0o002 or (found.st_mode & 0o020 and not _private(found.st_gid)):
        who = "others" if found.st_mode & 0o002 else "your group"
        raise JournalError(f"{who} can write to the state directory {path}", hint=f"chmod go-w {path}")
    for above in Path(os.path.realpath(path)).parents:
        found = os.stat(above)
        if found.st_uid == 0 or found.st_mode & stat.S_ISVTX:
            break
        if found.st_mode & 0o002:
            raise JournalError(
                f"others can write to {above}, above the state directory {path}", hint=f"chmod o-w {above}"
            )
    return True


def guard_spool(path: Path) -> None:
    """See that nobody else can take away or replace job folders that are made in that one. Raises `JournalError`."""
    found = os.stat(path)
    if found.st_mode & stat.S_ISVTX:
        return
    if found.st_uid not in (os.geteuid(), 0):
        raise JournalError(
            f"{path}, where job folders are to lie, belongs to another user (uid {found.st_uid})",
            hint="name another `spool` in the site's file, or have that one made sticky (chmod +t)",
        )
    if found.st_mode & 0o002 or (found.st_mode & 0o020 and not _private(found.st_gid)):
        who = "others" if found.st_mode & 0o002 else "its group"
        raise JournalError(
            f"{who} can write to {path}, where job folders are to lie", hint=f"chmod go-w {path}, or chmod +t {path}"
        )


def _private(gid: int) -> bool:
    """Whether that is our own private group: our primary one, of our name or number, with nobody else in it."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return (
        gid == user.pw_gid
        and (gid == user.pw_uid or group.gr_name == user.pw_name)
        and (set(group.gr_mem) <= {user.pw_name})
    )


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
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
        where = error.filename2 or error.filename or path  # of a link or a renaming, that which was to be made
        raise JournalError(f"cannot write {where}: {error.strerror}", hint=hint) from error


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


STATE, GROUP, SESSION, STARTED, RESIDENT, STATUS = (
    0,
    2,
    3,
    19,
    21,
    49,
)  #: Fields of `process_status`; memory in pages.


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


def process_identity(pid: int | None = None) -> str:
    """Who we are, or that process of this host is, for records that outlive us: host, boot, pid and its start."""
    pid = os.getpid() if pid is None else pid
    return f"{socket.gethostname()}/{boot_id()}/{pid}/{process_start(pid)}"


def process_has_ended(owner: str) -> bool | None:
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
    asked = should_exit()  # a signal that came before has led to what needs the lock: a cancel after Ctrl-C
    with translate_os_errors(Path(lock.lock_file)):
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
    """Hold a lock if nobody else does: tells whether we have it, and never waits. `named` as for `hold_lock`."""
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
    """Hold a lock. Raises `JournalError` when it cannot be had in time; after some seconds it is said who has it.

    `named`: who holds it is written beside it, for those that wait. A signal that asks to leave ends the wait.
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
    """Write beside a lock who holds it."""
    try:
        handle = os.open(f"{lock.lock_file}.holder", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(handle, process_identity().encode())
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
        owner = read_plain(Path(f"{lock.lock_file}.holder"), 1024).decode()
        return owner if owner.count("/") == 3 else ""
    except (OSError, ValueError):
        return ""


def stopped(pid: int) -> bool:
    """Whether a process of this host was stopped (Ctrl-Z, SIGSTOP) or is being debugged."""
    try:
        return process_status(pid)[STATE] in b"Tt"
    except (OSError, IndexError):
        return False
