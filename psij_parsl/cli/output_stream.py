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

from .output import length, plain
from .stdio import lost

_CHUNK = 1 << 20
_TICK_S = 0.05
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_FRAMES = "|/-\\"


class Tail:
    """What a file holds beyond what was read of it. Knows it from a file that stood there before the job.

    A file that was cut (the job began anew) is read from its start.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._before = self._mark()

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            stat = os.stat(self.path)
        except OSError:
            return None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def read(self) -> bytes:
        """The next bytes, at most a megabyte; b'' if there are none now."""
        if self._before is not None:
            if self._mark() == self._before:
                return b""  # an old file of that name, which the job has not opened yet
            self._before = None
        try:
            with open(self.path, "rb", buffering=0, opener=at_once) as file:  # opened anew: NFS then looks again
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
        """Take what is there for the job's own; begin with the last so many lines of it."""
        self._before = None
        if last_lines is not None:
            self._offset = start_of_last(self.path, last_lines)


def at_once(path: str, flags: int) -> int:
    """Opens a file, as `open` wants it, without waiting for whoever may write to a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def start_of_last(path: Path, lines: int) -> int:
    """The offset at which the last so many lines of a file begin. Reads from its end."""
    if not path.is_file():
        return 0
    with open(path, "rb") as file:
        at = size = file.seek(0, os.SEEK_END)
        if lines <= 0:
            return size
        left = lines + 1
        while at > 0:
            step = min(65536, at)
            at -= step
            file.seek(at)
            block = file.read(step)
            if at + step == size and block.endswith(b"\n"):
                block = block[:-1]
            found = block.count(b"\n")
            if found < left - 1:
                left -= found
                continue
            place = len(block)
            for _ in range(left - 1):
                place = block.rfind(b"\n", 0, place)
            return at + place + 1
    return 0


class Sink:
    """Where bytes go: as they are, or as whole lines with a label before each."""

    def __init__(self, stream: TextIO, label: str = "") -> None:
        self._file: BinaryIO = stream.buffer
        self._stream = stream
        self._label = label.encode()
        self._rest = b""

    @property
    def name(self) -> str:
        """What people call the stream."""
        return "stderr" if self._stream is sys.stderr else "stdout"

    def write(self, data: bytes) -> None:
        """Write all of it, at once. Raises `OSError` where the stream does not take it, or something before it."""
        if self._label:
            *lines, self._rest = (self._rest + data).split(b"\n")
            data = b"".join(self._label + line + b"\n" for line in lines)
        self._put(data)

    def close(self) -> None:
        """Write a last line that had no end."""
        if self._rest:
            self._put(self._label + self._rest + b"\n")
            self._rest = b""

    def _put(self, data: bytes) -> None:
        self._stream.flush()
        self._file.write(data)
        self._file.flush()
        if error := lost(self._stream):
            raise error


class Spinner:
    """One line on a terminal's stderr that turns while a job waits; nothing elsewhere."""

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream = stream
        self.active = not quiet and stream.isatty() and os.environ.get("TERM") != "dumb"
        unicode = "utf" in (getattr(stream, "encoding", "") or "").lower()
        self._frames = _FRAMES if unicode else _PLAIN_FRAMES
        self._drawn = ""
        self._began = time.monotonic()

    def draw(self, text: str) -> None:
        """Show the text with the next frame, cut to the terminal's width."""
        if not self.active:
            return
        waited = time.monotonic() - self._began
        frame = self._frames[int(waited * 10) % len(self._frames)]
        line = f"{frame} {plain(text)}  {length(waited)}".replace("\n", " ")
        if line == self._drawn:
            return
        self._drawn = line
        try:
            room = os.get_terminal_size(self._stream.fileno()).columns or 80  # 0: nobody has told
        except (OSError, ValueError):
            room = 80
        self._put(f"\r\x1b[K{line[: room - 1]}")

    def clear(self) -> None:
        """Take the line away."""
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
    """Copies files to our own streams while they grow, from a thread, so that a slow manager holds up nothing.

    `waiting` is what the spinner says until there is output; None for no spinner. `error`: who read our output has
    left, and there is nothing more to do. `lost`: streams that take no more for another reason, such as a full disk;
    what else there is goes on.
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
                last = self._last_round.is_set()  # asked before the files are read to their end
                self._copy()
                if last:
                    break
                if self.spinner is not None and self.waiting is not None:
                    self.spinner.draw(self.waiting)
                self._last_round.wait(_TICK_S)
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
                    self.spinner.active = False  # it has begun, whatever the manager has told so far
                self._guarded(sink, partial(sink.write, data))

    def _guarded(self, sink: Sink, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if error.errno == EPIPE:
                raise
            self.lost.append((sink, error))

    def _is_lost(self, sink: Sink) -> bool:
        return any(sink.name == each.name for each, _ in self.lost)

    def finish(self) -> None:
        """Copy what is left and end; to be called once nothing more is written to the files."""
        self._last_round.set()
        while self.is_alive():
            self.join(0.1)  # a short one: a signal is to find us awake


def streams() -> tuple[Sink, Sink]:
    """Our own stdout and stderr."""
    return Sink(sys.stdout), Sink(sys.stderr)
