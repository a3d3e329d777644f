"""Launch lines that are lists of jinja2 templates: each becomes one argument, or none where it is empty.

jinja2 is loaded for such a line alone: its import takes longer than all the rest of making one, and hundreds of
launches may start at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from ..errors import TemplateError

_SEPARATOR = "\x1f"


def used(templates: Sequence[str], what: str = "") -> set[str]:
    """The names that these templates use. Raises `TemplateError`, beginning with `what`, for what is no template."""
    return set().union(*(_names(template, what) for template in templates)) - {"each"}


def rendered(templates: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """The arguments that they become. `{{ each(option, names) }}` gives an option and a name, as often as there are."""
    text = _compiled(tuple(templates)).render(values)
    return [arg for arg in text.split(_SEPARATOR) if arg]


@cache
def _names(template: str, what: str) -> set[str]:
    from jinja2 import TemplateSyntaxError, meta

    try:
        return meta.find_undeclared_variables(_environment().parse(template))
    except TemplateSyntaxError as error:
        raise TemplateError(f"{what}: the word {template!r} is no template: {error}") from error


@cache
def _compiled(templates: Sequence[str]) -> Any:
    return _environment().from_string(_SEPARATOR.join(templates))  # all at once: making a template takes 1 ms


@cache
def _environment() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, autoescape=False)
    environment.globals["each"] = _each
    return environment


def _each(option: str, names: Sequence[str]) -> str:
    return _SEPARATOR.join(f"{option}{_SEPARATOR}{name}" for name in names)
