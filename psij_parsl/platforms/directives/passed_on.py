"""What a job asks by options of the submit command that its parameters pass on as they are, or stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .reading import Directive
from .table import DirectiveTable


def options_passed_on(table: DirectiveTable, parameters: Mapping[str, Any]) -> dict[str, str]:
    """What is asked by options that parameters say or pass on as they are: word, or parameter -> the option.

    Whole options are in `directives`. A parameter may have the value of one option, of the parts of an option that
    have no row of their own (`-l name=value`), or what follows the beginning of a name (`+name=value`).
    """
    asked: dict[str, str] = {}
    for name, one in _passed(table, parameters):
        words = one.plain
        if one.option and one.option.parameter != name:
            words |= {one.option.parameter} - {""}
        asked |= dict.fromkeys(words, one.said)
    return asked


def words_passed_on(table: DirectiveTable, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The words of the same options, with their values."""
    return {word: value for _, one in _passed(table, parameters) for word, value in one.words.items()}


def _passed(table: DirectiveTable, parameters: Mapping[str, Any]) -> Iterator[tuple[str, Directive]]:
    for name, value in parameters.items():
        lines = _passed_lines(table, name, [*value] if isinstance(value, list | tuple) else [value])
        for one in table.reading([(0, line) for line in lines]).directives:
            yield name, one


def _passed_lines(table: DirectiveTable, parameter: str, items: Sequence[Any]) -> list[str]:
    """The option lines that the items of a parameter are, or stand for."""
    if parameter == "directives":
        return [table.bare(str(item)) for item in items]
    rows = [row for row in table.options if row.parameter == parameter and row.arguments]
    heads = [row.names[0] for row in rows]
    if head := next((head for head in heads if head in table.parts), ""):
        return [f"{head} {item}" for item in items]
    if head := next((head for head in heads if head.endswith("*")), ""):
        return [f"{head[:-1]}{each}" for item in items for each in str(item).split(",")]
    names = [row.name for row in rows if " " not in row.name]
    return [f"{name}{'=' if name.startswith('--') else ' '}{item}" for name in names for item in items]
