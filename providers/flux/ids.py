"""Flux's job ids: one number with several forms, of which we keep F58 with an ASCII prefix (`fcJjB1sV`).

https://flux-framework.readthedocs.io/projects/flux-rfc/en/latest/spec_19.html
"""

from __future__ import annotations

import re
from functools import lru_cache

_DIGITS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE = len(_DIGITS)
_BITS = 64
_F58 = re.compile(rf"[fƒ]([{_DIGITS}]+)")
_DOTTED = re.compile(r"(?:job\.)?([0-9a-fA-F]{4}(?:\.[0-9a-fA-F]{4}){3})")
_PLAIN = re.compile(r"[0-9]+|0x[0-9a-fA-F]+")


@lru_cache(maxsize=65536)
def number(job_id: str) -> int | None:
    """The number behind an id in F58 (with either prefix), decimal, hexadecimal or dotted form; None for no id."""
    if match := _F58.fullmatch(job_id):
        value = 0
        for digit in match[1]:
            value = value * _BASE + _DIGITS.index(digit)
    elif match := _DOTTED.fullmatch(job_id):
        value = int(match[1].replace(".", ""), 16)
    elif _PLAIN.fullmatch(job_id):
        value = int(job_id, 16 if job_id.startswith("0x") else 10)
    else:
        return None
    return value if value < 1 << _BITS else None


@lru_cache(maxsize=65536)
def f58(value: int) -> str:
    """The id of that number in F58, with an ASCII prefix."""
    digits = ""
    while value >= _BASE:
        value, digit = divmod(value, _BASE)
        digits = _DIGITS[digit] + digits
    return f"f{_DIGITS[value]}{digits}"


def ascii_id(job_id: str) -> str:
    """An id in the form that we keep; a text that is no id stays as it is."""
    value = number(job_id)
    return job_id if value is None else f58(value)
