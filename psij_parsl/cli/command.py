"""What a command of `psij-run` is: its help, its flags, its argument, and the function that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .flags import Argument, Flag, FlagTexts, FlagValues
from .output import Renderer


@dataclass(frozen=True)
class Command:
    """One command. `summary` is the first line of its help, `details` are the paragraphs below.

    `runs_program`: what follows the first argument belongs to the program that is to run, flags included.
    `foreground`: its exit code is the job's, so an error of psij-run itself is 125.
    """

    name: str
    summary: str
    run: Callable[[Renderer, Invocation], int]
    flags: tuple[Flag, ...] = ()
    argument: Argument | None = None
    details: str = ""
    examples: tuple[str, ...] = ()
    runs_program: bool = False
    foreground: bool = False


@dataclass(frozen=True)
class Invocation:
    """A command as it was typed: flags by name, arguments, and whether these came after `--`."""

    command: Command
    texts: FlagTexts
    arguments: Sequence[str] = ()
    after_dashes: bool = False

    @property
    def argument(self) -> str | None:
        """The argument of a command that takes one."""
        return self.arguments[0] if self.arguments else None

    def values(self) -> FlagValues:
        """The flags after conversion. Raises `InvalidRequest` for a wrong one."""
        return {
            flag.name: flag.value(self.texts[flag.name]) for flag in self.command.flags if flag.name in self.texts
        }


class Group(NamedTuple):
    """Commands under one name: name of the command -> `module:NAME` below `cli/commands`."""

    summary: str
    commands: Mapping[str, str]
