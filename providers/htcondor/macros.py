"""The macros of a description for `condor_submit`: `$(name)`, `$(name:else)`, `$ENV(NAME)` and `$Fn(name)`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

#: Macros whose values HTCondor itself gives, of which these are another's for each job of a description.
OF_EACH_JOB = frozenset(("process", "procid", "step", "row", "item", "itemindex"))
OF_ALL_JOBS = frozenset(("cluster", "clusterid"))
AUTOMATIC = OF_EACH_JOB | OF_ALL_JOBS | {"node"}
_MACRO = re.compile(r"(?<!\$)\$(?P<of>ENV|F[pdnx]*)?\((?P<name>\w+)(?::(?P<other>[^()]*))?\)")
_NUMBERS = AUTOMATIC - {"item"}
_DEEPEST = 20
_LONGEST = 65536


def names_in(text: str) -> set[str]:
    """The macros that a text uses, in lower case."""
    return {match["name"].lower() for match in _MACRO.finditer(text) if match["of"] != "ENV"}


def expanded(text: str, values: Mapping[str, str], *, others: bool = False) -> str:
    """The text with the macros that are among the values, by their names in lower case; those in their values, too.

    `others`: also those that nothing sets but have a text for that, and variables of the environment.
    """

    def value(match: re.Match[str]) -> str:
        name = match["name"].lower()
        if match["of"] == "ENV":
            return os.environ.get(match["name"], match["other"] or match[0]) if others else match[0]
        found = values.get(name)
        if found is None and others and match["other"] is not None and name not in AUTOMATIC:
            found = match["other"]
        if found is None or (match["of"] and not names_in(found) <= _NUMBERS):
            return match[0]
        return _part(found, match["of"]) if match["of"] else found

    for _ in range(_DEEPEST):
        before, text = text, _MACRO.sub(value, text)
        if text == before or len(text) > _LONGEST:
            break
    return text


def _part(path: str, which: str) -> str:
    """What `$Fn(name)` has of the path that is the macro's value."""
    folder, slash, file = path.rpartition("/")
    dot = file.rfind(".")
    stem, extension = (file[:dot], file[dot:]) if dot >= 0 else (file, "")
    parts = {"p": folder + slash, "d": folder.rpartition("/")[2] + slash, "n": stem, "x": extension}
    return "".join(part for letter, part in parts.items() if letter in which[1:]) if which != "F" else path
