"""Tables on a narrow terminal: texts that explain something go on in the next lines."""

from __future__ import annotations

from collections.abc import Sequence

_GAP = 2  # characters between columns
_ROOM = 24  # characters of a column that wraps, below which other columns are left out
_LEAST = 16  # characters of a column that wraps, however narrow the terminal is


def wrapped(columns: Sequence[Sequence[str]], wraps: Sequence[bool], width: int) -> list[list[str]]:
    """The columns of a table with a cell for each line: those of a row that has several are '' where nothing stands."""
    from textwrap import TextWrapper

    limits = _limits([max(map(display_width, texts)) for texts in columns], wraps, width)
    wrappers = [TextWrapper(limit, break_on_hyphens=False) for limit in limits]
    result: list[list[str]] = [[] for _ in columns]
    for row in zip(*columns, strict=True):
        parts = [
            (wrapper.wrap(text) or [""]) if may and display_width(text) > wrapper.width else [text]
            for text, may, wrapper in zip(row, wraps, wrappers, strict=True)
        ]
        height = max(map(len, parts))
        for cells, lines in zip(result, parts, strict=True):
            cells += [*lines, *[""] * (height - len(lines))]
    return result


def _limits(widths: Sequence[int], wraps: Sequence[bool], width: int) -> list[int]:
    """How wide each column is: those that do not wrap as wide as they are, the others share the rest."""
    limits = list(widths)
    wrapping = sorted((at for at, may in enumerate(wraps) if may), key=lambda at: widths[at])
    left = width - _GAP * (len(widths) - 1) - sum(widths[at] for at, may in enumerate(wraps) if not may)
    for number, at in enumerate(wrapping):
        limits[at] = min(widths[at], max(_LEAST, left // (len(wrapping) - number)))
        left -= limits[at]
    return limits


def yielding(columns: Sequence[Sequence[str]], kinds: Sequence[tuple[bool, int]], width: int) -> set[int]:
    """Which columns are left out so that the others have room, by their places.

    `kinds`: whether each wraps, and how early it is left out: the greatest number first, 0 never.
    """
    widths = [max(map(display_width, texts)) for texts in columns]
    needed = [min(wide, _ROOM) if wraps else wide for wide, (wraps, _) in zip(widths, kinds, strict=True)]
    left_out: set[int] = set()
    for _, at in sorted(((rank, at) for at, (_, rank) in enumerate(kinds) if rank), reverse=True):
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
