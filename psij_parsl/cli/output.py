"""How answers look: one renderer for people, one for JSON. Commands pass plain data and know neither."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from ..errors import Error
from .wrapping import display_width, in_room, wrapped, yielding

if TYPE_CHECKING:
    from .ordering import Order

Data = Mapping[str, Any]

_COLOURS = {
    "COMPLETED": "32",
    "FAILED": "31",
    "CANCELED": "33",
    "ACTIVE": "36",
    "PASSED": "32",
    "SKIPPED": "33",
    "ok": "32",
    "broken": "31",
    "warning": "33",
}


def plain(value: Any) -> str:
    """A value as people read it; control characters, which could drive the terminal, are shown as such."""
    if type(value) is str and value.isprintable():
        return value
    if value is None or value == "":
        return ""
    if value is True or value is False:
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


class Column(NamedTuple):
    """One column of a table: the key in a row's data, its title, and how people read it.

    `wraps`: on a terminal that is too narrow its texts go on in the next lines, for none of it may be lost.
    `most`: there it is at most so wide. `yields`: there it is left out if the others have no room; the column with the
    greatest number goes first.
    """

    key: str
    title: str
    show: Callable[[Any], str] = plain
    wraps: bool = False
    most: int = 0
    yields: int = 0


class Renderer(ABC):
    """Where a command's answer goes: stdout for what was asked for, stderr for notes and errors."""

    json = False

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.out, self.err = out or sys.stdout, err or sys.stderr
        self._noted: set[str] = set()

    @abstractmethod
    def table(self, columns: Sequence[Column], rows: Iterable[Data], *, order: Order = (), empty: str = "") -> None:
        """A list of things, each read once; `empty` is the note for people when there are none.

        With `order` they are printed in that order. Meanwhile only what is printed of them is kept, for there may be
        many.
        """

    @abstractmethod
    def record(self, data: Data, shown: Sequence[Column]) -> None:
        """One thing: JSON gets all of `data`, people the chosen lines that hold something."""

    @abstractmethod
    def answer(self, text: str, data: Data) -> None:
        """One text for people and shells; the data behind it for JSON."""

    @abstractmethod
    def note(self, text: str) -> None:
        """A note on stderr, printed once."""

    @abstractmethod
    def error(self, error: Error, *, hint: str = "", exit_code: int | None = None) -> None:
        """What went wrong and what to do next, on stderr. `hint` and `exit_code` take the place of the error's own."""

    def _write_stderr(self, text: str) -> None:
        """Write to stderr. If it is closed or full, there is no place to report that."""
        with suppress(OSError):
            self.err.write(text)
            self.err.flush()

    def note_once(self, text: str) -> bool:
        """Whether that note is new."""
        new = text not in self._noted
        self._noted.add(text)
        return new


