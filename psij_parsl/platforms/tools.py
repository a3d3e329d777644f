"""Helpers for platforms that several of them use."""

from __future__ import annotations

import os
import pwd
from math import gcd

from ..errors import InvalidRequest

#: A pattern of errors of commands that could not reach the server, and so have done nothing.
UNREACHABLE = r"[Cc]onnection refused|[Cc](annot|ouldn't) connect to|[Uu]nable to (contact|authenticate)"


def array_range(indices: str, *, base: int = 0) -> str:
    """Array indices as one range, `0-9` or `0-20:5`, counted from `base`, for a manager that takes no other form.

    If the range contains other indices too, the wanted ones follow after a blank: then the others' elements must end
    as soon as they start. The range has two elements or more. Raises `InvalidRequest` if most would be unwanted.
    """
    wanted = [number for span in indices.split(",") for number in _span(span)]
    first, last = wanted[0], wanted[-1]
    if first == last:
        return f"{first + base}-{first + base + 1} {first + base}"
    step = gcd(*(number - first for number in wanted))
    size = (last - first) // step + 1
    if size > 2 * len(wanted) + 10:
        raise InvalidRequest(
            f"this manager's arrays are ranges, and the array {indices} would need one of {size} elements for"
            f" {len(wanted)}",
            hint="number the elements without gaps, or submit it in parts",
        )
    text = f"{first + base}-{last + base}" + (f":{step}" if step > 1 else "")
    return text if size == len(wanted) else f"{text} {','.join(str(number + base) for number in wanted)}"


def _span(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def user_name() -> str:
    """Our user name; '' where the system does not have one."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""


def without_host(text: str) -> str:
    """The path in `host:/path`, a form in which managers show output files."""
    host, colon, path = text.partition(":")
    return path if colon and "/" not in host else text
