"""A job script with its manager's option lines rewritten as `#PSIJ` lines, and what they cannot say as comments."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ..errors import InvalidRequest
from ..platforms.directives.option import Elsewhere
from ..platforms.directives.reading import Directive, Reading
from ..platforms.directives.script import ScriptLines, as_parameter
from ..platforms.templates.parameters import Parameter
from ..system.id_ranges import format_ranges
from .description_import import body, said_by_body
from .flag_types import Gpus, Indices
from .job_flags import JOB_FLAGS
from .script_words import flag_values

_LOST = "# not carried over: "
#: Words that have a flag only where others are known, too.
_NEEDS_MORE = frozenset(("memory", "memory_per_rank"))


def imported(path: str, lines: ScriptLines) -> tuple[str, list[str]]:
    """The script with `#PSIJ` lines, and what was lost: a text for each option. Raises `InvalidRequest`.

    Of a description of a job it is a script that runs what that says.
    """
    text = lines.text.replace("\r\n", "\n")
    own = ScriptLines(lines.platform, text)
    new: dict[int, list[str]] = {number: [] for number in own.numbers}
    lost: list[str] = []
    declared = own.platform.template_class.params
    shared: set[str] = set()
    in_body = said_by_body(own.reading.words) if own.describe else frozenset[str]()
    for one in own.reading.directives:
        if one.superseded:
            continue
        said = [*_said(path, own, one, declared, shared, in_body)]
        told_elsewhere = not one.fault and not (in_body | shared).isdisjoint(one.words)
        told_elsewhere |= bool(one.words) and not one.fault and own.reading.words.keys().isdisjoint(one.words)
        if not said and not _is_needless(one) and not told_elsewhere:
            option = " ".join(one.said.split())
            lost.append(f"line {one.line}: {option}")
            written = "" if own.describe else f"{own.table.written} "
            said = [f"{_LOST}{written}{option}{f' ({one.fault})' if one.fault else ''}"]
        new.setdefault(one.line, []).extend(said)
    return _described(path, own, new) if own.describe else _written(text, own, new), lost


def _said(
    path: str,
    lines: ScriptLines,
    one: Directive,
    declared: Mapping[str, Parameter],
    shared: set[str],
    in_body: Collection[str],
) -> Iterator[str]:
    """The `#PSIJ` lines for one option; none where there is no way to say it."""
    words = {name: value for name, value in _words(lines.reading, one, shared).items() if name not in in_body}
    try:
        values = flag_values(words, lines.table, path, usual_files=False) if not one.fault else {}
    except InvalidRequest:
        values = {}
    for flag, value in values.items():
        yield f"#PSIJ {_flag_text(flag, value)}"
    if not values and (parameter := as_parameter(one, declared)):
        yield f"#PSIJ -X {shlex.quote(parameter)}"


def _words(reading: Reading, one: Directive, shared: set[str]) -> dict[str, Any]:
    """The words of an option; those that several say together come with the first of them."""
    words = {name: reading.words[name] for name in one.words if name in reading.words and name not in shared}
    if "environment" in words:
        shared |= {"environment"}
        if reading.words.get("inherit_environment", True):  # then variables without a value need not be said
            named = words["environment"].items()
            words["environment"] = {name: value for name, value in named if value is not None}
    if one.is_part:
        words |= {name: value for name, value in reading.derived.items() if name not in shared}
        shared |= {*reading.derived}
    for name in _NEEDS_MORE & words.keys():
        words = {
            **{each: reading.words[each] for each in ("num_nodes", "cpus_per_rank") if each in reading.words},
            **words,
        }
        if name == "memory":
            words["memory_per_node"] = -(-words.pop("memory") // (words.get("num_nodes") or 1))
    return words


def _flag_text(name: str, value: Any) -> str:
    flag = next(flag for flag in JOB_FLAGS if flag.name == name)
    if flag.switch:
        return flag.spellings[-1]
    if isinstance(value, Indices):
        value = format_ranges(sorted(value.indices)) + (f"%{value.limit}" if value.limit else "")
    elif isinstance(value, Gpus):
        value = f"{value.kind}:{value.number}" if value.kind else value.number
    elif isinstance(value, Mapping):
        return " ".join(f"{flag.spellings[-1]} {shlex.quote(f'{key}={text}')}" for key, text in value.items())
    elif isinstance(value, tuple):
        value = ",".join(value)
    unit = "M" if name.startswith("mem") and value else ""
    return f"{flag.spellings[0]} {shlex.quote(f'{value}{unit}')}"


def _is_needless(one: Directive) -> bool:
    return one.option is not None and one.option.elsewhere is Elsewhere.NEEDLESS


def _described(path: str, lines: ScriptLines, new: Mapping[int, list[str]]) -> str:
    """A script that runs what a description says."""
    words = lines.reading.words
    if "command" not in words and not words.get("elements"):
        raise InvalidRequest(
            f"{path} is a description for {lines.table.command} that names no program",
            hint="a line says it: executable = ./program",
        )
    return "\n".join(["#!/bin/sh", *(line for number in sorted(new) for line in new[number]), "", body(words)])


def _written(text: str, lines: ScriptLines, new: Mapping[int, list[str]]) -> str:
    """The text with the new lines in place of the option lines; they stand before the first command."""
    old = text.split("\n")
    prefix = re.compile(lines.table.prefix)
    gone, counting = set[int](), {*lines.numbers}
    for number, line in lines.table.lines(text):
        last, of_several = number, isinstance(line, str) and "\n" in line
        while last < len(old) and last + 1 not in counting and prefix.match(old[last]):
            if not of_several and not old[last - 1].rstrip().endswith("\\"):
                break
            last += 1  # a line that goes on
        gone |= {*range(number, last + 1)}
    commands = (
        at for at, line in enumerate(old, 1) if line.strip() and not line.lstrip().startswith("#") and at not in gone
    )
    first_command = next(commands, len(old) + 1)
    head: list[str] = []
    rest: list[str] = []
    for number, line in enumerate(old, 1):
        head += new.get(number, [])
        if number not in gone:
            (head if number < first_command else rest).append(line)
    return "\n".join([*head, *rest])
