"""What a script's option lines ask: the lines that count, each option, and the words of all of them together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...dependency import SINGLETON
from ...errors import InvalidRequest
from .option import Elsewhere, Option
from .words import WORDS, is_own

if TYPE_CHECKING:
    from ..templates.parameters import Parameter

# ---- which lines of a script are option lines ----------------------------------------------------------------------

Lines = Iterable[tuple[int, str]]
"""Lines with their numbers, from 1."""


@dataclass(frozen=True)
class WrongLine:
    """An option line that a script must not have, or not where it stands; `why` says so."""

    said: str
    why: str


OptionLines = Iterable[tuple[int, str | WrongLine]]
"""Lines with their numbers, and in place of those that are wrong in a script what is wrong."""


def before_first_command(lines: Lines) -> Lines:
    """Those up to the first one that is neither blank nor a comment."""
    for number, line in lines:
        if line.strip() and not line.lstrip().startswith("#"):
            return
        yield number, line


def all_lines(lines: Lines) -> Lines:
    """All of them."""
    return lines


def joined_lines(lines: Lines, goes_on: str, prefix: str = "") -> Iterator[tuple[int, str]]:
    """The lines, those joined that go on in the next one, which has the number of the first.

    The pattern `goes_on` is that of such a line, its group 1 what counts of it; a line that goes on another one counts
    without `prefix`, a pattern too.
    """
    begun: tuple[int, str] | None = None
    for number, line in lines:
        first, text = (begun[0], begun[1] + re.sub(f"^{prefix}", "", line)) if begun else (number, line)
        match = re.fullmatch(goes_on, text)
        begun = (first, match[1]) if match else None
        if not begun:
            yield first, text
    if begun:
        yield begun


# ---- what they ask --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Directive:
    """One option of an option line: what was said, and what it means to us.

    `said` is the option as written, `option` its row in the table, None if it has none. `fault` is why it has no
    meaning for us, or why its value is wrong. `superseded`: it is said twice, and another line counts.
    """

    line: int
    said: str
    value: str
    option: Option | None
    words: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""
    superseded: bool = False

    @property
    def way(self) -> str:
        """How psij-run is told what this option says with this value; '' where it has no other way than the option."""
        if self.option is None or self.value in self.option.unsaid:
            return ""
        try:
            self.for_parameter()
        except ValueError:
            return ""
        return self.option.way

    @property
    def plain(self) -> set[str]:
        """The words that it says by itself."""
        return {word for word in self.words if not is_own(word)}

    @property
    def is_part(self) -> bool:
        """Whether it says something only together with other options."""
        return any(map(is_own, self.words))

    @property
    def joined(self) -> str:
        """The option in one word, by its clearest name: `--nodes=2`."""
        known = self.option is not None and self.said.startswith(self.option.names)
        name = self.option.name if self.option and known else self.said.partition(" ")[0]
        return f"{name.partition('=')[0]}={self.value}" if self.value else name

    def for_parameter(self) -> Any:
        """The value for the parameter that stands for this option; True for a switch.

        Raises `ValueError` for one that the parameter cannot have.
        """
        return self.option.for_parameter(self.value) if self.option and self.value else True

    def taken_by(self, declared: Mapping[str, Parameter]) -> Any:
        """The value for the parameter that stands for this option; None where that, as declared, does not take it."""
        try:
            value = self.for_parameter()
            if self.option is not None:
                declared[self.option.parameter].convert(value)
        except (InvalidRequest, ValueError):
            return None
        return value


@dataclass(frozen=True)
class Reading:
    """What a script's option lines ask: each option, and the words of all of them together."""

    directives: tuple[Directive, ...]
    words: Mapping[str, Any]

    @property
    def derived(self) -> Mapping[str, Any]:
        """The words that no option sets by itself: what those for the table's own use come to."""
        said = {word for one in self.directives for word in one.words}
        return {word: value for word, value in self.words.items() if word not in said}

    def dropped(self) -> list[Directive]:
        """The options that would be left out on another manager."""
        return [one for one in self.directives if one.option and one.option.elsewhere is Elsewhere.DROPPED]

    def untranslatable(self, words: Iterable[str] = tuple(WORDS)) -> list[tuple[Directive, str]]:
        """The options that another manager, which has these words, cannot be asked for; each with the reason."""
        known, found = {*words}, []
        for one in self.directives:
            if one.superseded:
                continue
            if one.option is None:
                found.append((one, one.fault))
            elif one.option.elsewhere is Elsewhere.REFUSED:
                found.append((one, one.option.instead or "has no equivalent"))
            elif one.fault:
                way = "" if "say -" in one.fault else one.option.way_elsewhere
                found.append((one, f"{one.fault}; {way}" if way else one.fault))
            elif one.option.elsewhere is Elsewhere.TRANSLATED:
                meant = one.plain
                if one.is_part:
                    meant |= self.derived.keys()
                if set(one.words.get("after", ())) - {SINGLETON}:
                    found.append((one, f"waits for jobs that {one.option.name} knows by their ids there"))
                elif not one.option.sets or not known.issuperset(meant):
                    found.append((one, "has no equivalent"))
        return found

    def parameters(self) -> dict[str, Any]:
        """The values of the platform's own parameters; where a parameter is said several times, a tuple of them."""
        found: dict[str, Any] = {}
        for one in self.directives:
            if one.option and (name := one.option.parameter) and not one.superseded:
                try:
                    add(found, name, one.for_parameter())
                except ValueError:
                    continue
        return found


def add(parameters: dict[str, Any], name: str, value: Any) -> None:
    """Set a parameter; one that has a value already gets a tuple of both."""
    parameters[name] = (*_as_tuple(parameters[name]), *_as_tuple(value)) if name in parameters else value


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
