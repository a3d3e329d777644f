"""Translation of the argument names of Parsl and Globus Compute into ours; no other module translates."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import InvalidRequest
from ..platforms.templates.validators import wall_time

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


def directives(text: Any) -> dict[str, Any]:
    """The translation of `scheduler_options` for a platform with the parameter `directives` (unchanged options)."""
    lines = options(text)
    return {"directives": lines} if lines else {}


def not_taken(platform: str, option: str, taken: str, instead: str = "") -> InvalidRequest:
    """The error for an option in `scheduler_options` that the platform's provider does not take.

    `taken` says which are, as in "-l and -pe are"; `instead` what to use in place of this one, where that is known.
    """
    shown = f"`psij-run platform show {platform}` lists the parameters that say other things"
    return InvalidRequest(f"scheduler_options says {option}, and only {taken} taken here", hint=instead or shown)


def options(text: Any) -> tuple[str, ...]:
    """The single options in `scheduler_options`, which are lines such as `#SBATCH --switches 2 --mail-type=END`."""
    if not isinstance(text, str):
        return tuple(text)
    result: list[str] = []
    for line in text.splitlines():
        tokens = shlex.split(re.sub(r"^\s*#\s*[A-Z$]+\s", "", line))
        for token in tokens:
            if token.startswith("-") or not result:
                result.append(token)
            else:
                result[-1] += f"={token}"
    return tuple(result)
