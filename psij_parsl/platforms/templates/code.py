"""The code of a template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

from ...data_classes import dataclass
from ...errors import Error
from . import quoting
from .plain_runtime import FAULTS, NotPlainError, render_plainly
from .quoting import Quoting


@dataclass(frozen=True)
class Code:
    """A flattened template as Python code. `uses`: the names that it takes from outside."""

    name: str
    uses: frozenset[str]
    python: CodeType

    def render(self, values: Mapping[str, Any], quote: Callable[[str], str]) -> str:
        """The text; `quote` writes a text in a directive line.

        Raises our TemplateError for what the template does wrong, InvalidRequest for what a value does.
        """
        try:
            return quoting.plain(render_plainly(self.python, values, Quoting(quote)))
        except (NotPlainError, Error, *FAULTS):  # whatever it is, jinja2 does it, or says it in its own words
            from .rendering import render_by_jinja

            return render_by_jinja(self.name, self.python, values, Quoting(quote))
