"""The option lines of one script: whose they are, and those that are passed on as they are to their own manager."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from ...errors import InvalidRequest, PluginError
from ..platform import Platform
from ..registry import platforms
from .option import Elsewhere, Option
from .reading import Directive, Reading, WrongLine, before_first_command
from .table import DirectiveTable
from .words import SIZE, is_own

if TYPE_CHECKING:
    from ..templates.parameters import Parameter

#: Words that a job of ours always says itself, whatever the lines say.
OURS = frozenset(
    (
        *("name", "directory", "stdin", "stdout", "stderr", "join", "append", "environment", "inherit_environment"),
        *("shell", "array", "array_limit", "elements", "after", "hold", "command"),
    )
)
#: Known options in a file that make it a description.
_DESCRIBES = 2
#: Words of ours that the manager may be told in ways that we do not know.
_MAY_BE_UNKNOWN = frozenset(("after",))


class PassedOn(NamedTuple):
    """The option lines that go to their manager as they are, and what they say: our words, and parameters.

    `removed` are the options that do not, because a job of ours says the same itself.
    """

    lines: tuple[str, ...]
    words: frozenset[str]
    parameters: frozenset[str]
    removed: tuple[Directive, ...]


@dataclass(frozen=True)
class ScriptLines:
    """The option lines that a script has of one platform."""

    platform: Platform
    text: str

    @property
    def table(self) -> DirectiveTable:
        """The options of the platform's submit command."""
        return self.platform.directive_table

    @cached_property
    def numbers(self) -> list[int]:
        """The numbers of the lines that count."""
        return [number for number, _ in self.table.lines(self.text)]

    @cached_property
    def describe(self) -> bool:
        """Whether the text is no script but a description of a job, whose lines have no prefix."""
        return self.table.describes(self.text)

    def are_some(self, *, anywhere: bool) -> bool:
        """Whether there are option lines: before the first command, with a known option; or `anywhere`, with any.

        Of a description most must be known, and several.
        """
        if not self.numbers:
            return False
        if self.describe:
            known = sum(one.option is not None for one in self.reading.directives)
            return known >= _DESCRIBES and 2 * known > len(self.reading.directives)
        if anywhere:
            return any(one.option or one.said.startswith("-") for one in self.reading.directives)
        head = {number for number, _ in before_first_command(enumerate(self.text.splitlines(), 1))}
        meant = (one for one in self.reading.directives if one.option is not None or one.said.startswith("--"))
        return any(one.line in head for one in meant)

    @cached_property
    def reading(self) -> Reading:
        """What they ask."""
        return self.table.read(self.text)

    def refused(self) -> list[tuple[Directive, str]]:
        """The options that a job of ours must not have, also on their own manager, each with the reason."""
        found = []
        for one in self.reading.directives:
            option = one.option
            if one.fault and option is None and one.line in self._wrong:
                found.append((one, one.fault))
            elif option is None or one.superseded:
                continue
            elif not option.sets and not option.parameter and option.instead:
                if option.elsewhere is Elsewhere.REFUSED:
                    found.append((one, option.instead))
            elif one.fault and option.elsewhere is Elsewhere.NEEDLESS:
                found.append((one, one.fault))  # with this value it is not needless: the command does something else
            elif (
                one.fault
                and OURS.issuperset(ours := _public(option.sets) or option.sets)
                and not (_MAY_BE_UNKNOWN.issuperset(ours))
            ):
                found.append((one, one.fault))
        return found

    @cached_property
    def _wrong(self) -> frozenset[int]:
        return frozenset(number for number, line in self.table.lines(self.text) if isinstance(line, WrongLine))

    def passed_on(self, taken: Collection[str], parameters: Collection[str]) -> PassedOn:
        """The lines for their own manager, without what is said otherwise: words that are `taken`, and `parameters`.

        An option that says several words goes as a whole, and so does what only several options say together.
        """
        removed = self._removed({*OURS, *taken, *self._of_parameters(parameters)}, parameters)
        kept = [one for one in self.reading.directives if one not in removed]
        lines: list[str] = []
        for number, line in self.table.lines(self.text):
            here = [one for one in self.reading.directives if one.line == number]
            if isinstance(line, WrongLine) or not here:
                continue
            if all(one in kept for one in here):
                lines.append(self._written(line))
            else:
                lines += [self._written(f" {_quoted(one)}") for one in here if one in kept]
        words = {word for one in kept for word in one.plain}
        if any(one.is_part for one in kept):
            words |= self.reading.derived.keys()
        said = {one.option.parameter for one in kept if one.option}
        return PassedOn(tuple(lines), frozenset(words), frozenset(said - {""}), tuple(removed))

    def _of_parameters(self, parameters: Collection[str]) -> set[str]:
        """The words that parameters say only together with options: these are then said anew, too."""
        options = (option for option in self.table.options if option.parameter in parameters and option.parameter)
        together = any(is_own(word) for option in options for word in option.sets)
        return {*self._together} if together else set()

    def _removed(self, taken: set[str], parameters: Collection[str]) -> list[Directive]:
        removed: list[Directive] = []
        while True:
            more = [
                one for one in self.reading.directives if one not in removed and self._goes(one, taken, parameters)
            ]
            if not more:
                return removed
            removed += more
            for one in more:
                if one.option is not None and one.option.elsewhere is Elsewhere.NEEDLESS:
                    continue
                taken |= one.plain - OURS
                sets = one.option.sets if one.option else ()
                if one.is_part and OURS.isdisjoint({*one.words, *sets}):
                    taken |= {*self._together, *filter(is_own, one.words)}

    @cached_property
    def _together(self) -> frozenset[str]:
        """The words that options say only together; where the job's size is among them, all about its size."""
        derived = frozenset(self.reading.derived) - OURS
        return derived if derived.isdisjoint(SIZE) else derived | SIZE

    def _goes(self, one: Directive, taken: Collection[str], parameters: Collection[str]) -> bool:
        option = one.option
        if option is None:
            return False
        if option.instead and not option.instead.startswith("say "):
            if option.elsewhere is Elsewhere.NEEDLESS:
                return True
            if not option.sets and not option.parameter:
                return option.elsewhere is not Elsewhere.REFUSED
        words = {*(one.words or option.sets)}
        if any(map(is_own, words)) and not OURS.isdisjoint({*words, *option.sets}):
            return True  # such as where stdout and stderr are joined
        if any(map(is_own, words)):
            words |= said_by(option) if one.fault else self._together
        known = not one.fault or not _MAY_BE_UNKNOWN.issuperset(words)
        return (not words.isdisjoint(taken) and known) or (bool(option.parameter) and option.parameter in parameters)

    def _written(self, line: str) -> str:
        return f"{self.table.written}{line}".replace("\t", " ").rstrip()


