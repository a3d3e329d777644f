"""Stand-ins: commands of one manager that job scripts call, as `psij-run launch` does them on another manager."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import InvalidRequest, nearest


class Launch(NamedTuple):
    """What a command line comes to: the arguments of `psij-run launch`, and remarks for people."""

    arguments: list[str]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class StandIn:
    """One command: a file of its name in the platform's folder, whose `stand_in` this is.

    `launch` takes the arguments that follow the command's name, and the environment in which it is called. It raises
    `InvalidRequest` for what `psij-run launch` cannot do. `rank_variables` are variables of the command's ranks, each
    with the one of ours (PSIJ_RANK, PSIJ_LOCAL_RANK, PSIJ_NUM_RANKS) that has its value.
    """

    command: str
    launch: Callable[[Sequence[str], Mapping[str, str]], Launch]
    rank_variables: Mapping[str, str] = field(default_factory=dict)


class Said(NamedTuple):
    """The options of a command line by their names, and what follows them: the program and its arguments."""

    options: Mapping[str, str]
    program: Sequence[str]


def read_options(command: str, known: Sequence[str], arguments: Sequence[str]) -> Said:
    """The options before a program, as getopt_long reads them: `-n4`, `-n 4`, `--ntasks=4`, `--ntas 4`.

    Each of `known` is the names of an option, the last of which it is called by in the answer, and what it takes: `=`
    for a value, `[=]` for one that may be there, nothing for a switch: `-n --ntasks=`. One that is said again
    replaces what it said before. Raises `InvalidRequest` for an option that is not known.
    """
    rows = {name: (names[-1].lstrip("-"), takes) for names, takes in map(_row, known) for name in names}
    options: dict[str, str] = {}
    left = list(arguments)
    while left and left[0].startswith("-") and left[0] != "-":
        said = left.pop(0)
        if said == "--":
            break
        if said.startswith("--"):
            name, equals, value = said.partition("=")
            joined: str | None = value if equals else None
        else:
            name, joined = said[:2], said[2:] or None
        key, takes = _found(command, rows, name)
        if joined is not None and not takes and not said.startswith("--"):
            left.insert(0, f"-{joined}")  # several switches in one word: -ul
            joined = None
        if joined is not None and not takes:
            raise InvalidRequest(f"{command}: {name} takes no value", hint=f"say {name} alone")
        if joined is None and takes == "=":
            if not left:
                raise InvalidRequest(f"{command}: {name} lacks its value", hint=f"say {name} VALUE")
            joined = left.pop(0)
        options[key] = joined or ""
    if not left:
        raise InvalidRequest(f"{command}: there is no program to run", hint=f"{command} [OPTION]... PROGRAM [ARG]...")
    return Said(options, left)


def _row(text: str) -> tuple[list[str], str]:
    names = text.removesuffix("[=]")
    names = names if names != text else text.removesuffix("=")
    return names.split(), text[len(names) :]


def _found(command: str, rows: Mapping[str, tuple[str, str]], name: str) -> tuple[str, str]:
    if name in rows:
        return rows[name]
    beginning = {rows[full] for full in rows if name.startswith("--") and full.startswith(name)}
    if len(beginning) == 1:
        return beginning.pop()
    near = nearest(name, rows)
    hint = (
        near
        if near.startswith("did you")
        else "leave it out, or call `psij-run launch`, whose --help shows all it can do"
    )
    raise InvalidRequest(f"{command}: the {command} of psij-run has no option {name}", hint=hint)
