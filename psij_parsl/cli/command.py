"""What a command of `psij-run` is: its help, its flags, its argument, its function, and the exit codes of commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .flags import Argument, Flag, FlagTexts, FlagValues
from .output import Renderer

OWN_ERROR = 125  # of a command whose exit code is the job's otherwise: `run`, `wait` and `launch`
TIMED_OUT = 124  # as timeout(1)
READER_GONE = 141  # 128 + SIGPIPE: the reader of stdout has left


class Command(NamedTuple):
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


class Invocation(NamedTuple):
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
