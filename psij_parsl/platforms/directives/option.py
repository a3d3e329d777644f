"""One option of a submit command: what it means to us, and what becomes of it on another manager."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ...job_size import FLAGS

# What `instead` says in several tables.
NO_TERMINAL = "a job has no terminal"
WAITS = "`psij-run run` and `psij-run wait` wait for a job's end"


class Elsewhere(Enum):
    """What becomes of an option on another manager."""

    TRANSLATED = "means the same"
    DROPPED = "can be left out"
    NEEDLESS = "is not needed"
    REFUSED = "has no equivalent"


@dataclass(frozen=True)
class Option:
    """One option of a submit command.

    `names` are its spellings, the clearest last. `arguments`: how many it takes; `optional`: its one argument may be
    left out, and is otherwise joined by `=`. `sets` is the word that `read` makes of its value, or several: then `read`
    gives a mapping. `read` raises `ValueError` for a value that is wrong, and `NoEquivalent`. `parameter` is the
    platform's own parameter that has this value, as `for_parameter` converts it, which raises `ValueError` for a value
    that the parameter cannot have. `about` are words that it is about, where
    those of `sets` do not tell. `unsaid` are values that our own flags cannot say. With `adds` an option that is said
    again adds to itself also where the last one counts (`DirectiveTable.last_counts`). `instead` is how psij-run is told that; an option without words and
    parameter that has it must not be in a job of ours at all.
    """

    names: tuple[str, ...]
    sets: tuple[str, ...] = ()
    read: Callable[[str], Any] = str
    parameter: str = ""
    for_parameter: Callable[[str], Any] = str
    unsaid: tuple[str, ...] = ()
    adds: bool = False
    about: tuple[str, ...] = ()
    arguments: int = 1
    optional: bool = False
    elsewhere: Elsewhere = Elsewhere.TRANSLATED
    instead: str = ""

    @property
    def name(self) -> str:
        """The clearest spelling."""
        return self.names[-1]

    @property
    def way(self) -> str:
        """How psij-run is told what this option says; '' where it has no other way than the option itself."""
        if self.parameter and not self.instead:
            is_switch = not self.arguments or (self.optional and self.sets)
            return f"say -X {self.parameter}={'yes' if is_switch else 'VALUE'}"
        return self.way_elsewhere

    @property
    def way_elsewhere(self) -> str:
        """The same for a job on another manager, which does not have this one's parameters."""
        if self.instead:
            return self.instead
        flags = [FLAGS[word].partition("/")[0] for word in self.sets if word in FLAGS]
        return f"say {flags[0]}" if flags else ""

    def words(self, value: str) -> Mapping[str, Any]:
        """The words that this value sets. Raises `ValueError`, and `NoEquivalent`."""
        if not self.sets:
            return {}
        found = self.read(value)
        return {self.sets[0]: found} if len(self.sets) == 1 else found


def means(
    names: str, sets: str = "", read: Callable[[str], Any] = str, *, arguments: int = 1, **settings: Any
) -> Option:
    """An option that sets words: both `names` and `sets` are texts with blanks between."""
    return Option(_spellings(names), tuple(sets.split()), read, arguments=arguments, **settings)


def switch(names: str, word: str = "", value: Any = True, **settings: Any) -> Option:
    """An option without argument that sets one word to this value."""
    return means(names, word, lambda _: value, arguments=0, **settings)


def only_here(names: str, *, arguments: int = 1, **settings: Any) -> Option:
    """An option that no other manager has."""
    return Option(_spellings(names), arguments=arguments, elsewhere=Elsewhere.REFUSED, **settings)


def dropped(names: str, *, arguments: int = 1, **settings: Any) -> Option:
    """An option that a job can do without on another manager, such as mail."""
    return Option(_spellings(names), arguments=arguments, elsewhere=Elsewhere.DROPPED, **settings)


def needless(names: str, instead: str, *, arguments: int = 0, **settings: Any) -> Option:
    """An option for what psij-run does in any case, or has no use for. `instead` says so."""
    return Option(_spellings(names), arguments=arguments, elsewhere=Elsewhere.NEEDLESS, instead=instead, **settings)


def refused(names: str, instead: str, *, arguments: int = 1, **settings: Any) -> Option:
    """An option that changes what the submit command does, or for whom. `instead` says what to do."""
    return Option(_spellings(names), arguments=arguments, elsewhere=Elsewhere.REFUSED, instead=instead, **settings)


def _spellings(names: str) -> tuple[str, ...]:
    """`-l walltime` is one name: a part of an option's value (see `DirectiveTable.parts`)."""
    found: list[str] = []
    for name in names.split():
        if name.startswith("-") or not found or not found[-1].startswith("-"):
            found.append(name)
        else:
            found[-1] += f" {name}"
    return tuple(found)
