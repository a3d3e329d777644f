"""Our own three streams and signals, whatever our parent has left of them.

Streams may be closed, full, slow, set not to block, or without a reader; signals may be ignored or blocked. A closed
stream is opened, for its number would go to the next file that anybody opens: to /dev/null, which as stdout takes no
writing, so that it fails as it would have.
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

_PIECE = 4096  # bytes that a pipe with any room at all takes without waiting (PIPE_BUF)
_FILES = 32
_FOR_ALL = 125  # whatever the command: nothing was begun
_LOOK_S = 0.2
_PATIENCE_S = 2.0  # for a reader that takes nothing, once we have been asked to leave


class Lost(OSError):
    """A stream of ours that cannot be written; `errno` and `strerror` tell why."""


class Stream(io.RawIOBase):
    """A standard stream. What is written is written whole, or `Lost` is raised, once; after that it goes nowhere."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waits = not stat.S_ISREG(os.fstat(fd).st_mode)
        self.lost: Lost | None = None

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
        """Write some of it, at least a byte; how much."""
        if self.lost is not None:
            return len(data)
        try:
            while True:
                if self._waits:
                    self._until_taken()
                try:
                    return os.write(self._fd, memoryview(data)[: _PIECE if self._waits else None])
                except BlockingIOError:  # set not to block, and somebody else was faster
                    continue
        except OSError as error:
            self.lost = Lost(error.errno, error.strerror)
            raise self.lost from None

    def _until_taken(self) -> None:
        """Wait until there is room; not much longer once a signal has asked us to leave."""
        from ..signals import received_signal

        deadline: float | None = None
        while not select.select([], [self._fd], [], _LOOK_S)[1]:
            if deadline is None and received_signal() is not None:
                deadline = time.monotonic() + _PATIENCE_S
            if deadline is not None and time.monotonic() >= deadline:
                raise OSError(errno.ETIMEDOUT, "nobody reads it")


_HINTS = {
    errno.EBADF: "it was so when psij-run was started: give it a file, or /dev/null",
    errno.ENOSPC: "make room where it goes to, or give it another file",
    errno.EDQUOT: "make room where it goes to, or give it another file",
    errno.EIO: "its terminal is gone: give it a file",
}
closed: set[int] = set()  #: Descriptors that our parent had closed.


def adopt() -> int:
    """Make this process's streams and signals such that the rest need not think of them.

    The exit code, after a sentence, where it may open so few files that it would fail at any moment; else 0.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            closed.add(fd)
            os.set_inheritable(os.open(os.devnull, os.O_WRONLY if fd == 2 else os.O_RDONLY), True)
    sys.stdout, sys.stderr = _text(1, sys.stdout), _text(2, sys.stderr)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as we are
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # blocked ones would never ask us to leave
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # then nobody is told how a child has ended
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= files < _FILES:
        with suppress(OSError):
            sys.stderr.write(
                f"psij-run: this process may open {files} files at once, and needs {_FILES}; nothing was done\n"
                "hint: raise the limit: ulimit -n 1024\n"
            )
        return _FOR_ALL
    return 0


def _text(fd: int, before: TextIO | None) -> TextIO:
    """The text stream over a descriptor, as Python's own was (None if it was closed)."""
    return io.TextIOWrapper(
        io.BufferedWriter(Stream(fd), 1 << 16),
        before.encoding if before is not None else "utf-8",
        "backslashreplace",
        line_buffering=fd == 2 or os.isatty(fd),
        write_through=bool(getattr(before, "write_through", False)),
    )


def lost(text: object) -> Lost | None:
    """Why what was written to a text stream has not arrived; None if it has, or that is not known."""
    found: Lost | None = getattr(getattr(getattr(text, "buffer", None), "raw", None), "lost", None)
    return found


def unwritten(error: OSError, done: str = "", hint: str = "", *, stream: str = "stdout") -> Unwritten:
    """The sentence for a stream that does not take what we write; `done` is what was done all the same."""
    why = {errno.EBADF: "it is closed", errno.EPIPE: "its reader has left"}.get(error.errno or 0, error.strerror)
    said = f"{f'{done}, but ' if done else ''}{stream} cannot be written: {why or error}"
    return Unwritten(said, hint=hint or _HINTS.get(error.errno or 0, ""))
