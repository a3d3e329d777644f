"""What tasks print: into a file of each, by a pattern, or collected, one whole task after the other."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import LaunchError
from .source import Item

Write = Callable[[bytes], object]
SPOOL = ".psij-farm-"
_BLOCK = 1 << 16
_WORD = re.compile(r"\{\{|\}\}|\{index(?::([0-9]{1,2}))?\}")


def filled(pattern: str, index: int) -> str:
    """The name of the file of a task: {index}, or {index:4} with leading zeros, and doubled braces for braces."""
    return _WORD.sub(lambda match: match[0][0] if match[0] in ("{{", "}}") else f"{index:0{match[1] or 0}d}", pattern)


def others(pattern: str) -> str:
    """Something in a pattern that a task's file cannot be named by; '' if there is none."""
    match = re.search(r"\{[a-z]+(?::[0-9]+)?\}", _WORD.sub("", pattern))
    return match[0] if match else ""


class Stream:
    """One of the two streams of all tasks.

    `pattern` is the name of a file of each task ('' for none). What is collected goes to `write`, for which its lines
    begin with [index] if `label` is given.
    """

    def __init__(self, pattern: str, write: Write, *, label: bool = False) -> None:
        self.pattern, self.label = pattern, label
        self._write = write
        self._folder = ""

    def path(self, item: Item) -> str:
        """The file of that task; its folder is made. Raises `LaunchError` where that is impossible."""
        path = filled(self.pattern, item.index)
        folder = os.path.dirname(path)
        if folder != self._folder:
            try:
                os.makedirs(folder, exist_ok=True)
            except OSError as error:
                raise LaunchError(
                    f"the folder {folder} for output cannot be made: {error.strerror}", hint="choose another -o"
                ) from error
            self._folder = folder
        return path

    def show(self, path: str, index: int) -> None:
        """Hand on what a task has printed: whole lines."""
        with suppress(FileNotFoundError), open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size:
                self._hand_on(file, f"[{index}] ".encode() if self.label else b"")

    def _hand_on(self, file: BinaryIO, label: bytes) -> None:
        last = b"\n"
        while block := file.read(_BLOCK):
            begins, last = last == b"\n", block[-1:]
            if label:
                body, newline = (block[:-1], b"\n") if last == b"\n" else (block, b"")
                block = (label if begins else b"") + body.replace(b"\n", b"\n" + label) + newline
            self._write(block)
        if last != b"\n":
            self._write(b"\n")


class Output:
    """The files of tasks: their own, or spool files, as many as tasks run at once.

    `folder` is where the spool is made: tasks on other nodes must be able to write there. As a context manager it
    removes the spool, and closes what is `closed` with it.
    """

    def __init__(
        self, stdout: Stream, stderr: Stream | None, folder: Path | None = None, *, closed: ExitStack | None = None
    ) -> None:
        self._closed = closed or ExitStack()
        self.stdout, self.stderr = stdout, stderr
        self.spool = ""
        self._spare: list[int] = []
        self._number = 0
        if not stdout.pattern or (stderr is not None and not stderr.pattern):
            try:
                self.spool = tempfile.mkdtemp(prefix=SPOOL, dir=folder)
            except OSError as error:
                raise LaunchError(
                    f"there is no room for the output of tasks in {folder or tempfile.gettempdir()}: {error.strerror}",
                    hint="make some, or give each task a file of its own: -o 'out.{index}'",
                ) from error
        self._held: dict[int, int] = {}

    def paths(self, item: Item) -> tuple[str, str]:
        """Where a task that is about to be started writes its stdout and its stderr."""
        if self.spool:
            if not self._spare:
                self._spare.append(self._number)
                self._number += 1
            self._held[item.number] = self._spare.pop()
        return self._path(self.stdout, item, "out"), "" if self.stderr is None else self._path(
            self.stderr, item, "err"
        )

    def _path(self, stream: Stream, item: Item, suffix: str) -> str:
        if stream.pattern:
            return stream.path(item)
        return os.path.join(self.spool, f"{self._held[item.number]}.{suffix}")

    def show(self, item: Item) -> None:
        """A task has ended: hand on what is collected of it."""
        number = self._held.pop(item.number, None)
        if number is None:
            return
        for stream, suffix in ((self.stdout, "out"), (self.stderr, "err")):
            if stream is not None and not stream.pattern:
                stream.show(os.path.join(self.spool, f"{number}.{suffix}"), item.index)
        self._spare.append(number)

    def where(self, item: Item) -> str:
        """The file in which one looks for what a task said last; '' where that was collected."""
        stream = self.stderr or self.stdout
        return filled(stream.pattern, item.index) if stream.pattern else ""

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *error: object) -> None:
        if self.spool:
            shutil.rmtree(self.spool, ignore_errors=True)
        self._closed.close()
