"""The jinja2 environment of job templates, and the rendering of a flattened template in it.

The flattener sends what expressions print through three attributes of the environment, which find the
`Quoting` of this rendering in the context: `show`, `glue` (the template's `~`) and `switch` (its
`section(...)`); see `printing`. The environment itself has no state of a rendering, so one serves all templates and threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import CodeType
from typing import Any

from jinja2 import Environment, StrictUndefined, Template, TemplateError, pass_context
from jinja2.runtime import Context, Undefined

from ...errors import TemplateError as FaultyTemplate
from . import printing, quoting
from .formatters import FORMATTERS
from .quoting import Quoting, Shell


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
        self.filters["join"] = quoting.join
        self.globals = {name: self.globals[name] for name in ("range", "namespace")}

    @staticmethod
    @pass_context
    def show(context: Context, where: str, names: str, value: Any) -> Shell:
        if isinstance(value, Undefined):
            str(value)  # raises, in jinja's words
        return printing.show(context, where, names, value)

    @staticmethod
    def glue(where: str, *parts: Any) -> str:
        for part in parts:
            if isinstance(part, Undefined):
                str(part)
        return printing.glue(where, *parts)

    switch = staticmethod(pass_context(printing.switch))


@cache
def environment() -> ScriptEnvironment:
    """The one environment."""
    return ScriptEnvironment()


def rendered(name: str, python: CodeType, values: Mapping[str, Any], current: Quoting) -> str:
    """The text of a template's code, as `Code.render`."""
    env = environment()
    template = Template.from_code(env, python, {**env.globals})
    context = template.new_context({**values, printing.QUOTING: current})
    try:
        return quoting.plain(quoting.joined(template.root_render_func(context)))
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise FaultyTemplate(f"{name}: cannot be rendered: {error}") from error
