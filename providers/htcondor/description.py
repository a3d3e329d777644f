"""The lines of a job's description for `condor_submit`: those of a script, and those of a file of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import takewhile

from psij_parsl.platforms.directives import Lines, OptionLines, WrongLine

from .macros import AUTOMATIC, OF_EACH_JOB, expanded, names_in
from .queueing import names_of

WRITTEN = "#HTCONDOR"
PREFIX = rf"{WRITTEN}(?= )"
_STATEMENT = re.compile(r"(queue|if|elif|else|endif|include|use)\b(?!\s*=)\s*:?\s*(.*)", re.IGNORECASE | re.DOTALL)
_OPEN_LIST = re.compile(r"\s*queue\b[^(]*\([^)]*", re.IGNORECASE)
_COMMAND = re.compile(r"\s*(\w+)\s*=(.*)")
#: Commands that say what is to run.
_RUNS = re.compile(r"\s*(executable|shell|arguments2?)\s*=", re.IGNORECASE)


def in_script(lines: Lines) -> OptionLines:
    """Those up to the first empty one, where the scheduler looks for a script's description."""
    block = [*takewhile(lambda numbered: numbered[1], lines)]
    commands = [(number, line.removeprefix(WRITTEN)) for number, line in block if line.startswith(f"{WRITTEN} ")]
    counts = dict(_to_the_last_queue(commands))
    for number, line in block:
        command = counts.get(number)
        if isinstance(command, str) and _RUNS.match(command):
            command = WrongLine(command.strip(), "says what is to run, and that is this script")
        yield number, command if isinstance(command, WrongLine) else line


def in_file(lines: Lines, known: Callable[[str], bool], of_jobs: Callable[[str], bool]) -> OptionLines:
    """Those of a description without prefix, with the values of its macros.

    A macro is any name whose value is used as `$(name)`; the line of one that is no command, as `known` says, is none.
    Only a command `of_jobs` may have macros whose values are others for each job.
    """
    whole = [*_whole_lines(lines)]
    yield from ((number, line) for number, line in whole if isinstance(line, WrongLine))
    texts = [(number, line) for number, line in whole if isinstance(line, str)]
    yield from _to_the_last_queue(_with_macros(texts, known, of_jobs))


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


def _whole_lines(lines: Lines) -> Iterator[tuple[int, str | WrongLine]]:
    """A line may go on after a backslash, or in brackets."""
    first, begun = 0, ""
    for number, line in lines:
        if line.lstrip().startswith("#"):
            if begun and "\n" not in begun:
                yield (
                    number,
                    WrongLine(line.strip(), "stands in a line that goes on, and HTCondor takes it for a part of it"),
                )
            continue
        first, begun = first or number, begun + line.lstrip()
        if begun.endswith("\\"):
            begun = begun[:-1]
        elif _OPEN_LIST.fullmatch(begun):
            begun += "\n"  # an item may be a line
        else:
            yield first, begun
            first, begun = 0, ""
    if begun:
        yield first, begun


def _after_queue(line: str) -> str | None:
    """What follows `queue`; None for another line."""
    match = _STATEMENT.fullmatch(line.strip())
    return match[2] if match and match[1].lower() == "queue" else None


def _to_the_last_queue(lines: OptionLines) -> OptionLines:
    numbered = [*lines]
    texts = [(number, line) for number, line in numbered if isinstance(line, str)]
    last = max((number for number, line in texts if _after_queue(line) is not None), default=None)
    for number, line in numbered:
        text = line.strip() if isinstance(line, str) else line.said
        if last is not None and number > last and text and not text.startswith("#"):
            yield number, WrongLine(text, "stands below the last queue, where it counts for no job")
        else:
            yield number, line


def _with_macros(
    lines: list[tuple[int, str]], known: Callable[[str], bool], of_jobs: Callable[[str], bool]
) -> Iterator[tuple[int, str | WrongLine]]:
    """With the last value of each macro: HTCondor works them out when it comes to `queue`.

    A command to which `queue` gives values has these alone, whatever its line says.
    """
    lines = _with_commands_of_queue(lines, known)
    values: dict[str, str] = {}
    own = {*OF_EACH_JOB}  # those of each job, or of no line
    for _, line in lines:
        if (queue := _after_queue(line)) is not None:
            own |= names_of(queue)
        elif command := _COMMAND.fullmatch(line):
            name = command[1].lower()
            values[name] = expanded(command[2].strip(), {name: values.get(name, "")})
    values = {name: value for name, value in values.items() if name not in own | AUTOMATIC}
    values = {name: expanded(value, values) for name, value in values.items()}
    used = {name for _, line in lines for name in names_in(line)}
    for number, line in lines:
        command = _COMMAND.fullmatch(line)
        is_queue = _after_queue(line) is not None
        name = command[1].lower() if command and not is_queue else ""
        if name in used and name in {*values, *own} and not known(name):
            continue
        whole = expanded(line, values)
        if not is_queue and names_in(whole) & own and not of_jobs(line.partition("=")[0].strip()):
            yield number, WrongLine(" ".join(line.split()), "has a macro, whose value is another for each job")
        else:
            yield number, f" {whole}"


def _with_commands_of_queue(lines: list[tuple[int, str]], known: Callable[[str], bool]) -> list[tuple[int, str]]:
    """With a line for each command that `queue arguments from FILE` gives each job a value of its own."""
    queues = [(number, names_of(queue)) for number, line in lines if (queue := _after_queue(line)) is not None]
    given = {name: number for number, names in queues for name in names if known(name)}
    if not given:
        return lines
    kept = [(number, line) for number, line in lines if _command_name(line) not in given]
    return [*((number, f"{name} = $({name})") for name, number in sorted(given.items())), *kept]


def _command_name(line: str) -> str:
    command = _COMMAND.fullmatch(line) if _after_queue(line) is None else None
    return command[1].lower() if command else ""
