"""Translation of the argument names of Parsl and Globus Compute into ours; no other module translates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import InvalidRequest
from ..platforms.directives.reading import add
from ..validators import wall_time

if TYPE_CHECKING:
    from ..platforms.directives.reading import Directive
    from ..platforms.directives.table import DirectiveTable
    from ..platforms.platform import Platform
    from ..platforms.templates.parameters import Parameter

SAME: Mapping[str, str] = {
    "nodes_per_block": "num_nodes",
    "walltime": "wall_time_min",
    "partition": "queue",
    "account": "project",
    "cpus_per_node": "cores_per_node",
    "clusters": "cluster",
}
"""Parsl's name of an argument -> ours, where they mean the same."""

Translation = Callable[[Any], Mapping[str, Any]]
"""A function from the value of one of Parsl's arguments to arguments by our names."""

NEEDLESS: Mapping[str, str] = {
    "cmd_timeout": "every command is bounded in time, and what was cut short is looked for",
    "status_batch_size": "ids go to the manager in groups that it bears",
    "regex_job_id": "the manager's answer is read by its platform",
    "request_by_nodes": "nodes are always asked for",
    "bsub_redirection": "the script is submitted as its platform does it",
    "cores_per_block": "say cores_per_node and num_nodes",
    "channel": "Parsl has had no channels since 2024-12",
}
"""Arguments of Parsl's providers that have no counterpart, and what to do instead."""


def translated(
    arguments: Mapping[str, Any], parameters: Mapping[str, Any], translations: Mapping[str, Translation]
) -> dict[str, Any]:
    """The arguments by our names. `parameters` are those that the platform declares, which are never translated.

    `translations` are for names whose meaning differs between platforms. Raises `InvalidRequest` for an argument
    that is given twice by different names, and for those in `NEEDLESS`.
    """
    result: dict[str, Any] = {}
    for name, value in arguments.items():
        if name in translations and name not in parameters:
            translation = translations[name](value)
        elif name in NEEDLESS and name not in parameters:
            raise InvalidRequest(f"{name} is not needed here", hint=NEEDLESS[name])
        else:
            translation = {name if name in parameters else SAME.get(name, name): value}
        for ours, new_value in translation.items():
            if ours in result:
                raise InvalidRequest(f"{name} says {ours} a second time", hint=f"leave one out; ours is {ours}")
            if ours == "wall_time_min" and new_value is not None:
                new_value = minutes(name, new_value)
            result[ours] = new_value
    return result


def minutes(name: str, value: Any) -> int:
    """A wall time in minutes. `1:30` is refused: for some managers it is `H:MM`, for others `M:SS`."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d+:\d+\s*", value):
        raise InvalidRequest(
            f"{name}={value!r} could be hours and minutes, or minutes and seconds",
            hint=f"say {value.strip()}:00 for hours and minutes, or a number of minutes",
        )
    try:
        return wall_time(value)
    except ValueError as error:
        raise InvalidRequest(f"{name}={value!r} is refused: it {error}") from error


_SHAPE = "the block's shape says it: num_nodes, cores_per_node, mem_per_node, gpus_per_node, wall_time_min"
_OUTPUT = "its output is in the block's folder"
_ENVIRONMENT = "the block has the workflow's environment; worker_init sets more"
_BLOCKS: Mapping[str, str] = {
    "name": "Parsl names the block",
    **dict.fromkeys(("stdout", "stderr", "join", "append"), _OUTPUT),
    **dict.fromkeys(("environment", "inherit_environment"), _ENVIRONMENT),
    "directory": "the block starts where the workflow did",
    "stdin": "a block has no input",
    "command": "a block runs Parsl's workers",
    "shell": "a block's script is bash",
    **dict.fromkeys(("array", "array_limit", "elements"), "say max_blocks"),
    "after": "a block waits for no other job",
    "begin": "a block begins as soon as it can",
    "hold": "a block that is held would never start",
    **dict.fromkeys(
        ("signal_before_end", "signal_script_before_end"),
        "Parsl's drain_period ends its workers before the wall time",
    ),
    **dict.fromkeys(
        (
            *("num_nodes", "ranks", "ranks_per_node", "cpus_per_rank", "threads_per_core", "wall_time_min"),
            *("gpus", "gpus_per_node", "gpus_per_rank"),
            *("memory", "memory_per_node", "memory_per_rank", "memory_per_core", "memory_per_gpu"),
        ),
        _SHAPE,
    ),
    "exclusive": "a block has whole nodes if cores_per_node is not given",
}
"""Words of option lines that a block must not be asked for, and why, or what to say instead."""


def scheduler_options(platform: Platform, text: Any) -> dict[str, Any]:
    """What `scheduler_options` asks, which are option lines, as arguments by our names.

    An option sets the parameter that the platform's table has for it, or queue or project. One that has neither is
    carried as it is where the platform has the parameter `directives`. Raises `InvalidRequest` for any other.
    """
    table = platform.directive_table
    declared = platform.template_class.params
    arguments: dict[str, Any] = {}
    for one in table.reading(_lines(table, text)).directives:
        option = one.option
        if one.superseded:
            continue
        if option and option.parameter and (value := _for_parameter(declared, one)) is not None:
            add(arguments, option.parameter, value)
        elif option and not option.instead and one.words and one.words.keys() <= {"queue", "project"}:
            arguments |= one.words
        elif "directives" in declared and not one.way and not (option and option.instead):
            arguments["directives"] = (*arguments.get("directives", ()), one.joined)
        else:
            raise InvalidRequest(
                f"scheduler_options says {one.said}, which a block cannot be asked for",
                hint=_instead(platform, table, one),
            )
    return arguments


def _for_parameter(declared: Mapping[str, Parameter], one: Directive) -> Any:
    """The value of the option for its parameter; None if that does not take it, and the option can go as it is."""
    option = one.option
    if option is None or (option.arguments and not option.optional and not one.value):
        return None
    if "directives" in declared and not option.instead:
        return one.taken_by(declared)
    try:
        return one.for_parameter()
    except ValueError:
        return None


def _instead(platform: Platform, table: DirectiveTable, one: Directive) -> str:
    """What to do instead: as a block is asked, for a provider does not have the flags of psij-run."""
    asked = {*one.words, *table.reading([(0, one.said)]).words, *(one.option.sets if one.option else ())}
    way = next((text for word, text in _BLOCKS.items() if word in asked), "")
    if not way and one.option:
        way = one.option.instead.replace("-X ", "")
    if not way or re.search(r"(^|\s)-{1,2}\w", way):
        shown = f"`psij-run platform show {platform.name}` lists the parameters"
        way = _SHAPE if any(word.startswith("_") for word in asked) else shown
    return f"it {one.fault}; {way}" if one.fault else way


def _lines(table: DirectiveTable, text: Any) -> list[tuple[int, str]]:
    """Option lines, with or without their prefix; items of a list may have several.

    Raises `InvalidRequest` for a line of another manager, or one that this manager would not read.
    """
    texts = [text] if isinstance(text, str) else [*map(str, text or ())]
    found = []
    for number, line in enumerate((line for each in texts for line in each.splitlines()), 1):
        rest = table.bare(line)
        if re.match(r"\s*#+\s*(\$|[A-Za-z]+:?)\s*-", rest):
            raise InvalidRequest(
                f"scheduler_options has the line {line.strip()!r}, which {table.command} would not read",
                hint=f"its option lines begin with {table.written} and a blank",
            )
        found.append((number, rest))
    return found
