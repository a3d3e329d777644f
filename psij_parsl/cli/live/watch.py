"""The live view of `status --watch` on a terminal, from its first screen to its end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from signal import SIGINT
from typing import NamedTuple

from ...signals import received_signal, registered, should_exit
from ..job_row import JobKey, JobRow
from ..job_table import JobTable, Selection
from ..log_notes import notes_from_log
from ..ordering import Order
from ..output import Renderer
from .board import Board, Cancel, Quit, Unfold
from .pane import Follower
from .picture import Marks, Picture
from .poller import Poller
from .terminal import Terminal

_TICK_S = 1.0  # times that run are shown anew
_PANE_TICK_S = 0.25


class Watched(NamedTuple):
    """How the view ended: the exit code, the rows as they were last, and whether all jobs have ended."""

    code: int
    rows: Sequence[JobRow]
    over: bool = False


class _Notes:
    """What is logged meanwhile, for the line of messages, and for stderr afterwards."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.texts: dict[str, None] = {}

    def note(self, text: str) -> None:
        self.texts[text] = None
        self._board.message = text


def watch(
    out: Renderer,
    table: JobTable,
    rows: Sequence[JobRow],
    find: Callable[[], Selection],
    wanted: Callable[[JobRow], bool] = bool,
    order: Order = (),
) -> Watched:
    """Show these jobs, and those that `find` gives later, until all have ended or somebody leaves."""
    board = Board(wanted=wanted, order=order)
    board.take(rows)
    notes = _Notes(board)
    keyboard = 0 if os.isatty(0) else None
    terminal = Terminal(out.out, keyboard)
    poller = Poller(table, rows, find, terminal.wake)
    picture = Picture(_limits(table), Marks.of(out.out.encoding), keyboard=keyboard is not None)
    try:
        with (
            registered(on_first=terminal.wake, on_second=terminal.leave_at_once),
            notes_from_log(notes, verbose=False),
            terminal.screen(),
        ):
            poller.start()
            try:
                return _run(board, terminal, poller, picture, Follower(table))
            finally:
                poller.leave()
    finally:
        for text in notes.texts:
            out.note(text)


def _run(board: Board, terminal: Terminal, poller: Poller, picture: Picture, follower: Follower) -> Watched:
    keys: Sequence[str] = ()
    while True:
        if poller.error is not None:
            raise poller.error
        if poller.rows is not board.rows:
            board.take(poller.rows)
        if should_exit():
            return Watched(128 + (received_signal() or SIGINT), board.rows)
        if all(row.status.final for row in board.rows):
            return Watched(0, board.rows, over=True)
        board.trouble = poller.trouble
        if poller.message:
            board.message, poller.message = poller.message, ""
        if keys or not terminal.slow:
            pane = follower.pane(board.row, stderr=board.stderr) if board.pane and board.row is not None else None
            terminal.draw(picture.lines(board, terminal.size(), time.time(), pane))
        keys = terminal.wait(_PANE_TICK_S if board.pane else _TICK_S)
        for key in keys:
            request = board.press(key)
            if isinstance(request, Quit):
                return Watched(0, board.rows)
            if isinstance(request, Cancel):
                poller.cancel(request.row)
            if isinstance(request, Unfold):
                poller.unfold(request.entry, shown=request.shown)


def _limits(table: JobTable) -> Callable[[JobRow], float | None]:
    """A function that tells the wall time of a job in seconds; what was read once is kept."""
    known: dict[JobKey, float | None] = {}

    def limit(row: JobRow) -> float | None:
        if row.place not in known:
            job = table.journal.job(row.entry, "" if row.key == "*" else row.key)
            known[row.place] = job.wall_time_min * 60.0 if job is not None and job.wall_time_min else None
        return known[row.place]

    return limit
