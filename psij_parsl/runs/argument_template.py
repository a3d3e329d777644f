"""The words of launch lines: small jinja2 templates, each of which becomes one argument, or none where it is empty.

Most hold no more than names and plain conditions. Those are read here, in the same way: importing jinja2 takes longer
than all the rest of making a line, and hundreds of launches may start at once. The others are jinja2's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from ..errors import TemplateError

_TOKEN = re.compile(r"\{\{ (\w+) \}\}|\{% if (not )?(\w+) %\}|\{% (else|endif) %\}")
_LITERALS = frozenset(("true", "false", "none", "True", "False", "None", "not"))  # no names to jinja2
_SEPARATOR = "\x1f"


class _Condition(NamedTuple):
    name: str
    negated: bool
    yes: list[Any]
    no: list[Any]


class _Name(NamedTuple):
    name: str


def used(words: Sequence[str], what: str = "") -> set[str]:
    """The names that these words use. Raises `TemplateError`, beginning with `what`, for what is no template."""
    found: set[str] = set()
    for word in words:
        found |= _names(word, what)
    return found - {"each"}


def rendered(words: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """The arguments that they become. `{{ each(option, names) }}` gives an option and a name, as often as there are."""
    trees = [_tree(word) for word in words]
    if any(tree is None for tree in trees):  # all at once: making a template takes 1 ms
        text = _environment().from_string(_SEPARATOR.join(words)).render(values)
        return [part for part in text.split(_SEPARATOR) if part]
    return list(filter(None, ("".join(_said(tree or (), values)) for tree in trees)))


@cache
def _tree(word: str) -> list[Any] | None:
    """A word's pieces; None where only jinja2 can read it."""
    whole: list[Any] = []
    at, outer, place = whole, [], 0
    for token in _TOKEN.finditer(word):
        at.append(word[place : token.start()])
        place = token.end()
        name, negated, condition, end = token.groups()
        if name or condition:
            if (name or condition) in _LITERALS:
                return None
            at.append(_Name(name) if name else _Condition(condition, bool(negated), [], []))
            if condition:
                outer.append(at)
                at = at[-1].yes
        elif not outer:
            return None
        elif end == "else":
            if at is outer[-1][-1].no:
                return None
            at = outer[-1][-1].no
        else:
            at = outer.pop()
    at.append(word[place:])
    if outer or "\n" in word or any("{" in piece for piece in _texts(whole)):
        return None
    return whole


def _texts(tree: Sequence[Any]) -> list[str]:
    found = []
    for piece in tree:
        if isinstance(piece, _Condition):
            found += _texts(piece.yes) + _texts(piece.no)
        elif isinstance(piece, str):
            found.append(piece)
    return found


def _said(tree: Sequence[Any], values: Mapping[str, Any]) -> list[str]:
    said = []
    for piece in tree:
        if isinstance(piece, _Condition):
            said += _said(piece.no if bool(values[piece.name]) == piece.negated else piece.yes, values)
        else:
            said.append(str(values[piece.name]) if isinstance(piece, _Name) else piece)
    return said


@cache
def _names(word: str, what: str) -> set[str]:
    if "{" not in word:
        return set()
    if _tree(word) is not None:
        return {token[1] or token[3] for token in _TOKEN.finditer(word) if token[1] or token[3]}
    from jinja2 import TemplateSyntaxError, meta

    try:
        return meta.find_undeclared_variables(_environment().parse(word))
    except TemplateSyntaxError as error:
        raise TemplateError(f"{what}: the word {word!r} is no template: {error}") from error


@cache
def _environment() -> Any:
    from jinja2 import Environment, StrictUndefined

    made = Environment(undefined=StrictUndefined, autoescape=False)
    made.globals["each"] = _each
    return made


def _each(option: str, names: Sequence[str]) -> str:
    return _SEPARATOR.join(f"{option}{_SEPARATOR}{name}" for name in names)
