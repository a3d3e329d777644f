"""The standard streams and signals of this process, made safe against what the parent process has done to them.

Streams may be closed, full, slow, set not to block, or without a reader; signals may be ignored or blocked. A closed
stream is opened on /dev/null, for its descriptor would otherwise go to the next file that is opened. For stdout that is
read-only, so that writing fails as it would have on the closed stream.
"""

from __future__ import annotations

import errno
import io
import os
import resource
import select
import signal
import stat
import sys
import time
from contextlib import suppress
from typing import Any, TextIO

from ..errors import Unwritten

_CHUNK = 4096  # bytes that a writable pipe takes without blocking (PIPE_BUF)
_FILES = 32
_NOT_STARTED = 125  # for every command
_POLL_S = 0.2
_SLOW_READER_S = 2.0  # wait so long for a reader that takes nothing, after a signal to end


class LostStream(OSError):
    """A stream of ours that cannot be written any more; `errno` and `strerror` tell why."""


class Stream(io.RawIOBase):
    """A standard stream. What is written is written whole, or `LostStream` is raised, once; later output is dropped."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._may_block = not stat.S_ISREG(os.fstat(fd).st_mode)
        self.lost: LostStream | None = None

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._fd)

    def write(self, data: Any) -> int:
        """Write at least one byte; returns how many were written."""
        if self.lost is not None:
            return len(data)
        try:
            while True:
                if self._may_block:
                    self._wait_writable()
                try:
                    return os.write(self._fd, memoryview(data)[: _CHUNK if self._may_block else None])
                except BlockingIOError:  # set not to block, and another writer was faster
                    continue
        except OSError as error:
            self.lost = LostStream(error.errno, error.strerror)
            raise self.lost from None

    def _wait_writable(self) -> None:
        """Wait until the stream can be written; only a little longer after a signal to end."""
        from ..signals import received_signal

        deadline: float | None = None
        while not select.select([], [self._fd], [], _POLL_S)[1]:
            if deadline is None and received_signal() is not None:
                deadline = time.monotonic() + _SLOW_READER_S
            if deadline is not None and time.monotonic() >= deadline:
                raise OSError(errno.ETIMEDOUT, "its reader takes nothing")


_HINTS = {
    errno.EBADF: "it was closed when psij-run was started: redirect it to a file, or to /dev/null",
    errno.ENOSPC: "free some space where it is written, or redirect it to another file",
    errno.EDQUOT: "free some space where it is written, or redirect it to another file",
    errno.EIO: "its terminal is gone: redirect it to a file",
}
closed: set[int] = set()  #: Descriptors that were closed when this process was started.


def adopt() -> int:
    """Put this process's streams and signals in order. Returns 0.

    If the process may open so few files that it would fail at any moment, a sentence is printed, and the exit code
    returned.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            closed.add(fd)
            os.set_inheritable(os.open(os.devnull, os.O_WRONLY if fd == 2 else os.O_RDONLY), True)
    sys.stdout, sys.stderr = _text_stream(1, sys.stdout), _text_stream(2, sys.stderr)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as we are
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a blocked one would never end us
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # then the exit status of a child would be lost
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= files < _FILES:
        with suppress(OSError):
            sys.stderr.write(
                f"psij-run: this process may open {files} files at once, and needs {_FILES}; nothing was done\n"
                "hint: raise the limit: ulimit -n 1024\n"
            )
        return _NOT_STARTED
    return 0


def _text_stream(fd: int, original: TextIO | None) -> TextIO:
    """The text stream over a descriptor, as Python's own was (None if it was closed)."""
    return io.TextIOWrapper(
        io.BufferedWriter(Stream(fd), 1 << 16),
        original.encoding if original is not None else "utf-8",
        "backslashreplace",
        line_buffering=fd == 2 or os.isatty(fd),
        write_through=bool(getattr(original, "write_through", False)),
    )


def stream_error(stream: object) -> LostStream | None:
    """Why a text stream of ours cannot be written any more; None if it can, or if that is not known."""
    error: LostStream | None = getattr(getattr(getattr(stream, "buffer", None), "raw", None), "lost", None)
    return error


def unwritten(error: OSError, done: str = "", hint: str = "", *, stream: str = "stdout") -> Unwritten:
    """The error for a stream that cannot be written; `done` is what was done nevertheless."""
    why = {errno.EBADF: "it is closed", errno.EPIPE: "its reader has left"}.get(error.errno or 0, error.strerror)
    message = f"{f'{done}, but ' if done else ''}{stream} cannot be written: {why or error}"
    return Unwritten(message, hint=hint or _HINTS.get(error.errno or 0, ""))
