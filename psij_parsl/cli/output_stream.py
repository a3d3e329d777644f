"""A job's output files as they grow, and the line that says what a job waits for."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from errno import EPIPE
from functools import partial
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, TextIO

from ..system.files import start_of_last_lines
from .output import length, plain
from .stdio import stream_error

_CHUNK = 1 << 20
_INTERVAL_S = 0.05
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_FRAMES = "|/-\\"


class Tail:
    """The part of a file that was not read yet. A file that existed before the job is not taken for the job's.

    A file that was truncated (the job was restarted) is read from its start.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._before = self._identity()

    def _identity(self) -> tuple[int, int, int] | None:
        try:
            stat = os.stat(self.path)
        except OSError:
            return None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def read(self) -> bytes:
        """The next bytes, at most a megabyte; b'' if there are none now."""
        if self._before is not None:
            if self._identity() == self._before:
                return b""  # an earlier file of that name, which the job has not opened yet
            self._before = None
        try:
            with open(
                self.path, "rb", buffering=0, opener=open_nonblocking
            ) as file:  # reopened, so that NFS gets the current size
                if not S_ISREG(os.fstat(file.fileno()).st_mode):
                    return b""
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                data = file.read(_CHUNK)
        except OSError:
            return b""
        self._offset += len(data)
        return data

    def begin(self, last_lines: int | None = None) -> None:
        """Take the existing file for the job's; start with its last lines if a number is given."""
        self._before = None
        if last_lines is not None and self.path.is_file():
            with open(self.path, "rb") as file:
                self._offset = start_of_last_lines(file, last_lines)


def open_nonblocking(path: str, flags: int) -> int:
    """An opener for `open` that does not wait for the writer of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


class Sink:
    """Where bytes go: as they are, or as whole lines with a label before each."""

    def __init__(self, stream: TextIO, label: str = "") -> None:
        self._file: BinaryIO = stream.buffer
        self._stream = stream
        self._label = label.encode()
        self._rest = b""

    @property
    def name(self) -> str:
        """The name of the stream."""
        return "stderr" if self._stream is sys.stderr else "stdout"

    def write(self, data: bytes) -> None:
        """Write all of it, at once. Raises `OSError` if the stream cannot be written, or could not be before."""
        if self._label:
            *lines, self._rest = (self._rest + data).split(b"\n")
            data = b"".join(self._label + line + b"\n" for line in lines)
        self._put(data)

    def close(self) -> None:
        """Write a last line without a newline."""
        if self._rest:
            self._put(self._label + self._rest + b"\n")
            self._rest = b""

    def _put(self, data: bytes) -> None:
        self._stream.flush()
        self._file.write(data)
        self._file.flush()
        if error := stream_error(self._stream):
            raise error


class Spinner:
    """One animated line on a terminal's stderr while a job waits; nothing elsewhere."""

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream = stream
        self.active = not quiet and stream.isatty() and os.environ.get("TERM") != "dumb"
        unicode = "utf" in (getattr(stream, "encoding", "") or "").lower()
        self._frames = _FRAMES if unicode else _PLAIN_FRAMES
        self._drawn = ""
        self._started = time.monotonic()

    def draw(self, text: str) -> None:
        """Show the text with the next frame, cut to the terminal's width."""
        if not self.active:
            return
        waited = time.monotonic() - self._started
        frame = self._frames[int(waited * 10) % len(self._frames)]
        line = f"{frame} {plain(text)}  {length(waited)}".replace("\n", " ")
        if line == self._drawn:
            return
        self._drawn = line
        try:
            width = os.get_terminal_size(self._stream.fileno()).columns or 80  # 0: unknown
        except (OSError, ValueError):
            width = 80
        self._put(f"\r\x1b[K{line[: width - 1]}")

    def clear(self) -> None:
        """Remove the line."""
        if self._drawn:
            self._drawn = ""
            self._put("\r\x1b[K")

    def _put(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # the terminal is gone
            self.active = False


class Pump(threading.Thread):
    """Copies files to our own streams while they grow, in a thread, so that a slow manager does not delay output.

    `waiting` is the spinner's text until there is output; None for no spinner. `error`: the reader of our output has
    left, and copying has ended. `lost`: streams that cannot be written for another reason, such as a full disk; the
    other streams go on.
    """

    def __init__(self, pairs: Sequence[tuple[Tail, Sink]], spinner: Spinner | None = None) -> None:
        super().__init__(name="psij-output", daemon=True)
        self.pairs = pairs
        self.spinner = spinner
        self.waiting: str | None = None
        self.error: OSError | None = None
        self.lost: list[tuple[Sink, OSError]] = []
        self._last_round = threading.Event()

    def run(self) -> None:
        try:
            while True:
                last = self._last_round.is_set()  # read before the files are copied to their end
                self._copy()
                if last:
                    break
                if self.spinner is not None and self.waiting is not None:
                    self.spinner.draw(self.waiting)
                self._last_round.wait(_INTERVAL_S)
            if self.spinner is not None:
                self.spinner.clear()
            for _, sink in self.pairs:
                if not self._is_lost(sink):
                    self._guarded(sink, sink.close)
        except OSError as error:
            self.error = error

    def _copy(self) -> None:
        for tail, sink in self.pairs:
            while not self._is_lost(sink) and (data := tail.read()):
                if self.spinner is not None:
                    self.spinner.clear()
                    self.spinner.active = False  # the job has started, whatever state the manager shows
                self._guarded(sink, partial(sink.write, data))

    def _guarded(self, sink: Sink, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if error.errno == EPIPE:
                raise
            self.lost.append((sink, error))

    def _is_lost(self, sink: Sink) -> bool:
        return any(sink.name == lost_sink.name for lost_sink, _ in self.lost)

    def finish(self) -> None:
        """Copy the rest and end; to be called when nothing more is written to the files."""
        self._last_round.set()
        while self.is_alive():
            self.join(0.1)  # with a timeout, so that signals are handled meanwhile


def streams() -> tuple[Sink, Sink]:
    """Our own stdout and stderr."""
    return Sink(sys.stdout), Sink(sys.stderr)
