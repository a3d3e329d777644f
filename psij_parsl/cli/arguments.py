"""Arguments that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

import typer

from ..errors import InvalidRequest
from .completion import every_job, selectors, words
from .flags import is_empty

JsonRenderer = Annotated[bool, typer.Option("--json", help="Answers and errors as JSON.")]
_SELECTOR_HELP = "Ids (ours or the manager's), ID_3 for an array element, `last`, or `all`."
Selectors = Annotated[
    list[str] | None,
    typer.Argument(metavar="[JOB]...", help=_SELECTOR_HELP, show_default=False, autocompletion=selectors),
]
AnyJobs = Annotated[
    list[str] | None,
    typer.Argument(metavar="JOB...", help=_SELECTOR_HELP, show_default=False, autocompletion=every_job),
]
CommandWords = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[--] COMMAND [ARG]...",
        help="The command and its arguments, or a job script with #PSIJ lines.",
        show_default=False,
        autocompletion=words,
    ),
]
ProgramWords = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[--] COMMAND [ARG]...",
        help="The command and its arguments.",
        show_default=False,
        autocompletion=words,
    ),
]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def age(text: str, flag: str) -> float:
    """Seconds of an age such as 30d, 12h or 90m; a bare number is days. Raises `InvalidRequest`, naming `flag`."""
    if not text:
        raise is_empty(flag)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw]?)", text.strip().lower())
    if match is None:
        raise InvalidRequest(f"{flag} {text} is no age", hint="for example 30d, 12h or 90m; a bare number is days")
    return float(match[1]) * _UNITS[match[2] or "d"]


def count(text: str | None, flag: str, reader: Callable[[str], int]) -> int | None:
    """The number that a flag was given; None for none. Raises `InvalidRequest`, naming `flag`."""
    if text is None:
        return None
    if not text:
        raise is_empty(flag)
    try:
        return reader(text)
    except ValueError as error:
        raise InvalidRequest(f"{flag} {text}: it {error}", hint=f"for example {flag} 20") from error


def needed(chosen: list[str] | None, command: str) -> list[str]:
    """The selectors that were given. Raises `InvalidRequest` if there are none."""
    if not chosen:
        raise InvalidRequest(f"which job is `psij-run {command}` to act on?", hint=f"psij-run {command} last")
    return chosen
