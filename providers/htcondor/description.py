"""The lines of a job's description for `condor_submit`: those of a script, and those of a file of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile

from psij_parsl.platforms.directives import Lines, NoEquivalent, OptionLines, WrongLine, count

PREFIX = "#HTCONDOR "
_QUEUE = re.compile(
    r"(?P<number>\d+)?\s*(?:\b(?P<names>\w+(?:\s*,\s*\w+)*)?\s*\b(?P<how>in|from|matching)\b(?P<items>.*))?",
    re.IGNORECASE,
)
_STATEMENT = re.compile(r"(queue|if|elif|else|endif|include|use)\b(?!\s*=)\s*:?\s*(.*)", re.IGNORECASE)
_OPEN_LIST = re.compile(r"\s*queue\b[^(]*\([^)]*", re.IGNORECASE)
_COMMAND = re.compile(r"\s*(\w+)\s*=(.*)")
_USE = re.compile(r"\$\((\w+)\)")
#: Macros whose values HTCondor itself gives.
_AUTOMATIC = frozenset(("cluster", "clusterid", "process", "procid", "node", "step", "row", "item", "itemindex"))
#: What macros are to us: those of all jobs of an array, of its elements by their place, and of a job alone.
_OF_ARRAY = {"cluster": "{array}", "clusterid": "{array}"}
_PLACE = {"process": "{index}", "procid": "{index}"}
ONE_JOB = ("", {"cluster": "{id}", "clusterid": "{id}", "process": "0", "procid": "0"})
HAS_MACRO = "has a macro, of which only HTCondor knows the value"


def in_script(lines: Lines) -> OptionLines:
    """Those up to the first empty one, where the scheduler looks for a script's description."""
    block = [*takewhile(lambda numbered: numbered[1], lines)]
    commands = [(number, line.removeprefix(PREFIX)) for number, line in block if line.startswith(PREFIX)]
    counts = dict(_to_the_last_queue(commands))
    for number, line in block:
        command = counts.get(number)
        yield number, command if isinstance(command, WrongLine) else line


def in_file(lines: Lines, known: Callable[[str], bool]) -> OptionLines:
    """Those of a description without prefix, with the values of its macros; none of a script, which begins with `#!`.

    A macro is any name whose value is used as `$(name)`; the line of one that is no command, as `known` says, is none.
    """
    numbered = [*lines]
    if not numbered[0][1].startswith("#!"):
        yield from _to_the_last_queue(_with_macros([*_whole_lines(numbered)], known))


def split(line: str) -> list[str]:
    """`name=value`, or a statement and its rest. `queue` alone makes one job."""
    text = line.strip()
    if not text or text.startswith("#"):
        return []
    if match := _STATEMENT.fullmatch(text):
        rest = match[2] or ("1" if match[1].lower() == "queue" else "")
        return [match[1], rest] if rest else [match[1]]
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("must be name = value")
    return [f"{name.strip()}={value.strip()}"]


def _whole_lines(lines: Lines) -> Iterator[tuple[int, str]]:
    """A line may go on after a backslash, or in brackets."""
    first, begun = 0, ""
    for number, line in lines:
        if line.lstrip().startswith("#"):
            continue
        first, begun = first or number, begun + line.lstrip()
        if begun.endswith("\\"):
            begun = begun[:-1]
        elif _OPEN_LIST.fullmatch(begun):
            begun += " "
        else:
            yield first, begun
            first, begun = 0, ""
    if begun:
        yield first, begun


def _after_queue(line: str) -> str | None:
    """What follows `queue`; None for another line."""
    match = _STATEMENT.fullmatch(line.strip())
    return match[2] if match and match[1].lower() == "queue" else None


def _to_the_last_queue(lines: Lines) -> OptionLines:
    numbered = [*lines]
    last = max((number for number, line in numbered if _after_queue(line) is not None), default=None)
    for number, line in numbered:
        text = line.strip()
        if last is not None and number > last and text and not text.startswith("#"):
            yield number, WrongLine(text, "stands below the last queue, where it counts for no job")
        else:
            yield number, line


def _with_macros(lines: list[tuple[int, str]], known: Callable[[str], bool]) -> Iterator[tuple[int, str]]:
    """With the last value of each macro, where that is plain: HTCondor works them out when it comes to `queue`."""
    values: dict[str, str] = {}
    given = {*_AUTOMATIC}
    for _, line in lines:
        if (queue := _after_queue(line)) is not None:
            match = _QUEUE.fullmatch(queue.strip())
            given |= {name.strip().lower() for name in ((match and match["names"]) or "").split(",")}
        elif command := _COMMAND.fullmatch(line):
            values[command[1].lower()] = command[2].strip()
    values = {name: value for name, value in values.items() if "$" not in value and name not in given}
    used = {name.lower() for _, line in lines for name in _USE.findall(line)}
    for number, line in lines:
        command = _COMMAND.fullmatch(line)
        name = command[1].lower() if command and _after_queue(line) is None else ""
        if name not in values or name not in used or known(name):
            yield number, _USE.sub(lambda macro: values.get(macro[1].lower(), macro[0]), line)


# ---- the jobs that it makes ----------------------------------------------------------------------------------------


def indices(text: str) -> tuple[tuple[str, Mapping[str, str]], ...]:
    """The indices of the jobs that a `queue` statement makes, '' for one job, and our placeholders for its macros."""
    match = _QUEUE.fullmatch(text.strip())
    if match is None:
        raise NoEquivalent("counts its jobs by an expression")
    if not match["how"]:
        number = count(match["number"] or "1")
        return (ONE_JOB if number == 1 else (f"0-{number - 1}", {**_OF_ARRAY, **_PLACE}),)
    if match["how"].lower() != "in":
        raise NoEquivalent("makes a job of each file, or of each line of a file")
    items = [item for item in re.split(r"[,\s]+", match["items"].strip(" ()\t")) if item]
    if match["number"] not in (None, "1") or "," in (match["names"] or "") or not all(map(str.isdecimal, items)):
        raise NoEquivalent("makes a job of each item, and these are no indices")
    counted = items == [str(place) for place in range(len(items))]
    macros = {**_OF_ARRAY, (match["names"] or "item").lower(): "{index}"}
    return ((",".join(items), {**macros, **_PLACE} if counted else macros),)


def file_name(text: str, word: str, macros: Mapping[str, str]) -> str:
    """A file's name with our placeholders."""

    def ours(match: re.Match[str]) -> str:
        if match[0] in "{}":
            return match[0] * 2
        if (match[1] or "").lower() not in macros:
            raise NoEquivalent(HAS_MACRO, word)
        return macros[match[1].lower()]

    return re.sub(r"\$\((\w+)\)|[${}]", ours, text)
