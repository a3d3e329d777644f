"""What the live view shows, without a terminal: the rows, the chosen one, the filter, the order, and what keys do."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ...errors import nearest
from ...jobs.record import JobRecord
from ...states import JobState
from ..job_choice import SORT_KEYS
from ..job_row import JobKey, JobRow
from ..ordering import Order, Ranks
from ..output import plain

_FIELDS: Mapping[str, Callable[[JobRow], str]] = {  # what a word of the filter may be bound to: `state:failed`
    "id": lambda row: f"{row.id} {row.native}",
    "name": lambda row: row.entry.name,
    "state": lambda row: f"{row.status.state.name} {row.status.reason.name if row.status.reason else ''}",
    "site": lambda row: f"{row.entry.site} {row.entry.platform}",
    "why": lambda row: row.why,
}
_ORDERS = ("", *(key for key in SORT_KEYS if key != "submitted"))


class Cancel(NamedTuple):
    """A request to cancel that job, or element."""

    row: JobRow


class Quit(NamedTuple):
    """A request to leave."""


class Unfold(NamedTuple):
    """A request for the elements of that array, or to let them go again."""

    entry: JobRecord
    shown: bool


Request = Cancel | Quit | Unfold


@dataclass
class Board:
    """The state of the live view. `mode` is '' for the table, 'filter' while a filter is typed, 'cancel' while it is
    asked whether to cancel, 'help' while the keys are told.
    """

    rows: Sequence[JobRow] = ()
    wanted: Callable[[JobRow], bool] = bool  # whether a row is to be shown, whatever the filter is
    mode: str = ""
    text: str = ""  # the filter
    order: Order = ()  # at first
    sort: str = ""  # of SORT_KEYS, '' for the first order
    reverse: bool = False
    chosen: JobKey | None = None
    pane: bool = False  # whether the output of the chosen job is shown
    stderr: bool = False  # whether that is its stderr
    message: str = ""
    trouble: str = ""  # what keeps the states from being new
    page: int = 10  # rows that the screen has room for
    top: int = 0  # the first row on the screen
    shown: Sequence[JobRow] = field(default=(), init=False)
    unfolded: set[str] = field(default_factory=set, init=False)  # ids of arrays whose elements are shown below them
    first: frozenset[JobKey] | None = field(default=None, init=False)  # the rows that were there at first
    asked_about: JobRow | None = field(default=None, init=False)  # whether it is to be cancelled
    wrong: str = field(default="", init=False)  # what is not understood in the filter

    def take(self, rows: Sequence[JobRow]) -> None:
        """New states of the jobs."""
        self.rows = rows
        if self.first is None:
            self.first = frozenset(row.place for row in rows)
        self._choose_rows()

    def jobs(self, rows: Sequence[JobRow]) -> list[JobRow]:
        """Those of the rows that are no elements of an array that is a row, too."""
        arrays = {row.entry.id for row in self.rows if row.key == "*"}
        first = self.first or frozenset()
        return [row for row in rows if not (is_element(row) and row.entry.id in arrays and row.place not in first)]

    @property
    def row(self) -> JobRow | None:
        """The chosen row."""
        return next((row for row in self.shown if row.place == self.chosen), None)

    def resize(self, page: int) -> None:
        """The screen has room for so many rows: the chosen one is among those that it shows."""
        self.page = max(1, page)
        at = self._at()
        self.top = max(at - self.page + 1, min(self.top, at))
        self.top = max(0, min(self.top, len(self.shown) - self.page))

    def window(self) -> Sequence[JobRow]:
        """The rows that the screen shows."""
        return self.shown[self.top : self.top + self.page]

    # ---- keys ----------------------------------------------------------------------------------------------

    def press(self, key: str) -> Request | None:
        """What a key does; a request is for the caller to fulfil."""
        self.message = ""
        if self.mode == "filter":
            self._type(key)
            return None
        if self.mode == "cancel":
            return self._confirm(key)
        if self.mode == "help":
            self.mode = ""
            return None
        if key in ("q", "Q"):
            return Quit()
        if key == "u":
            return self._unfold()
        if key in _MOVES:
            self._move(_MOVES[key](self))
        elif action := _ACTIONS.get(key):
            action(self)
        return None

    def _type(self, key: str) -> None:
        if key in ("enter", "escape"):
            self.mode = ""
        if key == "backspace":
            self.text = self.text[:-1]
        elif key in ("clear", "escape"):
            self.text = ""
        elif len(key) == 1:
            self.text += key
        self._choose_rows()

    def _confirm(self, key: str) -> Request | None:
        self.mode = ""
        row = self.asked_about
        if key not in ("y", "Y") or row is None:
            self.message = "nothing was cancelled"
            return None
        self.message = f"cancelling {row.id}"
        return Cancel(row)

    def _ask_cancel(self) -> None:
        row = self.row
        if row is None:
            self.message = "there is no job to cancel"
        elif row.status.final:
            self.message = f"job {row.id} has ended already"
        else:
            self.mode, self.asked_about = "cancel", row

    def _unfold(self) -> Request | None:
        """Show the elements of the chosen array, or hide them."""
        row = self.row
        if row is None or not row.entry.array or not any(each.place == (row.entry.id, "*") for each in self.rows):
            self.message = "only an array can be unfolded"
            return None
        shown = row.entry.id not in self.unfolded
        if shown:
            self.unfolded.add(row.entry.id)
            self.message = f"the elements of {row.entry.id}"
        else:
            self.unfolded.discard(row.entry.id)
            self.chosen = (row.entry.id, "*")
        self._choose_rows()
        return Unfold(row.entry, shown)

    def _next_order(self) -> None:
        self.sort = _ORDERS[(_ORDERS.index(self.sort) + 1) % len(_ORDERS)]
        self._choose_rows()

    def _turn_order(self) -> None:
        self.reverse = not self.reverse
        self._choose_rows()

    def _begin_filter(self) -> None:
        self.mode = "filter"

    def _end_filter(self) -> None:
        if self.pane:
            self.pane = False
        else:
            self.text = ""
            self._choose_rows()

    def _show_help(self) -> None:
        self.mode = "help"

    def _turn_pane(self) -> None:
        self.pane = not self.pane

    def _turn_stream(self) -> None:
        self.pane, self.stderr = True, not self.stderr if self.pane else True

    # ---- rows ----------------------------------------------------------------------------------------------

    def _at(self) -> int:
        return next((at for at, row in enumerate(self.shown) if row.place == self.chosen), 0)

    def _move(self, step: int) -> None:
        if self.shown:
            self.chosen = self.shown[max(0, min(self._at() + step, len(self.shown) - 1))].place

    def _choose_rows(self) -> None:
        """The rows that match the filter, in their order; the chosen job stays the same if it is among them."""
        at = self._at()
        words, self.wrong = _words(self.text)
        jobs = {row.place for row in self.jobs(self.rows)}
        rows = [row for row in self.rows if row.place in jobs or row.entry.id in self.unfolded]
        rows = list(filter(self.wanted, rows))
        if words:
            rows = [row for row in rows if all(word in field(row).lower() for field, word in words)]
        if order := [(SORT_KEYS[self.sort], False)] if self.sort else self.order:
            order = [(key, reverse is not self.reverse) for key, reverse in order]
            rows = _in_order(rows, order)
        elif self.reverse:
            rows.reverse()
        if self.unfolded:
            rows = _below_their_arrays(rows, jobs)
        self.shown = rows
        if rows and self.row is None:
            self.chosen = rows[min(at, len(rows) - 1)].place
        self.resize(self.page)


def _in_order(rows: Iterable[JobRow], order: Order) -> list[JobRow]:
    rows, ranks, now = list(rows), Ranks(order), time.time()
    for row in rows:
        ranks.add(row.shown(now))
    return [rows[at] for at in ranks.places()]


def is_element(row: JobRow) -> bool:
    """Whether that row is of one element of an array."""
    return row.key not in ("", "*")


def _below_their_arrays(rows: Sequence[JobRow], jobs: Collection[JobKey]) -> list[JobRow]:
    """The rows, those that are no jobs of their own moved to below their array, if that is among them."""
    elements: dict[str, list[JobRow]] = {row.entry.id: [] for row in rows if row.key == "*"}
    others: list[JobRow] = []
    for row in rows:
        below = None if row.place in jobs else elements.get(row.entry.id)
        (others if below is None else below).append(row)
    return [each for row in others for each in (row, *(elements[row.entry.id] if row.key == "*" else ()))]


_MOVES: Mapping[str, Callable[[Board], int]] = {
    "up": lambda _: -1,
    "k": lambda _: -1,
    "down": lambda _: 1,
    "j": lambda _: 1,
    "page up": lambda board: -board.page,
    "page down": lambda board: board.page,
    " ": lambda board: board.page,
    "home": lambda board: -len(board.shown),
    "g": lambda board: -len(board.shown),
    "end": lambda board: len(board.shown),
    "G": lambda board: len(board.shown),
}
_ACTIONS: Mapping[str, Callable[[Board], None]] = {
    "/": Board._begin_filter,
    "escape": Board._end_filter,
    "s": Board._next_order,
    "r": Board._turn_order,
    "t": Board._turn_pane,
    "enter": Board._turn_pane,
    "e": Board._turn_stream,
    "c": Board._ask_cancel,
    "?": Board._show_help,
    "h": Board._show_help,
}


def _words(text: str) -> tuple[list[tuple[Callable[[JobRow], str], str]], str]:
    """The words of a filter, in small letters, each with the text of a row that it must be in; and what is wrong."""
    found, wrong = [], ""
    for word in text.lower().split():
        name, colon, rest = word.partition(":")
        if colon and name in _FIELDS:
            found.append((_FIELDS[name], rest))
            continue
        if colon and name.isalpha():
            wrong = f"there is no field {name}: {nearest(name, _FIELDS)}"
        found.append((_any_field, word))
    return found, wrong


def _any_field(row: JobRow) -> str:
    return " ".join(text(row) for text in _FIELDS.values())


def counts(rows: Sequence[JobRow]) -> str:
    """How many jobs are in each state: `3 ACTIVE, 12 QUEUED`."""
    found: dict[JobState, int] = {}
    for row in rows:
        found[row.status.state] = found.get(row.status.state, 0) + 1
    return ", ".join(f"{number} {state.name}" for state, number in sorted(found.items()))


def name_of(row: JobRow) -> str:
    """A job in a question: its id, and its name if it has one."""
    name = f" ({plain(row.entry.name)})" if row.entry.name else ""
    elements = f", all {len(row.entry.array)} elements" if row.key == "*" else ""
    return f"{row.id}{name}{elements}"
