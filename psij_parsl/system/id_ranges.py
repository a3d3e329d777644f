"""Formatting and parsing of id ranges such as 0-3,8: CPU ids, and the indices of job arrays."""

from __future__ import annotations

from collections.abc import Iterable


def format_ranges(ids: Iterable[int]) -> str:
    """The numbers as ranges, in their order: `24-31,0-7`."""
    ranges: list[list[int]] = []
    for number in ids:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def parse_ranges(text: str) -> tuple[int, ...]:
    """The inverse of `format_ranges`. Raises `ValueError` for what is no such text."""
    ids: list[int] = []
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        ids.extend(range(int(first), int(last or first) + 1))
    return tuple(ids)
