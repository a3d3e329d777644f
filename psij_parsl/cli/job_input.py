"""The stdin of this command: a job's input, kept beside the copies of job scripts, or its script."""

from __future__ import annotations

import os
import select
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InvalidRequest
from ..system.files import private_folder, translate_os_errors
from .output import Renderer

STDIN = "-"
_CHUNK = 1 << 20
_FOLDER, _ENDING = "scripts", ".input"


@dataclass
class JobInput:
    """Input that is read from stdin to its end and written to that path, once; `on_nodes` is what nodes call it."""

    path: Path
    on_nodes: Path
    _is_there: bool = field(default=False, init=False)

    @classmethod
    def below(cls, folder: Path, on_nodes: Path) -> JobInput:
        """One with a name of its own below `folder`."""
        name = f"{os.urandom(16).hex()}{_ENDING}"
        return cls(folder / _FOLDER / name, on_nodes / _FOLDER / name)

    def take(self, out: Renderer) -> None:
        """Read and write it, if that was not done yet. If it cannot be read to its end nothing is left of it."""
        if self._is_there:
            return
        private_folder(self.path.parent)
        try:
            with translate_os_errors(self.path):
                handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                for data in stdin_chunks(out, "the job's input"):
                    with translate_os_errors(self.path):
                        file.write(data)
                with translate_os_errors(self.path):
                    file.flush()
                    os.fsync(handle)
        except BaseException:
            self.drop()
            raise
        self._is_there = True

    def drop(self) -> None:
        """Remove it: no job reads it."""
        self.path.unlink(missing_ok=True)
        self._is_there = False


def stdin_chunks(out: Renderer, what: str) -> Iterator[bytes]:
    """What comes on stdin, up to its end. Raises `InvalidRequest` if it is closed or cannot be read."""
    from .stdio import closed

    if 0 in closed:
        raise InvalidRequest(f"{what} cannot be read: stdin is closed", hint="redirect it from a file or a pipe")
    if os.isatty(0):
        out.note(f"reading {what} from this terminal; Ctrl-D ends it")
    while True:
        try:
            select.select([0], [], [])  # others may have set it not to block
            data = os.read(0, _CHUNK)
        except BlockingIOError:
            continue
        except OSError as error:
            raise InvalidRequest(
                f"{what} cannot be read from stdin: {error.strerror}", hint="redirect it from a file or a pipe"
            ) from error
        if not data:
            return
        yield data


def stdin_waits() -> bool:
    """Whether stdin is a file or a pipe in which there is something to read; nothing is read of it, or waited for."""
    import fcntl
    import termios

    try:
        status = os.fstat(0)
        if stat.S_ISREG(status.st_mode):
            return os.lseek(0, 0, os.SEEK_CUR) < status.st_size
        if not stat.S_ISFIFO(status.st_mode) and not stat.S_ISSOCK(status.st_mode):
            return False
        waiting: int = struct.unpack("i", fcntl.ioctl(0, termios.FIONREAD, struct.pack("i", 0)))[0]
        return waiting > 0
    except OSError:
        return False
