"""Amounts in a description: numbers, products of them, sizes and times."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from contextlib import suppress

from psij_parsl.platforms.directives import NoEquivalent, count, megabytes


def number(text: str) -> int:
    """A whole number, or a product of some, `4 * 3600`. Other expressions are HTCondor's to work out."""
    if re.fullmatch(r"\d+(\s*\*\s*\d+)*", text):
        return math.prod(count(figure.strip()) for figure in text.split("*"))
    if re.fullmatch(r"[-+]?[\d.]+", text) or not text:
        raise ValueError(f"must be a whole number above 0, not {text!r}")
    raise NoEquivalent("is an expression, which only HTCondor can work out")


def gpus(text: str) -> int:
    return 0 if re.fullmatch("0+", text) else number(text)


def size(bare: str) -> Callable[[str], int]:
    """A reader of amounts in MB: `4096`, `4 GB`, `4 * 1024`. `bare` is the unit of a number alone."""
    amount = megabytes(bare=bare)

    def read(text: str) -> int:
        if re.fullmatch(r"[\d.]+\s*[KMGT]?B?", text, re.IGNORECASE):
            return amount(text.replace(" ", ""))
        return amount(str(number(text)))

    return read


def disk(text: str) -> str:
    """For the parameter of that name, whose numbers alone are MB."""
    with suppress(ValueError):
        return f"{size('K')(text)}M"
    return text


def minutes(text: str) -> int:
    return -(-number(text) // 60)
