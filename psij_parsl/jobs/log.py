"""The log file `journal.jsonl`: one event on each line, appended under a lock, and rewritten when that halves it.

A process reads only what was added since it last read.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from ..errors import JournalError
from ..system.files import guard, translate_os_errors
from ..system.locks import hold_lock, lock, try_lock
from .log_records import HEAD, LogRecords

log = logging.getLogger(__name__)

GROWN = 256 * 1024  # bytes of events before the log is worth rewriting
OLD = 4 * GROWN  # bytes of ended jobs in a log that an earlier version wrote, and from which none was moved
_CHUNK = 1 << 20  # bytes of the log that are read at once
_encode = json.JSONEncoder(separators=(",", ":")).encode
_LOCK_TIMEOUT_S = 60.0  # for the lock, of a process that submits, cancels or otherwise acts
_BRIEF_LOCK_TIMEOUT_S = 2.0  # for the lock, of a process that only asks for statuses, and records what it learnt


class Log:
    """The log of one state directory, and what this process has read of it."""

    def __init__(self, home: Path) -> None:
        self.home, self.path = home, home / "journal.jsonl"
        self.contents = LogRecords(home / "closed")
        self._mutex = threading.Lock()
        self._lock: Any = None
        self._local = threading.local()
        self._guarded = False
        self._failed_size = 0  # of the log, when this process last failed to rewrite it
        self._reset(0)

    def _reset(self, inode: int) -> None:
        self.contents.clear()
        self._offset, self._inode, self._head = 0, inode, b""

    # ---- reading -------------------------------------------------------------------------------------------

    @contextmanager
    def current(self) -> Iterator[None]:
        """Read what is new in the log, and keep other threads from it inside the `with` block.

        A log of an earlier version is rewritten at the end: its ended jobs are moved into segments.
        """
        with self._mutex:
            self._catch_up()
            yield
            old = self.contents.ended_bytes > max(OLD, self._offset // 2) and self._offset > self._failed_size * 1.25
        if old:
            self._rewrite_if_shorter()

    def _catch_up(self) -> None:
        """Read what was written to the log since the last read."""
        self._guard()
        try:
            with open(self.path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
                stat, head = os.fstat(file.fileno()), os.pread(file.fileno(), HEAD, 0)
                # A log that was rewritten twice may have got its first inode number back: hence the head.
                if stat.st_ino != self._inode or stat.st_size < self._offset or not head.startswith(self._head):
                    self._reset(stat.st_ino)
                self._head = head
                file.seek(self._offset)
                text = b""
                while chunk := file.read(_CHUNK):
                    text += chunk
                    end = text.rfind(b"\n") + 1  # a line without its end is still being written, or torn
                    self._offset += end
                    self.contents.take(text[:end])
                    text = text[end:]
        except FileNotFoundError:
            self._reset(0)
        except OSError as error:
            raise JournalError(
                f"cannot read {self.path}: {error.strerror}", hint="set PSIJ_PARSL_HOME to a directory of your own"
            ) from error

    def _guard(self) -> None:
        if not self._guarded:
            self._guarded = guard(self.home)

    def unlisten(self, ended: set[str]) -> None:
        """Stop adding ids of ended jobs to that set."""
        with self._mutex:
            self.contents.listeners = [listener for listener in self.contents.listeners if listener is not ended]

    # ---- writing -------------------------------------------------------------------------------------------

    def append(self, events: Sequence[Mapping[str, Any]], *, durable: bool = False) -> None:
        """Append events, one line for each; with `durable` they are on disk when this returns.

        Raises `JournalError`: then none of them was written.
        """
        if not events:
            return
        from .log_rewriting import write_all  # not needed by processes that only read

        text = "".join(f"{_encode(event)}\n" for event in events).encode()
        self._guard()
        with self._locked(), translate_os_errors(self.path):
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                size = os.fstat(handle).st_size
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    text = b"\n" + text  # a writer was killed in the middle of its line
                write_all(handle, text, size)
                if durable:
                    os.fdatasync(handle)
            finally:
                os.close(handle)
        step = _step(size)
        if size // step != (size + len(text)) // step:
            self._rewrite_if_shorter()

    @contextmanager
    def briefly(self) -> Iterator[None]:
        """Wait only briefly for the lock inside the `with` block: for processes that only ask for statuses.

        What such a process could not write is learnt and written again by a later one.
        """
        before = self._lock_timeout_s
        self._local.lock_timeout_s = _BRIEF_LOCK_TIMEOUT_S
        try:
            yield
        finally:
            self._local.lock_timeout_s = before

    @property
    def _lock_timeout_s(self) -> float:
        return float(getattr(self._local, "lock_timeout_s", _LOCK_TIMEOUT_S))

    def _locked(self) -> AbstractContextManager[None]:
        if self._lock is None:
            self._lock = lock(self.home / "journal.lock")
        return hold_lock(self._lock, timeout_s=self._lock_timeout_s, named=True)

    # ---- rewriting -----------------------------------------------------------------------------------------

    def _rewrite_if_shorter(self) -> None:
        """Rewrite the log without outdated events and ended jobs, if that halves it. One process at a time does so.

        If that fails (no room, a disk that is read-only), the log stays as it is. That is no error: the events that
        were to be recorded are in the log already.
        """
        failed_size, self._failed_size = self._offset, 0
        try:
            with try_lock(lock(self.home / "journal.tidy.lock")) as ours:
                if ours:
                    self._rewrite()
                else:
                    self._failed_size = failed_size
        except (JournalError, OSError) as error:
            self._failed_size = failed_size
            log.debug("the journal was not rewritten: %s", error)

    def _rewrite(self) -> None:
        from .log_rewriting import LogCopy, rewrite

        with self._mutex:
            self._catch_up()
            contents = self.contents
            copy = LogCopy(
                self._inode,
                self._head,
                self._offset,
                dict(contents.records),
                set(contents.forgotten),
                contents.latest,
                contents.shelf(),
            )
        rewrite(self.path, contents.folder, copy, self._locked)


def _step(size: int) -> int:
    """How many bytes a log of that size may grow before the next check whether a rewrite would halve it."""
    return max(GROWN, 1 << max(0, size.bit_length() - 2))