def _quoted(one: Directive) -> str:
    """An option as a line has it: a value that is not one plain word stands in quotes."""
    said, value = one.said, one.value
    if not value or not said.endswith(value) or (one.option is not None and one.option.arguments > 1):
        return said
    if not re.search(r"[\s\[\]()&|<>;'\"*#]", value):
        return said
    quote = "'" if '"' in value else '"'
    return f"{said.removesuffix(value)}{quote}{value}{quote}"


def said_by(option: Option) -> frozenset[str]:
    """The words that an option says, whatever its value is."""
    return _public((*option.sets, *option.about)) or SIZE


def _public(words: Collection[str]) -> frozenset[str]:
    return frozenset(word for word in words if not is_own(word))


def as_parameter(one: Directive, declared: Mapping[str, Parameter]) -> str:
    """NAME=VALUE of a parameter, of those declared, that says what an option says; '' where none does."""
    option = one.option
    if option is None:
        return ""
    if option.parameter and not option.instead:
        if (value := one.taken_by(declared)) is not None:
            items = value if isinstance(value, tuple) else ("yes" if value is True else value,)
            return f"{option.parameter}={','.join(map(str, items))}"
    elif one.way and option.instead:
        return ""
    if "directives" in declared:
        with suppress(InvalidRequest):
            declared["directives"].convert([one.joined])
            return f"directives={one.joined}"
    return ""


def families(text: str, target: Platform | None = None) -> list[ScriptLines]:
    """The option lines of a script for each platform that has some, also where those of two begin alike.

    They are those of the built-in platforms, and of the `target`. Of others than that there must be one before the first
    command, with an option that is known: what stands elsewhere may be anything.
    """
    found = {one.name: one for one in _with_lines(text)}
    if target is not None and target.option_lines:
        found[target.name] = target
    every = (ScriptLines(one, text) for one in found.values())
    return [lines for lines in every if lines.are_some(anywhere=lines.platform is target)]


def _with_lines(text: str) -> Iterator[Platform]:
    for _, platform in platforms(plugins=False):
        if isinstance(platform, PluginError) or not platform.option_lines:
            continue
        begins = "|".join(filter(None, (platform.option_lines, platform.describes)))
        if re.search(rf"^(?:{begins})", text, re.MULTILINE):
            yield platform


def by_lines(found: Collection[ScriptLines]) -> Mapping[tuple[int, ...], list[ScriptLines]]:
    """The same, those together that are of the same lines."""
    groups: dict[tuple[int, ...], list[ScriptLines]] = {}
    for lines in found:
        groups.setdefault(tuple(lines.numbers), []).append(lines)
    return groups
