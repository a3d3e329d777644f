"""The last lines of a job's output, as they come."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections import deque
from collections.abc import Callable
from pathlib import Path

from ...errors import Error
from ..job_output import has_started, output_file
from ..job_row import JobKey, JobRow
from ..job_table import JobTable
from ..output import plain
from ..output_stream import Tail
from .picture import Pane

_LINES = 200  # that are kept
_LONGEST = 1000  # characters of a line that are kept
_FAR = 1_000_000  # bytes that are not read if there are more behind them
_CONTROL = re.compile(r"\x1b(?:\[[0-9;?]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)")


class Follower:
    """Follows the output of the job that is chosen."""

    def __init__(self, table: JobTable) -> None:
        self._table = table
        self._of: tuple[JobKey, bool, bool] | None = None
        self._file: _Lines | None = None
        self._title = ""

    def pane(self, row: JobRow, *, stderr: bool) -> Pane:
        """The output of that job up to now."""
        started = has_started(row)
        if self._of != (row.place, stderr, started):
            self._of = (row.place, stderr, started)
            self._file, self._title = None, f"{'stderr' if stderr else 'output'} of {row.id}"
            if row.key == "*":
                return self._none("an array has none as a whole; u shows its elements")
            try:
                path = output_file(self._table, row, stderr=stderr, manager=False)
            except Error as error:
                return self._none(error.message)
            self._title += f": {path}"
            self._file = _Lines(path, begun=started)
        if self._file is None:
            return Pane(self._title, ())
        lines = self._file.read()
        return Pane(self._title, lines or ([] if started else ["it has not started"]))

    def _none(self, why: str) -> Pane:
        self._title += f": {why}"
        return Pane(self._title, ())


class _Lines:
    """The last lines of a file that grows, as a terminal without colours would show them."""

    def __init__(self, path: Path, *, begun: bool) -> None:
        self._tail = Tail(path)
        if begun:
            self._tail.begin(_LINES)
        self._decode: Callable[[bytes], str] = getincrementaldecoder("utf-8")("replace").decode
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._last = ""  # without an end yet

    def read(self) -> list[str]:
        data = self._tail.read()
        if len(data) > _FAR:  # it is written faster than we look
            self._lines.clear()
            self._last = ""
            self._tail.begin(_LINES)
            data = self._tail.read()
        if data:
            *lines, self._last = (self._last + self._decode(data)).split("\n")
            self._lines.extend(map(_shown, lines[-_LINES:]))
            self._last = self._last[-_LONGEST:]
        return [*self._lines, *([_shown(self._last)] if self._last else [])]


def _shown(line: str) -> str:
    """What is to be seen of a line at last, where a bar of progress has been written over."""
    parts = [part for part in line.split("\r") if part]
    return plain(_CONTROL.sub("", parts[-1][:_LONGEST]).expandtabs()) if parts else ""
