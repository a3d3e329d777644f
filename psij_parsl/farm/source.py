"""What a farm's tasks are: the lines of a file or of a stream, or the indices of an array. Read as they are needed."""

from __future__ import annotations

import errno
import os
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import InvalidRequest

STDIN = "-"
_INDEX = re.compile(r"\{index(?::([0-9]{1,2}))?\}")
_LINE = "{}"
_BLOCK = 1 << 16
_MOST = 1 << 17  # bytes of a line: the kernel takes no such argument


@dataclass(frozen=True, slots=True)
class Item:
    """One task to be. `number` counts from 0 among them all; `index` is what people call it: the number of its line."""

    number: int
    index: int
    argv: tuple[str, ...]

    @property
    def sum(self) -> int:
        """What tells it from another one that stands in its place later."""
        return zlib.crc32(b"\0".join(map(os.fsencode, self.argv)))


class Lines:
    """A task for each line of a file; `-` is stdin. Blank lines are none, and blanks within others stay.

    Without a command each line is shell code, and one that begins with # is a comment. With one, the line stands where
    the command has {}, or after it. Raises `InvalidRequest` for a file that cannot be read.
    """

    def __init__(self, path: str, command: Sequence[str] = ()) -> None:
        self.path, self.command = path, tuple(command)
        self._places = any(_LINE in word for word in command)
        try:
            self._handle = os.dup(0) if path == STDIN else os.open(os.path.expanduser(path), os.O_RDONLY)
            kind = os.fstat(self._handle).st_mode
            if stat.S_ISDIR(kind):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        except OSError as error:
            raise InvalidRequest(
                f"cannot read {path}: {error.strerror}", hint="--each-line takes a file, or - for stdin"
            ) from error
        self.again = stat.S_ISREG(kind)
        self._start = os.lseek(self._handle, 0, os.SEEK_CUR) if self.again else 0

    @property
    def name(self) -> str:
        """What it is called."""
        return "stdin" if self.path == STDIN else self.path

    def __iter__(self) -> Iterator[Item]:
        """The tasks; from the start each time where the input is a file (`again`)."""
        for number, (index, text) in enumerate(self._texts()):
            yield Item(number, index, self._argv(index, os.fsdecode(text)))

    def total(self) -> int | None:
        """How many there are; None where that is not known beforehand. Each is looked at: see `__iter__`."""
        return sum(1 for _ in self._texts()) if self.again else None

    def _texts(self) -> Iterator[tuple[int, bytes]]:
        """The lines that are tasks, without their ends. Raises `InvalidRequest` for what no command can have."""
        comments = not self.command
        for index, line in enumerate(self._lines(), 1):
            text = line.strip()
            long = len(line) >= _MOST
            if not long and (not text or (comments and text.startswith(b"#"))):
                continue
            if long or b"\0" in text:
                raise InvalidRequest(
                    f"line {index} of {self.name} is no text that a command could have", hint="is it the right file?"
                )
            yield index, line.removesuffix(b"\r")

    def _lines(self) -> Iterator[bytes]:
        """Read by ourselves: a thread that waits in a file object's read would keep the program from ending."""
        if self.again:
            os.lseek(self._handle, self._start, os.SEEK_SET)
        rest = b""
        while block := os.read(self._handle, _BLOCK):
            first, *others = block.split(b"\n")
            rest += first
            for part in others:
                yield rest
                rest = part
            if len(rest) >= _MOST:
                break
        if rest:
            yield rest

    def _argv(self, index: int, line: str) -> tuple[str, ...]:
        if not self.command:
            return ("/bin/sh", "-c", line)
        words = [numbered(word, index) for word in self.command]
        if not self._places:
            return (*words, line)
        return tuple(line.join(word.split(_LINE)) for word in words)


class Indices:
    """A task for each index of an array: {index} in the command, and $PSIJ_ARRAY_INDEX."""

    again = True

    def __init__(self, indices: Sequence[int], command: Sequence[str]) -> None:
        self.indices, self.command = indices, tuple(command)

    @property
    def name(self) -> str:
        """What it is called."""
        return os.path.basename(self.command[0])

    def __iter__(self) -> Iterator[Item]:
        """The tasks."""
        for number, index in enumerate(self.indices):
            yield Item(number, index, tuple(numbered(word, index) for word in self.command))

    def total(self) -> int:
        """How many there are."""
        return len(self.indices)


Source = Lines | Indices


def numbered(text: str, index: int) -> str:
    """The text with the index in place of {index}, or of {index:4} with leading zeros."""
    return _INDEX.sub(lambda match: f"{index:0{match[1] or 0}d}", text) if "{index" in text else text
