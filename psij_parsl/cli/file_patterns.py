"""What stands for something in the names of output files: `{id}`, as psij-run writes it, or `%j`, as people know it."""

from __future__ import annotations

import re

_OURS = re.compile(r"\{(?:id|array|index|name|user|host)(?::[0-9]{1,2})?\}")
_PERCENT = {"j": "{id}", "J": "{id}", "A": "{array}", "a": "{index}", "x": "{name}", "u": "{user}", "N": "{host}"}
_PERCENT_OR_BRACE = re.compile(r"%(%|[0-9]{0,2}[jJAaxuN])|\{\{|\}\}|[{}]")


class Pattern(str):
    """A name that is a job's pattern already."""

    __slots__ = ()


def has_patterns(name: str) -> bool:
    """Whether anything in the name of a file is to be filled in."""
    if isinstance(name, Pattern):
        return "{" in name
    return bool(_OURS.search(name) or any(match[1] for match in _PERCENT_OR_BRACE.finditer(name)))


def pattern(name: str, *, literal: bool = False) -> str:
    """The name as a job's pattern: what is to be filled in stands in braces, and other braces are doubled.

    `literal`: nothing in it is to be filled in.
    """

    def ours(match: re.Match[str]) -> str:
        if not match[1]:
            return match[0] if len(match[0]) == 2 else match[0] * 2
        if match[1] == "%":
            return "%"
        placeholder = _PERCENT[match[1][-1]]
        digits = match[1][:-1].lstrip("0")
        return placeholder.replace("}", f":{digits}}}") if digits and placeholder == "{index}" else placeholder

    if isinstance(name, Pattern):
        return str(name)
    if literal:
        return name.replace("{", "{{").replace("}", "}}")
    kept = [(match.start(), match.end()) for match in _OURS.finditer(name)]
    parts, at = [], 0
    for start, end in kept:
        parts += [_PERCENT_OR_BRACE.sub(ours, name[at:start]), name[start:end]]
        at = end
    return "".join([*parts, _PERCENT_OR_BRACE.sub(ours, name[at:])])
