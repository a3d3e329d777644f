"""The table of a submit command's options, and how a script's option lines are read with it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from .habits import Habits
from .option import Option
from .reading import Directive, Lines, OptionLines, Reading, WrongLine, before_first_command
from .words import NoEquivalent, is_own

_NO_HABITS = Habits()
_LONGEST = 65536  # characters of an option line


@dataclass(frozen=True)
class DirectiveTable:
    """The options of one manager's submit command, and how its option lines are written.

    - `command` is that command's name, for messages.
    - `prefix` is a pattern of what an option line begins with; `written` the usual form of it.
    - `which` takes all lines and gives those that may be option lines, and for one that is wrong a `WrongLine`.
    - `without_prefix` gives the option lines of a file in which none has the prefix, where people have such.
    - `split` makes the words of a line's rest; it raises `ValueError` for one that cannot be split.
    - `parts` are options whose value has parts with names, `-l walltime=…,mem=…`, with a function that gives each
      part's name and value. A part is looked up as "OPTION NAME", and as the option itself if it has no row. A value
      may begin with the name, where it is written so: `span[ptile=4]`.
    - `settle` makes our words of the words of all options. Words for its own use begin with `_`, and are left out of what
      it gives. It raises `NoEquivalent` with a word whose options have no equivalent.
    - `last` are options that count as if they stood below all others, wherever they do.
    - `first` are options with parts, of which one that is said again counts no more.
    - `one_dash`: names of several letters have one dash, too (`-pe`). `joined`: a value may follow a name of one letter
      at once (`-N2`). `abbreviated`: a long name may be cut short. `any_case`: names without a dash, such as those of
      parts, mean the same in any case.

    - `habits` are what its scripts expect of a job beyond that.

    With `last_counts` an option that is said again replaces all that it said before; else lists and variables add up. A
    row's name that ends in `*` stands for all that begin so. What follows is then the value: of `+Kind=3` and `+*`
    it is `Kind=3`.
    """

    command: str
    prefix: str
    written: str
    options: tuple[Option, ...]
    which: Callable[[Lines], OptionLines] = before_first_command
    without_prefix: Callable[[Lines], OptionLines] | None = None
    split: Callable[[str], Sequence[str]] = shlex.split
    parts: Mapping[str, Callable[[str], Iterable[tuple[str, str]]]] = field(default_factory=dict)
    settle: Callable[[dict[str, Any]], Mapping[str, Any]] = dict
    last: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    one_dash: bool = False
    joined: bool = True
    habits: Habits = _NO_HABITS
    abbreviated: bool = False
    any_case: bool = False
    last_counts: bool = False

    @cached_property
    def _rows(self) -> Mapping[str, Option]:
        return {name: option for option in self.options for name in option.names}

    @cached_property
    def _beginnings(self) -> tuple[str, ...]:
        return tuple(name for name in self._rows if name.endswith("*"))

    def option(self, name: str) -> Option | None:
        """The row of an option by any of its names, or by a beginning that is no other's; None if there is none."""
        head, _, part = name.partition(" ")
        if part and self.any_case:
            name = f"{head} {part.lower()}"
        elif self.any_case and not name.startswith("-"):
            name = name.lower()
        if name in self._rows:
            return self._rows[name]
        if self.abbreviated and name.startswith("--"):
            found = self.beginning_with(name)
            return found[0] if len(found) == 1 else None
        return None

    def beginning_with(self, name: str) -> list[Option]:
        """The rows that this beginning of a long name may stand for; the command itself may know others."""
        if name in self._rows:
            return [self._rows[name]]
        whole = {full: option for full, option in self._rows.items() if " " not in full}  # no part has a dash
        return list(dict.fromkeys(option for full, option in whole.items() if full.startswith(name)))

    def lines(self, text: str) -> list[tuple[int, str | WrongLine]]:
        """The option lines of a script, by number, without their prefix."""
        begins, numbered = re.compile(self.prefix), _numbered(text)
        if self.without_prefix and self.describes(text):
            return [*self.without_prefix(numbered)]
        found: list[tuple[int, str | WrongLine]] = []
        for number, line in self.which(numbered):
            if isinstance(line, WrongLine):
                found.append((number, line))
            elif match := begins.match(line):
                found.append((number, line[match.end() :]))
        return found

    def describes(self, text: str) -> bool:
        """Whether a file may be a description without prefix: a script begins with `#!`, or has lines with one."""
        if self.without_prefix is None or text.startswith("#!"):
            return False
        return re.search(f"^(?:{self.prefix})", text, re.MULTILINE) is None

    def bare(self, line: str) -> str:
        """An option line without its prefix, which may be missing."""
        return re.sub(rf"^\s*(?:{self.prefix})", "", line)

    def unread(self, text: str) -> list[int]:
        """The numbers of lines that look like option lines and stand where none counts."""
        looks = re.compile(rf"(?:{self.prefix})\s*-")
        counting = {number for number, _ in self.lines(text)}
        return [number for number, line in _numbered(text) if looks.match(line) and number not in counting]

    def read(self, text: str) -> Reading:
        """What a script asks by its option lines."""
        return self.reading(self.lines(text))

    def reading(self, lines: OptionLines) -> Reading:
        """What these options ask, which are lines without the prefix."""
        found: list[Directive] = []
        for number, line in lines:
            if isinstance(line, WrongLine):
                found.append(Directive(number, line.said, "", None, fault=line.why))
                continue
            try:
                if len(line) > _LONGEST:
                    raise ValueError(f"it has {len(line)} characters")
                words = self.split(line)
            except ValueError as error:
                found.append(Directive(number, line.strip(), "", None, fault=f"cannot be split ({error})"))
                continue
            for one in self._options(words):
                found += map(self._understood, (replace(part, line=number) for part in self._parts_of(one)))
        return _settled(_said_once(found, self), self)

    def _options(self, words: Sequence[str]) -> Iterator[Directive]:
        """The options among the words of a line, with their arguments."""
        left = list(words)
        while left:
            said = left.pop(0)
            name, value, joined = self._named(said)
            option = self.option(name)
            if option is None:
                if left and not joined and not left[0].startswith("-"):
                    value = left.pop(0)
                text = said if joined or not value else f"{said} {value}"
                yield Directive(0, text, value, None, fault=f"is no option of {self.command} that is known here")
                continue
            wanted = 0 if joined else option.arguments if not option.optional else 0
            if len(left) < wanted:
                there = " ".join(left)
                yield Directive(0, f"{said} {there}".strip(), there, option, fault="lacks its value")
                return
            if wanted:
                value, left = " ".join(left[:wanted]), left[wanted:]
            elif joined and not option.arguments and not name.startswith("--"):
                left.insert(0, f"-{value}")  # several switches in one word: -sH
                said, value = name, ""
            yield Directive(0, said if not wanted else f"{said} {value}", value, option)

    def _named(self, said: str) -> tuple[str, str, bool]:
        """The name in a word, the value that is joined to it, and whether there is one."""
        name, equals, value = said.partition("=")
        if self._beginnings and self.option(name) is None:
            for row in self._beginnings:
                begin, rest = said[: len(row) - 1], said[len(row) - 1 :]
                if row == f"{begin.lower() if self.any_case else begin}*":
                    return row, rest, True
        if said.startswith("--") or not said.startswith("-") or said in self._rows:
            return (name, value, bool(equals)) if said not in self._rows else (said, "", False)
        if self.one_dash and name in self._rows:
            return name, value, bool(equals)
        if not self.joined:
            return said, "", False
        short, rest = said[:2], said[2:]
        return short, rest.removeprefix("="), bool(rest)

    def _parts_of(self, one: Directive) -> Iterator[Directive]:
        """An option, or the parts of its value."""
        split = self.parts.get(one.option.names[0]) if one.option and not one.fault else None
        if split is None or one.option is None:
            yield one
            return
        head = one.option.names[0]
        try:
            parts = [*split(one.value)]
        except ValueError as error:
            yield replace(one, fault=str(error))
            return
        for name, value in parts:
            row = self.option(f"{head} {name}") if name else None
            named = value.startswith(f"{name}[")  # `span[ptile=4]` has its name, and no `=`
            text = value if named or not name else f"{name}={value}" if value else name
            yield Directive(one.line, f"{head} {text}", value if row else text, row or one.option)

    def _understood(self, one: Directive) -> Directive:
        """With the words that its value sets, or the reason why it sets none."""
        if one.option is None or one.fault:
            return one
        try:
            return replace(one, words=one.option.words(one.value))
        except ValueError as error:
            return replace(one, fault=str(error))


