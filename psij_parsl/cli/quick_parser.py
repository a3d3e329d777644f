"""Reads command lines by the table of flags, without typer.

Whatever is wrong, or asks for help, is left to typer, which gets the same table (`typer_app.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from .command import Command, Invocation
from .flags import Flag, collect


def parse(command: Command, args: Sequence[str]) -> Invocation | None:
    """The arguments of a command as typer would read them; None if they are not right, or ask for help.

    Raises `InvalidRequest` as `collect` does.
    """
    flags = {spelling: flag for flag in command.flags for spelling in flag.spellings}
    typed: dict[str, Any] = {}
    arguments: list[str] = []
    after_dashes = False
    rest = deque(args)
    while rest:
        arg = rest.popleft()
        if arg == "--":
            after_dashes = command.runs_program
            arguments += rest
            break
        if not arg.startswith("-") or arg == "-":
            arguments.append(arg)
            if command.runs_program:
                arguments += rest
                break
        elif not _read_flag(arg, rest, flags, typed):
            return None
    if not _fits(command, arguments):
        return None
    return Invocation(command, collect(typed, command.flags), arguments, after_dashes)


def _read_flag(arg: str, rest: deque[str], flags: dict[str, Flag], typed: dict[str, Any]) -> bool:
    """Put one flag and its value into `typed`; False if there is no such flag, or no value for it."""
    name, equals, value = arg.partition("=")
    if not arg.startswith("--"):  # -vN2
        name, equals, value = arg[:2], "", arg[2:]
    flag = flags.get(name)
    if flag is None or (flag.switch and equals):
        return False
    if flag.switch:
        typed[flag.name] = True
        if value:
            rest.appendleft(f"-{value}")
        return True
    if not value and not equals:
        if not rest:
            return False
        value = rest.popleft()
    if flag.many or flag.once:
        typed.setdefault(flag.name, []).append(value)
    else:
        typed[flag.name] = value
    return True


def _fits(command: Command, arguments: Sequence[str]) -> bool:
    """Whether the command takes so many arguments."""
    argument = command.argument
    if argument is None:
        return not arguments
    return (bool(arguments) or not argument.required) and (argument.many or len(arguments) <= 1)


def program_start(command: Command, args: Sequence[str]) -> tuple[int, bool]:
    """Where the arguments of the program begin that a command runs, and whether they come after `--`.

    The program begins after `--`, or at the first argument that is no flag. Wrong flags are passed over.
    """
    if not command.runs_program:
        return len(args), False
    takes_value = {spelling for flag in command.flags if not flag.switch for spelling in flag.spellings}
    index = 0
    while index < len(args):
        arg = args[index]
        if arg == "--":
            return index + 1, True
        if not arg.startswith("-") or arg == "-":
            return index, False
        if not arg.startswith("--"):  # -N2 or -vN 2: the first letter that takes a value has the rest
            letters = [f"-{letter}" for letter in arg[1:]]
            flag = next((letter for letter in letters if letter in takes_value), "")
            arg = flag if flag == letters[-1] else ""
        index += 2 if arg in takes_value else 1
    return min(index, len(args)), False
