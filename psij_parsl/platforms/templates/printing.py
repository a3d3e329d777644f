"""What a template's code calls to print: the flattener sends it here, and the context has the `Quoting` of a rendering."""

from __future__ import annotations

from typing import Any

from ...errors import InvalidRequest, TemplateError
from . import quoting
from .quoting import Quoting, Shell, UnprintableError

QUOTING = " quoting"  # the name of it in the context; no template can spell it


def show(context: Any, where: str, names: str, value: Any) -> Shell:
    """What `{{ ... }}` prints. `where`: file and line; `names`: those in the expression."""
    current: Quoting = context.parent[QUOTING]
    try:
        return current.show(value)
    except UnprintableError as error:
        if value is None and names:
            raise InvalidRequest(
                f"{names} is not set, and the template prints it at {where}",
                hint="give it, or let the template ask first: {% if " + names.split(",")[0] + " %}",
            ) from error
        raise TemplateError(f"{where}: {{{{ {names or '...'} }}}} {error}") from error


def glue(where: str, *parts: Any) -> str:
    """What `~` joins."""
    try:
        return quoting.glue(parts)
    except UnprintableError as error:
        raise TemplateError(f"{where}: an expression with ~ {error}") from error


def switch(context: Any, where: str, section: str) -> Shell:
    """What `{{ section(...) }}` does."""
    current: Quoting = context.parent[QUOTING]
    current.section = section
    return Shell("")
