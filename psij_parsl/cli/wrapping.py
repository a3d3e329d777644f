"""Tables on a narrow terminal: texts that explain something go on in the next lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

_GAP = 2  # characters between columns
_ROOM = 24  # characters of a column that wraps, below which other columns are left out
_LEAST = 8  # characters of a column that wraps, however narrow the terminal is


class Kind(Protocol):
    """How a column gives way: see `output.Column`."""

    @property
    def wraps(self) -> bool: ...
    @property
    def most(self) -> int: ...
    @property
    def yields(self) -> int: ...


def wrapped(columns: Sequence[Sequence[str]], kinds: Sequence[Kind], width: int) -> list[list[str]]:
    """The columns of a table with a cell for each line: those of a row that has several are '' where nothing stands."""
    from textwrap import TextWrapper

    limits = _limits([max(map(display_width, texts)) for texts in columns], kinds, width)
    wrappers = [TextWrapper(limit, break_on_hyphens=False) for limit in limits]
    result: list[list[str]] = [[] for _ in columns]
    for row in zip(*columns, strict=True):
        parts = [
            (wrapper.wrap(text) or [""]) if kind.wraps and display_width(text) > wrapper.width else [text]
            for text, kind, wrapper in zip(row, kinds, wrappers, strict=True)
        ]
        height = max(map(len, parts))
        for cells, lines in zip(result, parts, strict=True):
            cells += [*lines, *[""] * (height - len(lines))]
    return result


def _limits(widths: Sequence[int], kinds: Sequence[Kind], width: int) -> list[int]:
    """How wide each column is: those that do not wrap as wide as they are, the others share the rest."""
    limits = list(widths)
    if sum(limits) + _GAP * (len(limits) - 1) <= width:
        return limits
    limits = [min(wide, kind.most or wide) for wide, kind in zip(widths, kinds, strict=True)]
    wrapping = sorted((at for at, kind in enumerate(kinds) if kind.wraps), key=lambda at: limits[at])
    left = width - _GAP * (len(widths) - 1) - sum(widths[at] for at, kind in enumerate(kinds) if not kind.wraps)
    for number, at in enumerate(wrapping):
        limits[at] = min(limits[at], max(_LEAST, left // (len(wrapping) - number)))
        left -= limits[at]
    return limits


def in_room(text: str, room: int) -> list[str]:
    """The lines of a text that has so many characters of each, all of it if that is no terminal.

    A word that is longer stays whole, such as a path: it is to be copied.
    """
    if room <= 0 or display_width(text) <= room:
        return [text]
    from textwrap import wrap

    return wrap(text, max(room, _LEAST), break_on_hyphens=False, break_long_words=False) or [""]


def yielding(columns: Sequence[Sequence[str]], kinds: Sequence[Kind], width: int) -> set[int]:
    """Which columns are left out so that the others have room, by their places."""
    widths = [max(map(display_width, texts)) for texts in columns]
    needed = [min(wide, kind.most or _ROOM) if kind.wraps else wide for wide, kind in zip(widths, kinds, strict=True)]
    left_out: set[int] = set()
    for _, at in sorted(((kind.yields, at) for at, kind in enumerate(kinds) if kind.yields), reverse=True):
        kept = [wide for place, wide in enumerate(needed) if place not in left_out]
        if sum(kept) + _GAP * (len(kept) - 1) <= width:
            break
        left_out.add(at)
    return left_out


def display_width(text: str) -> int:
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)
