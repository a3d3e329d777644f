"""What stands for something in the names of output files: `{id}`, as psij-run writes it, or `%j`, as people know it."""

from __future__ import annotations

import re

_PERCENT = {"j": "{id}", "J": "{id}", "A": "{array}", "a": "{index}", "x": "{name}", "u": "{user}", "N": "{host}"}
#: A doubled brace, one of ours, one that is no more than a brace, one with a per cent sign.
_WORD = re.compile(
    r"(\{\{|\}\})|(\{(?:(?:id|array|name|user|host|index)|index:[0-9]{1,2})\})|([{}])|%(%|[0-9]{0,2}[jJAaxuN])"
)


class Pattern(str):
    """A name that is a job's pattern already."""

    __slots__ = ()


def has_patterns(name: str) -> bool:
    """Whether anything in the name of a file is to be filled in."""
    if isinstance(name, Pattern):
        return "{" in name
    return any(match[2] or match[4] for match in _WORD.finditer(name))


def pattern(name: str, *, literal: bool = False) -> str:
    """The name as a job's pattern: what is to be filled in stands in braces, and other braces are doubled.

    `literal`: nothing in it is to be filled in.
    """

    def ours(match: re.Match[str]) -> str:
        doubled, placeholder, brace, percent = match.groups()
        if brace:
            return 2 * str(brace)
        if not percent:
            return str(doubled or placeholder)
        if percent == "%":
            return "%"
        meant, digits = _PERCENT[percent[-1]], percent[:-1].lstrip("0")
        return f"{{index:{digits}}}" if digits and meant == "{index}" else meant

    if isinstance(name, Pattern):
        return str(name)
    if literal:
        return name.replace("{", "{{").replace("}", "}}")
    return _WORD.sub(ours, name)
