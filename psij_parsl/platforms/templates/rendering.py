"""The jinja2 environment of job templates, and the rendering of a flattened template in it.

The flattener sends what expressions print through three functions of the environment, which find the
`Quoting` of this rendering in the context: `show`, a filter, for jinja calls these directly, `glue` (the
template's `~`) and `switch` (its `section(...)`). The environment itself has no state of a rendering, so one serves all templates and threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import CodeType
from typing import Any

from jinja2 import Environment, StrictUndefined, Template, TemplateError, pass_context
from jinja2.runtime import Context, Undefined

from ...errors import InvalidRequest
from ...errors import TemplateError as FaultyTemplate
from . import quoting
from .formatters import FORMATTERS
from .quoting import Quoting, Shell, UnprintableError

_QUOTING = " quoting"  # the name of it in the context; no template can spell it
SHOW = " show"  # the name of `show` among the filters, likewise


class ScriptEnvironment(Environment):
    """Blocks leave no blank lines; undefined names are errors; macros and `{% set %}` blocks render to
    `Shell`.
    """

    concat = staticmethod(quoting.joined)  # Shell is a str, as jinja wants

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            undefined=StrictUndefined,
            autoescape=False,
        )
        self.filters.update(FORMATTERS)
        self.filters |= {"join": quoting.join, SHOW: self.show}
        self.globals = {name: self.globals[name] for name in ("range", "namespace")}

    @staticmethod
    @pass_context
    def show(context: Context, value: Any, where: str, names: str) -> Shell:
        """What `{{ ... }}` prints. `where`: file and line; `names`: those in the expression."""
        current: Quoting = context.parent[_QUOTING]
        if isinstance(value, Undefined):
            str(value)  # raises, in jinja's words
        try:
            return current.show(value)
        except UnprintableError as error:
            if value is None and names:
                raise InvalidRequest(
                    f"{names} is not set, and the template prints it at {where}",
                    hint="give it, or let the template ask first: {% if " + names.split(",")[0] + " %}",
                ) from error
            raise FaultyTemplate(f"{where}: {{{{ {names or '...'} }}}} {error}") from error

    @staticmethod
    def glue(where: str, *parts: Any) -> str:
        """What `~` joins."""
        for part in parts:
            if isinstance(part, Undefined):
                str(part)
        try:
            return quoting.glue(parts)
        except UnprintableError as error:
            raise FaultyTemplate(f"{where}: an expression with ~ {error}") from error

    @staticmethod
    @pass_context
    def switch(context: Context, where: str, section: str) -> Shell:
        """What `{{ section(...) }}` does."""
        current: Quoting = context.parent[_QUOTING]
        current.section = section
        return Shell("")


@cache
def environment() -> ScriptEnvironment:
    """The one environment."""
    return ScriptEnvironment()


def rendered(name: str, python: CodeType, values: Mapping[str, Any], current: Quoting) -> str:
    """The text of a template's code, as `Code.render`."""
    env = environment()
    template = Template.from_code(env, python, {**env.globals})
    context = template.new_context({**values, _QUOTING: current})
    try:
        return quoting.plain(quoting.joined(template.root_render_func(context)))
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise FaultyTemplate(f"{name}: cannot be rendered: {error}") from error
