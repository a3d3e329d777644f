"""Readers of the values of options: counts, lengths of time, amounts of memory, files, times of the day."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, time
from itertools import product
from typing import Any


def count(text: str) -> int:
    """A whole number above 0."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise ValueError(f"must be a whole number above 0, not {text!r}")
    return int(text)


def minutes(*, bare: int, pair: tuple[int, int], none: str = "0|UNLIMITED|INFINITE") -> Callable[[str], int | None]:
    """A reader of wall times, in whole minutes, rounded up; None for those that match `none`, which are no limit.

    `bare` is what a number alone counts and `pair` what the figures of `2:30` count, both in seconds; three figures are
    H:M:S, and days may stand before a dash, as Slurm has them.
    """

    def read(text: str) -> int | None:
        match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?(?:\.\d+)?", text.strip(), re.ASCII)
        if re.fullmatch(none, text.strip(), re.IGNORECASE):
            return None
        if match is None:
            raise ValueError(f"must be a length of time, not {text!r}")
        days, *figures = (int(part) if part else None for part in match.groups())
        given = [figure for figure in figures if figure is not None]
        if days is not None:
            counts: tuple[int, ...] = (3600, 60, 1)
        else:
            counts = (bare,) if len(given) == 1 else pair if len(given) == 2 else (3600, 60, 1)
        seconds = (days or 0) * 86400 + sum(figure * each for figure, each in zip(given, counts, strict=False))
        if not seconds and re.fullmatch(none, "0", re.IGNORECASE):
            return None
        return max(1, -(-seconds // 60))

    return read


def megabytes(*, bare: str, all_at_0: bool = False) -> Callable[[str], int]:
    """A reader of amounts of memory, in MB (2**20 bytes), rounded up. `bare` is the unit of a number alone: B, K, M, G.

    `all_at_0`: 0 is an amount, too, for all that there is.
    """
    units = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

    def read(text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]+)?)([KMGTB])?(?:i?B)?", text.strip(), re.IGNORECASE)
        if match is None:
            raise ValueError(f"must be an amount of memory, not {text!r}")
        size = -int(-float(match[1]) * units[(match[2] or bare).upper()] // (1 << 20))
        if size < 1 and not all_at_0:
            raise ValueError(f"must be more than nothing, not {text!r}")
        return size

    return read


def array(text: str) -> Mapping[str, Any]:
    """`0-9`, `0-20:5,30`, `0-99%4` as the words `array` and, with a limit, `array_limit`."""
    indices, percent, limit = text.partition("%")
    span = r"[0-9]+(-[0-9]+(:[0-9]+)?)?"
    if re.fullmatch(rf"{span}(,{span})*", indices) is None:
        raise ValueError(f"must be indices such as 0-9, not {indices!r}")
    return {"array": indices, **({"array_limit": count(limit)} if percent else {})}


def variables(text: str) -> dict[str, str | None]:
    """`A=1,B` as {A: 1, B: None}: a name alone has the value of the submitting shell."""
    found: dict[str, str | None] = {}
    for pair in filter(None, text.split(",")):
        name, equals, value = pair.partition("=")
        found[name.strip()] = value if equals else None
    return found


def file_name(placeholders: Mapping[str, str]) -> Callable[[str], str]:
    """A reader of file names. `placeholders` are patterns of those that the manager has, with ours.

    A pattern's groups may be used in ours, as `re.sub` has it.
    """
    either = re.compile("|".join([*placeholders, r"[{}]"]))

    def ours(match: re.Match[str]) -> str:
        for pattern, text in placeholders.items():
            if whole := re.fullmatch(pattern, match[0]):
                return whole.expand(text)
        return match[0] * 2

    return lambda text: either.sub(ours, text)


def moment(text: str) -> str:
    """`[[[[CC]YY]MM]DD]hhmm[.SS]` as the word `begin`. What is left out is that of the next such time."""
    match = re.fullmatch(r"(?:(?:(?:(\d\d)?(\d\d))?(\d\d))?(\d\d))?(\d\d)(\d\d)(?:\.(\d\d))?", text, re.ASCII)
    if match is None:
        raise ValueError(f"must be [[[[CC]YY]MM]DD]hhmm[.SS], not {text!r}")
    century, year, *rest = match.groups()
    month, day, hour, minute, second = (int(part) if part else None for part in rest)
    return next_time(int(f"{century or 20}{year}") if year else None, month, day, hour or 0, minute or 0, second or 0)


def next_time(year: int | None, month: int | None, day: int | None, hour: int, minute: int, second: int = 0) -> str:
    """The word `begin` for a time of which some parts are not said: the next such time. Raises `ValueError`."""
    if day is None:
        return time(hour, minute, second).isoformat()
    now = datetime.now()
    years = [year] if year is not None else [now.year, now.year + 1]
    months = [month] if month is not None else range(1, 13)
    found = []
    for each_year, each_month in product(years, months):
        with suppress(ValueError):  # such as the 31st of a month that has 30 days
            found.append(datetime(each_year, each_month, day, hour, minute, second))
    if not found:
        raise ValueError("is no date")
    return next((moment for moment in found if moment >= now), found[-1]).isoformat()
