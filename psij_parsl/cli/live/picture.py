"""The lines of the live view, for a screen of some size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.text import Text

from ..job_row import JobRow
from ..output import Column, length, plain
from ..wrapping import display_width, yielding
from .board import Board, counts, name_of

_STYLES = {"COMPLETED": "green", "FAILED": "red", "CANCELED": "yellow", "ACTIVE": "cyan"}
_CHOSEN = "reverse"
_DETAILS = 4  # lines at least that tell more of the chosen job, where the screen has room
_GAP = "  "
_KEYS = (
    ("q", "quit"),
    ("?", "keys"),
    ("/", "filter"),
    ("t", "output"),
    ("c", "cancel"),
    ("s", "sort"),
    ("r", "reverse"),
    ("e", "stderr"),
)
_FIRST_KEYS = 4  # before which none is put
_HELP = """\
Any key goes back to the jobs.

Up Down PgUp PgDn Home End, or j k Space g G: choose a job
/: show only rows that contain all words: `train failed`, `state:active name:x`; Esc shows all again
s: sort by the next of started, ended, wait, run, id, name, state, site; r: the other way round
t or Enter: the output of the chosen job as it grows; e: its stderr; Esc closes it
u: the elements of the chosen array below it, each a row that can be chosen; u again hides them
c: cancel the chosen job (you are asked)
q: quit with exit code 0, as when all jobs have ended; Ctrl-C: quit with 130; Ctrl-Z: suspend
AGE: how long ago the resource manager was asked. It is asked no more often for this view."""


class Pane(NamedTuple):
    """The output of the chosen job: where it is, and its last lines."""

    title: str
    lines: Sequence[str]


class Size(NamedTuple):
    """Of a screen, in characters."""

    columns: int
    lines: int


class Marks(NamedTuple):
    """Signs that not every terminal has."""

    cut: str = "…"
    rule: str = "─"

    @classmethod
    def of(cls, encoding: str | None) -> Marks:
        return cls() if "utf" in (encoding or "").lower() else cls("~", "-")


class Picture:
    """Draws boards. `limit` tells the wall time of a job in seconds, None where it is not known."""

    def __init__(
        self, limit: Callable[[JobRow], float | None], marks: Marks | None = None, *, keyboard: bool = True
    ) -> None:
        self._limit, self._marks, self._keyboard = limit, marks or Marks(), keyboard

    def lines(self, board: Board, size: Size, now: float, pane: Pane | None = None) -> list[Text]:
        """As many lines as the screen has, none longer than it is wide."""
        width, height = size
        if board.mode == "help":
            texts = [line for text in _HELP.split("\n") for line in _wrap(text, width)]
            return self._fitted([Text(text) for text in texts], size)
        details = self._details(board.row, now, width, max(1, height // 3 if height > 12 else height // 6))
        below = [*details, self._message(board)]
        if pane is not None and board.row is not None:
            room = max(2, (height - len(below) - 2) // 2)
            below = [*details, *self._pane(pane, width, room), self._message(board)]
        if height >= 6:
            below.append(self._keys(width, board))
        board.resize(height - 2 - len(below))
        table = self._table(board, now, width)
        table += [Text()] * (height - 1 - len(table) - len(below))
        return self._fitted([self._title(board, now), *table, *below], size)

    def _fitted(self, lines: list[Text], size: Size) -> list[Text]:
        lines = (lines + [Text()] * size.lines)[: size.lines]
        for line in lines:
            if line.cell_len > size.columns:
                line.truncate(size.columns - 1)
                line.append(self._marks.cut)
        return lines

    # ---- the table -----------------------------------------------------------------------------------------

    def _title(self, board: Board, now: float) -> Text:
        shown, jobs = board.jobs(board.shown), board.jobs(board.rows)
        of = f" of {len(jobs)}" if len(shown) != len(jobs) else ""
        parts = [f"{len(shown)}{of} {'job' if len(jobs) == 1 else 'jobs'}: {counts(shown)}"]
        if board.text:
            parts.append(f"filter: {board.text}")
        if board.sort or board.reverse:
            parts.append(f"sorted by {'-' * board.reverse}{board.sort or 'submitted'}")
        if len(board.shown) > board.page:
            last = min(board.top + board.page, len(board.shown))
            parts.append(f"rows {board.top + 1} to {last}")
        return Text(_GAP.join(parts).rstrip(": "), "bold")

    def _table(self, board: Board, now: float, width: int) -> list[Text]:
        window = board.window()
        rows = [self._cells(row, now) for row in window]
        columns = _columns(board, rows, width)
        head = self._line([(column.title, "") for column, _ in columns], columns, " ", width)
        head.stylize("bold")
        lines = [head]
        for row, cells in zip(window, rows, strict=True):
            texts = [(cells[column.key], _STYLES.get(cells[column.key], "")) for column, _ in columns]
            line = self._line(texts, columns, ">" if row.place == board.chosen else " ", width)
            if row.place == board.chosen:
                line.stylize(_CHOSEN)
            lines.append(line)
        return lines

    def _line(
        self, cells: Sequence[tuple[str, str]], columns: Sequence[tuple[Column, int]], mark: str, width: int
    ) -> Text:
        line = Text(f"{mark} ")
        for (text, style), (_, wide) in zip(cells, columns, strict=True):
            cell = Text(text, style)
            if cell.cell_len > wide:
                cell.truncate(max(0, wide - 1))
                cell.append(self._marks.cut)
            cell.pad_right(wide - cell.cell_len + len(_GAP))
            line.append_text(cell)
        line.truncate(width, pad=True)
        return line

    def _cells(self, row: JobRow, now: float) -> Mapping[str, str]:
        data = row.data(now)
        return {
            "id": row.id,
            "name": _one_line(row.entry.name),
            "state": row.status.state.name,
            "run": self._run(row, data["run_s"]),
            "age": age(row, now),
            "where": str(data["where"]),
            "why": _one_line(data["why"]),
        }

    def _run(self, row: JobRow, run_s: float | None) -> str:
        """How long it has run, of how long it may."""
        limit = self._limit(row) if not row.status.final else None
        if limit is None:
            return length(run_s)
        return f"{length(run_s) or '-'}/{length(limit)}"

    # ---- below the table -----------------------------------------------------------------------------------

    def _details(self, row: JobRow | None, now: float, width: int, most: int) -> list[Text]:
        """More of the chosen job, above all the whole reason for its state."""
        lines = [Text(self._marks.rule * width, "dim")]
        if row is None:
            told = ["no job matches; Esc takes the filter away"]
            return [*lines, *map(Text, told), *[Text()] * (most - 1)]
        data = row.data(now)
        name = " ".join(filter(None, (row.id, _one_line(row.entry.name), row.status.state.name)))
        facts = [f"on {data['where']}"]
        if data["native_id"] and data["native_id"] != row.id:
            facts.append(f"as {data['native_id']}")
        run = self._run(row, data["run_s"])
        facts += [f"ran {run}"] * bool(run and run[0] != "-")
        facts += [f"waited {length(data['queue_s'])}"] * (data["queue_s"] is not None)
        facts += [f"asked {age(row, now)}"] * bool(age(row, now))
        facts += [f"nodes {data['nodes']}"] * bool(data["nodes"])
        why = _one_line(data["why"])
        texts = [f"{name}: {why}" if why else name, data["hint"] if data["reason"] else "", ", ".join(facts)]
        told = [line for text in texts if text for line in _wrap(text, width)]
        if len(told) > most:
            told[most - 1 :] = [told[most - 1][: width - 1] + self._marks.cut]
        return [*lines, *map(Text, told), *[Text()] * (min(most, _DETAILS) - len(told))]

    def _pane(self, pane: Pane, width: int, room: int) -> list[Text]:
        title = f"{self._marks.rule * 2} {pane.title} "
        lines = [Text(title + self._marks.rule * max(0, width - display_width(title)), "dim")]
        texts = pane.lines[-room:]
        return [*lines, *map(Text, texts), *[Text()] * (room - len(texts))]

    def _message(self, board: Board) -> Text:
        if board.mode == "filter":
            return Text(f"filter: {board.text}_  {board.wrong}".rstrip(), "bold")
        if board.mode == "cancel" and board.asked_about is not None:
            return Text(f"cancel {name_of(board.asked_about)}? y/n", "bold")
        return Text(plain(board.message or board.trouble).replace("\n", " "), "bold")

    def _keys(self, width: int, board: Board) -> Text:
        if not self._keyboard:
            return Text("stdin is no terminal: Ctrl-C quits", "dim")
        line = Text()
        row = board.row
        unfold = [("u", "fold" if row.entry.id in board.unfolded else "unfold")] if row and row.entry.array else []
        for key, what in (*_KEYS[:_FIRST_KEYS], *unfold, *_KEYS[_FIRST_KEYS:]):
            if line.cell_len + len(key) + len(what) + 1 > width:
                break
            line.append(key, "bold").append(f" {what}", "dim").append(_GAP)
        line.rstrip()
        return line


_COLUMNS = (
    Column("id", "ID"),
    Column("name", "NAME", wraps=True, most=12, yields=1),
    Column("state", "STATE"),
    Column("run", "RUN/LIMIT", yields=3),
    Column("age", "AGE", yields=4),
    Column("where", "WHERE", yields=6),
    Column("why", "REASON", wraps=True, most=16, yields=5),
)
_AGE = next(at for at, column in enumerate(_COLUMNS) if column.key == "age")
_NAME_MOST = 24


def _columns(board: Board, rows: Sequence[Mapping[str, str]], width: int) -> list[tuple[Column, int]]:
    """The columns that the screen has room for, each with its width."""
    texts: list[Sequence[str]] = []
    for column in _COLUMNS:
        texts.append([column.title, *(row[column.key] for row in rows)])
    widths = [max(map(display_width, column)) for column in texts]
    widths[_AGE] = max(widths[_AGE], len("10s ago"))
    left_out = yielding(texts, _COLUMNS, width - 2)
    kept = [
        (column, wide) for at, (column, wide) in enumerate(zip(_COLUMNS, widths, strict=True)) if at not in left_out
    ]
    left = width - 2 - len(_GAP) * (len(kept) - 1) - sum(wide for column, wide in kept if not column.wraps)
    sized = []
    for column, wide in kept:
        if column.key == "name":
            wide = min(wide, _NAME_MOST, max(column.most, left - 24))
            left -= wide
        sized.append((column, max(1, left) if column.key == "why" else wide))
    return sized


def age(row: JobRow, now: float) -> str:
    """How old the manager's word is, in steps, so that not every line changes every second."""
    if row.as_of is None:
        return ""
    seconds = max(0, int(now - row.as_of))
    step = 1 if seconds < 10 else 5 if seconds < 60 else 60
    return f"{length(seconds - seconds % step)} ago"


def _one_line(text: Any) -> str:
    return plain(text).replace("\n", " ")


def _wrap(text: str, width: int) -> list[str]:
    from textwrap import wrap

    return wrap(_one_line(text), max(8, width), break_on_hyphens=False) or [""]
