"""The code of a template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any, NamedTuple

from .quoting import Quoting


class Code(NamedTuple):
    """A flattened template as Python code. `uses`: the names that it takes from outside."""

    name: str
    uses: frozenset[str]
    python: CodeType

    def render(self, values: Mapping[str, Any], quote: Callable[[str], str]) -> str:
        """The text; `quote` writes a text in a directive line.

        Raises our TemplateError for what the template does wrong, InvalidRequest for what a value does.
        """
        from .rendering import rendered

        return rendered(self.name, self.python, values, Quoting(quote))