class TextRenderer(Renderer):
    """Aligned text; colours on a terminal only, and not with NO_COLOR."""

    def table(self, columns: Sequence[Column], rows: Iterable[Data], *, order: Order = (), empty: str = "") -> None:
        cells: list[list[str]] = [[] for _ in columns]
        readers = [(texts.append, column.show, column.key) for column, texts in zip(columns, cells, strict=True)]
        ranks = None
        if order:
            from .ordering import Ranks

            ranks = Ranks(order)
        for row in rows:
            if ranks:
                ranks.add(row)
            for add, show, key in readers:
                text = show(row.get(key))
                add(text.replace("\n", " ") if "\n" in text else text)
        if not cells[0]:
            if empty:
                self.note(empty)
            return
        if ranks:
            places = ranks.places()
            cells = [[texts[at] for at in places] for texts in cells]
        width = self._columns()
        used = [  # an empty column takes no space
            (column, [column.title, *texts])
            for index, (column, texts) in enumerate(zip(columns, cells, strict=True))
            if index == 0 or any(texts)
        ]
        if width:
            left_out = yielding([texts for _, texts in used], [column for column, _ in used], width)
            used = [column for at, column in enumerate(used) if at not in left_out]
        shown = [texts for _, texts in used]
        if width and any(column.wraps for column, _ in used):
            shown = wrapped(shown, [column for column, _ in used], width)
        lines = zip(*map(_padded, shown), strict=True)
        for_terminal = width or self._coloured(self.out)
        for number, line in enumerate(lines):
            text = self._line(line, width, head=not number) if for_terminal else "  ".join(line).rstrip()
            self.out.write(text + "\n")

    def _line(self, cells: Sequence[str], width: int, *, head: bool) -> str:
        """A line for a terminal: in colours, and cut at its right edge."""
        line, used = "", 0
        for cell in cells:
            text = cell.rstrip()
            if width and used + display_width(text) > width:
                return line + text[: max(0, width - used - 1)] + "…"
            line += self.colour(text, "1" if head else _COLOURS.get(text, "")) + cell[len(text) :] + "  "
            used += display_width(cell) + 2
        return line.rstrip()

    def record(self, data: Data, shown: Sequence[Column]) -> None:
        lines = [(column.title, column.show(data.get(column.key))) for column in shown]
        lines = [(title, text) for title, text in lines if text]
        width = max((len(title) for title, _ in lines), default=0)
        room = self._columns() - width - 2
        for title, text in lines:
            first, *rest = [part for line in text.split("\n") for part in in_room(line, room)]
            self.out.write(f"{self.colour(title.ljust(width), '1')}  {first}\n")
            self.out.writelines(f"{'':{width}}  {line}\n" for line in rest)

    def answer(self, text: str, data: Data) -> None:
        self.out.write(text if text.endswith("\n") else f"{text}\n")

    def note(self, text: str) -> None:
        if self.note_once(text):
            self._write_stderr(f"psij-run: {plain(text)}\n")

    def error(self, error: Error, *, hint: str = "", exit_code: int | None = None) -> None:
        self._write_stderr(f"psij-run: {plain(error.message)}\n")
        if hint := hint or error.hint:
            self._write_stderr(f"hint: {plain(hint)}\n")

    def colour(self, text: str, code: str) -> str:
        """The text in that colour, where the output has colours."""
        return f"\x1b[{code}m{text}\x1b[0m" if code and self._coloured(self.out) else text

    def _coloured(self, stream: TextIO) -> bool:
        return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self.out.fileno()).columns if self.out.isatty() else 0
        except (OSError, ValueError):
            return 0


class JsonRenderer(Renderer):
    """One JSON value per answer on stdout; each note and error is one object on a line of stderr."""

    json = True

    def table(self, columns: Sequence[Column], rows: Iterable[Data], *, order: Order = (), empty: str = "") -> None:
        import json

        texts: Iterable[str] = (json.dumps(row, default=str) for row in rows)
        if order:
            from .ordering import texts_in_order

            texts = texts_in_order(rows, order)
        before = "["
        for text in texts:
            self.out.write(before + text)
            before = ", "
        self.out.write("]\n" if before == ", " else "[]\n")

    def record(self, data: Data, shown: Sequence[Column]) -> None:
        self.out.write(_json(data))

    def answer(self, text: str, data: Data) -> None:
        self.out.write(_json(data))

    def note(self, text: str) -> None:
        if self.note_once(text):
            self._write_stderr(_json({"note": text}))

    def error(self, error: Error, *, hint: str = "", exit_code: int | None = None) -> None:
        code = error.exit_status if exit_code is None else exit_code
        self._write_stderr(_json({"error": error.message, "hint": hint or error.hint, "code": code}))


def _json(data: Any) -> str:
    import json

    return json.dumps(data, default=str) + "\n"


def _padded(cells: Sequence[str]) -> Iterator[str]:
    """The cells of a column, all as wide as the widest."""
    if all(map(str.isascii, cells)):
        width = max(map(len, cells))
        return (cell.ljust(width) for cell in cells)
    widths = list(map(display_width, cells))
    widest = max(widths)
    return (cell + " " * (widest - width) for cell, width in zip(cells, widths, strict=True))


def length(seconds: float | None) -> str:
    """A length of time for people: 45s, 12m, 3h05m, 2d04h."""
    if seconds is None:
        return ""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes}m{whole % 60:02}s" if minutes < 10 else f"{minutes}m"
    if minutes < 1440:
        return f"{minutes // 60}h{minutes % 60:02}m"
    return f"{minutes // 1440}d{minutes % 1440 // 60:02}h"


def moment(seconds: float | None) -> str:
    """A point in time for people, in local time."""
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""


def short_moment(seconds: float | None) -> str:
    """A point in time for a table: without the year if it is this one, without the time of day if it is another."""
    import time

    if not seconds:
        return ""
    then, now = time.localtime(seconds), time.localtime()
    year, month, day, hour, minute, *_ = then
    return f"{month:02}-{day:02} {hour:02}:{minute:02}" if year == now.tm_year else f"{year}-{month:02}-{day:02}"
