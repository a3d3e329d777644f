"""The state directory, atomic writes of private files, and permission checks."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import JournalError

log = logging.getLogger(__name__)

#: What the system says when a process, a user or the host has no more of something.
SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
_BLOCK = 1 << 16  # bytes of a file that are read at once from its end
_LOG_BYTES = 1 << 14  # bytes of a log's end that are looked at


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
    return Path(user_home()) / ".local" / "state" / "psij_parsl"


def user_home(environ: Mapping[str, str] = os.environ) -> str:
    """What ~ stands for: $HOME, or what the system has for the user where that is not set, or empty, which would be /."""
    if own := environ.get("HOME"):
        return own
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "~"


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
    import tempfile

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


def write_new(path: str | Path, text: str, *, mode: int = 0o600) -> None:
    """Write a file into a folder that no other process writes to."""
    with translate_os_errors(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            data = memoryview(text.encode("utf-8", "surrogateescape"))
            while data:
                data = data[os.write(handle, data) :]
        finally:
            os.close(handle)


class LastWritten:
    """Writes new files, each as a link to the one of its name that was written last, where that has the same text.

    A link takes a tenth of the time that a new file takes. For files that nobody changes.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, str | Path]] = {}

    def write(self, path: str | Path, text: str) -> None:
        """As `write_new`."""
        name = os.path.basename(path)
        last, earlier = self._last.get(name, ("", None))
        if earlier is None or last != text or not _linked(earlier, path):
            write_new(path, text)
            self._last[name] = text, path


def _linked(earlier: str | Path, path: str | Path) -> bool:
    """Link a file under another name; False where it is gone, on another file system, or has too many links."""
    try:
        os.link(earlier, path)
    except OSError:
        return False
    return True


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


def start_of_last_lines(file: BinaryIO, lines: int, *, most_bytes: int = sys.maxsize) -> int:
    """The offset at which a file's last lines begin, or at least its last so many bytes. Reads from its end."""
    end = offset = file.seek(0, os.SEEK_END)
    if lines <= 0:
        return end
    first = max(0, end - most_bytes)
    missing = lines
    while offset > first:
        step = min(_BLOCK, offset - first)
        offset -= step
        file.seek(offset)
        block = file.read(step)
        at = step - 1 if offset + step == end else step  # the newline at the very end begins no line
        newlines = block.count(b"\n", 0, at)
        if newlines < missing:
            missing -= newlines
            continue
        for _ in range(missing):
            at = block.rfind(b"\n", 0, at)
        return offset + at + 1
    return first


def last_lines(path: Path, lines: int, *, most_bytes: int = sys.maxsize) -> str:
    """The last lines of a file with their ends; '' if there is none, or it is a pipe.

    A carriage return ends a line, too: of a progress bar the last states are given.
    """
    try:
        if not path.is_file():
            return ""
        with open(path, "rb") as file:
            file.seek(start_of_last_lines(file, lines, most_bytes=most_bytes))
            kept = file.read().splitlines(keepends=True)[-lines:] if lines > 0 else []
            return b"".join(kept).decode("utf-8", "replace")
    except OSError:
        return ""


def end_of_log(path: Path, lines: int = 20) -> str:
    """The last lines of a log, to be shown: of a few kilobytes at most, without the end of the last one."""
    return "\n".join(last_lines(path, lines, most_bytes=_LOG_BYTES).splitlines()[-lines:])


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
    """Check that no other user can change what lies in a state directory; False while there is none.

    Raises `JournalError` if it is another user's, or if others may write to it or to one above it. Those above are
    looked at up to one that is root's or sticky: beyond that, only root can put another one in its place. A group may
    write if it is the owner's private one, as on systems where each user has a group of the same name.
    """
    try:
        status = os.stat(path)
    except OSError:
        return False
    mine = os.geteuid()
    if status.st_uid != mine:
        raise JournalError(
            f"the state directory {path} belongs to another user (uid {status.st_uid})",
            hint="set PSIJ_PARSL_HOME to a directory of your own",
        )
    if status.st_mode & 0o002 or group_lets_others_write(path, status):
        who = "others" if status.st_mode & 0o002 else "your group"
        raise JournalError(f"{who} can write to the state directory {path}", hint=f"chmod go-w {path}")
    for above in Path(os.path.realpath(path)).parents:
        status = os.stat(above)
        if status.st_uid == 0 or status.st_mode & stat.S_ISVTX:
            break
        if status.st_mode & 0o002:
            raise JournalError(
                f"others can write to {above}, above the state directory {path}", hint=f"chmod o-w {above}"
            )
    return True


def guard_spool(path: Path) -> None:
    """Check that no other user can remove or replace job folders that are made in that one. Raises `JournalError`."""
    status = os.stat(path)
    if status.st_mode & stat.S_ISVTX:
        return
    if status.st_uid not in (os.geteuid(), 0):
        raise JournalError(
            f"{path}, where job folders are to lie, belongs to another user (uid {status.st_uid})",
            hint="name another `spool` in the site's file, or have that one made sticky (chmod +t)",
        )
    if status.st_mode & 0o002 or group_lets_others_write(path, status):
        who = "others" if status.st_mode & 0o002 else "its group"
        raise JournalError(
            f"{who} can write to {path}, where job folders are to lie", hint=f"chmod go-w {path}, or chmod +t {path}"
        )


def group_lets_others_write(
    path: str | Path, status: os.stat_result, *, is_private: Callable[[int, int], bool] | None = None
) -> bool:
    """Whether the group's right to write is anybody's but its owner's: its members', or by an access control list.

    Where there is such a list, the mode shows for the group what the list allows at most. `is_private` is asked, in
    place of `private_group`, only if the group can write: an answer may take a network's time.
    """
    if not status.st_mode & 0o020:
        return False
    return not (is_private or private_group)(status.st_gid, status.st_uid) or _list_names_writers(path)


def _list_names_writers(path: str | Path) -> bool:
    """Whether a POSIX access control list lets a user or a group by name write. https://man7.org/linux/man-pages/man5/acl.5.html"""
    try:
        entries = os.getxattr(path, "system.posix_acl_access")[4:]  # after the version
    except (AttributeError, OSError):  # there is none, or neither this file system nor this system has such lists
        return False
    user, group, write = 0x02, 0x08, 0x02
    whole = entries[: len(entries) // 8 * 8]
    return any(tag in (user, group) and rights & write for tag, rights, _ in struct.iter_unpack("<HHI", whole))


def private_group(gid: int, uid: int) -> bool:
    """Whether that is a user's own private group: the primary one, of the user's name or number, with no other in it.

    Root's own group is root's alone.
    """
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    return (
        gid == user.pw_gid
        and (gid == user.pw_uid or group.gr_name == user.pw_name)
        and (set(group.gr_mem) <= {user.pw_name})
    )


@contextmanager
def translate_os_errors(path: str | Path) -> Iterator[None]:
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
    """Whether only the owner (and root) can read it."""
    return stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
