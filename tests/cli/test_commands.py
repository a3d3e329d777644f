"""Every command has one table: the quick parser and typer read the same from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from psij_parsl.cli import quick_parser, typer_app
from psij_parsl.cli.command import Command, Group
from psij_parsl.cli.commands import COMMANDS, HIDDEN, load
from psij_parsl.cli.flags import Flag


def places() -> Iterator[str]:
    for entry in COMMANDS.values():
        yield from entry.commands.values() if isinstance(entry, Group) else [entry]


def command_lines(command: Command) -> Iterator[list[str]]:
    """Each spelling of each flag in each of its forms, with the arguments that the command takes."""
    arguments = [] if command.argument is None else ["x", "y"] if command.argument.many else ["x"]
    for flag in command.flags:
        for spelling in flag.spellings:
            for form in forms(flag, spelling):
                yield [*form, *arguments]
                yield [*form, "--", *arguments]
                if not command.runs_program:
                    yield [*arguments, *form]
    yield arguments


def forms(flag: Flag, spelling: str) -> Iterator[list[str]]:
    if flag.switch:
        yield [spelling]
        return
    yield [spelling, "3"]
    yield [spelling, "--"]
    yield [f"{spelling}=3"] if spelling.startswith("--") else [f"{spelling}3"]


@pytest.mark.parametrize("place", sorted({*places()}))
def test_the_quick_parser_reads_what_typer_reads(place: str) -> None:
    command = load(place)
    for args in command_lines(command):
        assert quick_parser.parse(command, args) == typer_app.parse(command, args, name=command.name), args


@pytest.mark.parametrize("place", sorted({*places()}))
def test_what_is_wrong_is_left_to_typer(place: str) -> None:
    command = load(place)
    wrong = [["--help"], ["-h"], ["--no-such-flag"], ["-Z"]]
    wrong += [[flag.spellings[-1]] for flag in command.flags if not flag.switch]
    wrong += [[f"{flag.spellings[-1]}=yes"] for flag in command.flags if flag.switch]
    for args in wrong:
        assert quick_parser.parse(command, args) is None, args


def leaves(group: Any) -> Iterator[Any]:
    """The commands of a typer group that are no groups themselves."""
    for command in group.commands.values():
        yield from leaves(command) if hasattr(command, "commands") else [command]


def test_the_help_has_the_word_for_an_argument_and_no_type_of_python() -> None:
    found = list(leaves(typer_app.build(None)))
    assert {command.name for command in found} > {"render", "show"}
    for command in found:
        text = command.get_help(command.context_class(command, info_name=command.name))
        assert "<" not in text, text
        for param in command.params:
            if param.param_type_name == "argument":
                assert f"Arguments:\n  {param.metavar}  " in text
            else:
                assert param.opts[0] in text
        assert "Show this message and exit." in text


def test_every_command_is_named_and_described() -> None:
    for name, entry in COMMANDS.items():
        commands = entry.commands if isinstance(entry, Group) else {name: entry}
        for own_name, place in commands.items():
            command = load(place)
            assert own_name in HIDDEN or command.name == own_name
            assert command.summary.endswith(".")
            spellings = [spelling for flag in command.flags for spelling in flag.spellings]
            assert len(set(spellings)) == len(spellings)
            assert all(flag.help.endswith(".") or flag.help.endswith(")") for flag in command.flags)