def _numbered(text: str) -> list[tuple[int, str]]:
    """The lines of a file, whichever line ends it has."""
    return [*enumerate(re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff")), 1)]


def _settled(found: list[Directive], table: DirectiveTable) -> Reading:
    """The words of all options together; those that `table.settle` refuses get the reason as their fault."""
    while True:
        words: dict[str, Any] = {}
        for one in sorted(found, key=lambda one: bool(one.option and one.option.names[0].split()[0] in table.last)):
            if not one.fault and not one.superseded:
                for name, value in one.words.items():
                    words[name] = _joined(words.get(name), value)
        try:
            settled = table.settle(words)
            return Reading(tuple(found), {name: value for name, value in settled.items() if not is_own(name)})
        except NoEquivalent as error:
            if not any(error.word in one.words for one in found if not one.fault):
                raise
            found = [
                replace(one, fault=str(error)) if error.word in one.words and not one.fault else one for one in found
            ]


def _said_once(found: Sequence[Directive], table: DirectiveTable) -> list[Directive]:
    """Of an option that is said again, and does not add to itself, all but the one that counts are superseded."""

    def first_counts(option: Option) -> bool:
        head, _, part = option.name.partition(" ")
        return bool(part) and head in table.first

    counting: dict[Option, int] = {}
    for place, one in enumerate(found):
        if one.option and not (one.option in counting and first_counts(one.option)):
            counting[one.option] = place
    return [
        replace(one, superseded=True)
        if one.option
        and counting[one.option] != place
        and (first_counts(one.option) or (table.last_counts and not one.option.adds))
        else one
        for place, one in enumerate(found)
    ]


def _joined(before: Any, value: Any) -> Any:
    """The value of a word that is said again: lists and variables add up, else the last one counts."""
    if isinstance(before, tuple) and isinstance(value, tuple):
        return before + value
    if isinstance(before, dict) and isinstance(value, dict):
        return {**before, **value}
    return value
