"""The words that users of Parsl and Globus Compute know, in our vocabulary. The only place that translates."""

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
"""Parsl's word -> ours, where they mean the same."""

Translation = Callable[[Any], Mapping[str, Any]]
"""From a value in Parsl's words to arguments in ours."""

NEEDLESS: Mapping[str, str] = {
    "cmd_timeout": "every command is bounded in time, and what was cut short is looked for",
    "status_batch_size": "ids go to the manager in groups that it bears",
    "regex_job_id": "the manager's answer is read by its platform",
    "request_by_nodes": "nodes are always asked for",
    "bsub_redirection": "the script is submitted as its platform does it",
    "cores_per_block": "say cores_per_node and num_nodes",
    "channel": "Parsl has had no channels since 2024-12",
}
"""Words of Parsl's providers that have no counterpart, and what to do instead."""


def translated(
    given: Mapping[str, Any], parameters: Mapping[str, Any], spelled: Mapping[str, Translation]
) -> dict[str, Any]:
    """Arguments in our words. `parameters` are the platform's own: what it declares is never translated.

    `spelled` reads the words that mean something else on each platform. Raises `InvalidRequest` for one thing said
    twice in different words, and for what we have no use for.
    """
    said: dict[str, Any] = {}
    for name, value in given.items():
        if name in spelled and name not in parameters:
            words = spelled[name](value)
        elif name in NEEDLESS and name not in parameters:
            raise InvalidRequest(f"{name} is not needed here", hint=NEEDLESS[name])
        else:
            words = {name if name in parameters else SAME.get(name, name): value}
        for ours, meant in words.items():
            if ours in said:
                raise InvalidRequest(f"{name} says {ours} a second time", hint=f"leave one out; ours is {ours}")
            said[ours] = minutes(name, meant) if ours == "wall_time_min" and meant is not None else meant
    return said


def minutes(name: str, value: Any) -> int:
    """A wall time in minutes. `H:MM`, or is it `M:SS`, is refused: managers do not agree about it."""
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
    """`scheduler_options` where the platform takes further options as they are: its parameter `directives`."""
    found = options(text)
    return {"directives": found} if found else {}


def options(text: Any) -> tuple[str, ...]:
    """`scheduler_options`: lines such as `#SBATCH --switches 2 --mail-type=END`, as one option each."""
    if not isinstance(text, str):
        return tuple(text)
    found: list[str] = []
    for line in text.splitlines():
        words = shlex.split(re.sub(r"^\s*#\s*[A-Z$]+\s", "", line))
        for word in words:
            if word.startswith("-") or not found:
                found.append(word)
            else:
                found[-1] += f"={word}"
    return tuple(found)
