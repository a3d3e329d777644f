"""What a flag and an argument of a command are: one definition for parsing, help, completion, errors and the docs.

Nothing in this module needs typer, whose import takes longer than all the rest of most commands. What every command
imports is made of named tuples, for their classes are made four times faster than those of data classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import InvalidRequest

FlagTexts = dict[str, Any]
"""Flags as they were typed: name of the flag -> its text, a list of texts, or True for a switch."""

FlagValues = dict[str, Any]
"""The same flags after conversion: name of the flag -> its value."""


class Flag(NamedTuple):
    """One flag. `read` converts its text, or the list of its texts if it may be repeated (`many`); `switch`: no value.

    What is repeated adds up, over all places where it was given or, with `replaces`, within the strongest of them. Of
    other flags the last one counts, unless it can be given `once` only.
    `variable`: also read from PSIJ_RUN_<NAME>; `in_script`: may stand on a `#PSIJ` line.
    `complete` names the function in `completion.py` that lists what the shell offers for it. `default` is a text.
    """

    name: str
    spellings: Sequence[str]
    metavar: str
    help: str
    read: Callable[[Any], Any] = str
    many: bool = False
    replaces: bool = False
    once: bool = False
    switch: bool = False
    variable: bool = False
    in_script: bool = True
    complete: str = ""
    default: str = ""

    @property
    def environ(self) -> str:
        """The environment variable that gives its default."""
        return f"PSIJ_RUN_{self.name.upper()}"

    @property
    def shown(self) -> str:
        """Its best known spelling, for messages."""
        return self.spellings[0]

    def value(self, text: Any, *, name: str = "", where: str = "") -> Any:
        """Convert what was typed. Raises `InvalidRequest`, which names the flag and where it was given.

        `name`: how messages call it (default: its best known spelling).
        """
        if self.switch:
            return text
        prefix = f"{where}: " if where else ""
        try:
            return self.read(text)
        except InvalidRequest as error:
            raise InvalidRequest(f"{prefix}{error.message}", hint=error.hint) from error
        except ValueError as error:
            raise InvalidRequest(f"{prefix}{name or self.shown} {text}: it {error}", hint=self.help) from error


class Argument(NamedTuple):
    """What a command takes besides flags: one text, or any number of them if `many`."""

    name: str
    metavar: str
    help: str
    many: bool = True
    required: bool = False
    complete: str = ""


JSON = Flag("json", ("--json",), "", "Print answers and errors as JSON.", switch=True, in_script=False)


def collect(typed: Mapping[str, Any], flags: Sequence[Flag]) -> FlagTexts:
    """The flags that a parser has found, without those that were not given.

    Raises `InvalidRequest` for one without a value, and for two values where only one is possible.
    """
    texts: FlagTexts = {}
    for flag in flags:
        text = typed.get(flag.name)
        if flag.once and text:
            text = _only_one(flag, text)
        if text == "":
            raise empty_value(flag.shown)
        if text:
            texts[flag.name] = text
        elif flag.default:
            texts[flag.name] = flag.default
    return texts


def empty_value(name: str) -> InvalidRequest:
    """The error for a flag or an argument with an empty text."""
    return InvalidRequest(
        f"{name} is empty", hint="give it a value, or leave it out; perhaps a variable or $(...) was empty"
    )


def _only_one(flag: Flag, texts: Sequence[str]) -> str:
    other = next((text for text in texts if text != texts[0]), None)
    if other is not None:
        raise given_twice(flag, texts[0], other)
    return texts[0]


def given_twice(flag: Flag, first: str, other: str) -> InvalidRequest:
    """The error for a flag that can be given only once."""
    return InvalidRequest(
        f"{flag.shown} is given twice, as {first} and as {other}", hint=f"give {flag.shown} {flag.metavar} once"
    )
