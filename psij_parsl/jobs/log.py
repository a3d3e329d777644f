"""The log `journal.jsonl`: one event a line, read as it grows, appended to under a lock, rewritten when that halves it."""

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
OLD = 4 * GROWN  # bytes of ended jobs that were never moved: an earlier version's log
_CHUNK = 1 << 20  # bytes of the log that are read at once
_PATIENCE_S = 60.0  # how long who acts waits for the lock
_BRIEFLY_S = 2.0  # how long who only looks waits for the lock, to write down what it has learnt


class Log:
    """The log of one state directory, and what this process knows of it."""

    def __init__(self, home: Path) -> None:
        self.home, self.path = home, home / "journal.jsonl"
        self.known = LogRecords(home / "closed")
        self._mutex = threading.Lock()
        self._lock: Any = None
        self._local = threading.local()
        self._guarded = False
        self._undone = 0  # the size of the log when this process last could not rewrite it
        self._begin(0)

    def _begin(self, inode: int) -> None:
        self.known.clear()
        self._offset, self._inode, self._head = 0, inode, b""

    # ---- reading -------------------------------------------------------------------------------------------

    @contextmanager
    def current(self) -> Iterator[None]:
        """Up to date with the log, and no other thread at it; a log of an earlier version is moved over at the end."""
        with self._mutex:
            self._catch_up()
            yield
            old = self.known.ended_bytes > max(OLD, self._offset // 2) and self._offset > self._undone * 1.25
        if old:
            self._tidy()

    def _catch_up(self) -> None:
        """Read what has been written since the last look."""
        self._guard()
        try:
            with open(self.path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
                stat, head = os.fstat(file.fileno()), os.pread(file.fileno(), HEAD, 0)
                # A log that was rewritten twice may have got its first inode number back: hence the head.
                if stat.st_ino != self._inode or stat.st_size < self._offset or not head.startswith(self._head):
                    self._begin(stat.st_ino)
                self._head = head
                file.seek(self._offset)
                text = b""
                while chunk := file.read(_CHUNK):
                    text += chunk
                    end = text.rfind(b"\n") + 1  # a line without its end is still being written, or torn
                    self._offset += end
                    self.known.take(text[:end])
                    text = text[end:]
        except FileNotFoundError:
            self._begin(0)
        except OSError as error:
            raise JournalError(
                f"cannot read {self.path}: {error.strerror}", hint="set PSIJ_PARSL_HOME to a directory of your own"
            ) from error

    def _guard(self) -> None:
        if not self._guarded:
            self._guarded = guard(self.home)

    def unlisten(self, ended: set[str]) -> None:
        """No more is added to that set of listeners'."""
        with self._mutex:
            self.known.listeners = [each for each in self.known.listeners if each is not ended]

    # ---- writing -------------------------------------------------------------------------------------------

    def append(self, events: Sequence[Mapping[str, Any]], *, durable: bool = False) -> None:
        """Add lines; with `durable` they are on disk when this returns. Raises `JournalError`, and then none is there."""
        if not events:
            return
        from .log_rewriting import write_all  # not for who only reads

        text = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events).encode()
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
            self._tidy()

    @contextmanager
    def briefly(self) -> Iterator[None]:
        """For who only looks: what it learns is written down if the lock is to be had soon, else by a later look."""
        before = self._patience_s
        self._local.patience_s = _BRIEFLY_S
        try:
            yield
        finally:
            self._local.patience_s = before

    @property
    def _patience_s(self) -> float:
        return float(getattr(self._local, "patience_s", _PATIENCE_S))

    def _locked(self) -> AbstractContextManager[None]:
        if self._lock is None:
            self._lock = lock(self.home / "journal.lock")
        return hold_lock(self._lock, timeout_s=self._patience_s, named=True)

    # ---- rewriting -----------------------------------------------------------------------------------------

    def _tidy(self) -> None:
        """Rewrite the log without what was overtaken and what has ended, if that halves it. One process at a time.

        Should that fail (no room, a disk that is read-only), all stays as it is, and what was to be told has been.
        """
        undone, self._undone = self._offset, 0
        try:
            with try_lock(lock(self.home / "journal.tidy.lock")) as ours:
                if ours:
                    self._rewrite()
                else:
                    self._undone = undone
        except (JournalError, OSError) as error:
            self._undone = undone
            log.debug("the journal was not rewritten: %s", error)

    def _rewrite(self) -> None:
        from .log_rewriting import LogCopy, rewrite

        with self._mutex:
            self._catch_up()
            known = self.known
            copy = LogCopy(
                self._inode,
                self._head,
                self._offset,
                dict(known.records),
                set(known.forgotten),
                known.latest,
                known.shelf(),
            )
        rewrite(self.path, known.folder, copy, self._locked)


def _step(size: int) -> int:
    """How many bytes a log of that size may grow before it is worth a look whether it could be halved."""
    return max(GROWN, 1 << max(0, size.bit_length() - 2))
