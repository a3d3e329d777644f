"""A small part of jinja2's runtime, for code that needs no more of it: to import jinja2 takes longer than to submit a job.

Generated code takes names from `jinja2.runtime`, and the rest from its environment and its context. Here it has those
that templates of job scripts need, each doing as jinja2's own. What is missing, or what the code does with a name that
is undefined, is an exception; so is all else that goes wrong. Then jinja2 renders the code, and explains it.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from operator import getitem
from types import BuiltinMethodType, CodeType, SimpleNamespace
from typing import Any

from . import printing, quoting
from .formatters import FORMATTERS
from .quoting import Quoting, Shell

FAULTS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError)
"""What Python raises for the faults of a template."""


class NotPlainError(Exception):
    """The code needs jinja2 itself."""


def render_plainly(python: CodeType, values: Mapping[str, Any], current: Quoting) -> Shell:
    """What the code of a template renders. Raises one of `FAULTS`, or our own error, if that is not for this runtime."""
    namespace: dict[str, Any] = {"__builtins__": _BUILTINS, "environment": _ENVIRONMENT}
    exec(python, namespace)
    return quoting.joined(namespace["root"](_Context({**values, printing.QUOTING: current})))


class _Context:
    """The variables of one rendering, as code sees them."""

    eval_ctx = SimpleNamespace(autoescape=False)

    def __init__(self, parent: Mapping[str, Any]) -> None:
        self.parent = parent
        self.vars: dict[str, Any] = {}
        self.exported_vars: set[str] = set()

    def resolve_or_missing(self, name: str) -> Any:
        if name in self.vars:
            return self.vars[name]
        return self.parent.get(name, _MISSING)

    def call(self, function: Any, *args: Any, _loop_vars: object = None, _block_vars: object = None) -> Any:
        if function in (printing.show, printing.switch):
            return function(self, *args)
        if function is printing.glue or isinstance(function, BuiltinMethodType):  # such as a text's own
            return function(*args)
        raise NotPlainError("a function of jinja2, or a macro")


def _refuse(*_: Any, **__: Any) -> Any:
    raise NotPlainError("a part of jinja2, or an undefined name")


def _replaced(eval_ctx: Any, text: str, old: str, new: str) -> str:
    return str(text).replace(str(old), str(new))


def _import(name: str, *_: Any, **__: Any) -> Any:
    """Stands for `__import__` in the code, whose one import is `from jinja2.runtime import ...`."""
    if name != "jinja2.runtime":
        raise NotPlainError(f"an import of {name}")
    return _RUNTIME


class _Runtime(SimpleNamespace):
    def __getattr__(self, name: str) -> Any:
        return _refuse


_MISSING = object()
_RUNTIME = _Runtime(missing=_MISSING, internalcode=lambda function: function, TemplateRuntimeError=NotPlainError)
_BUILTINS = {**vars(builtins), "__import__": _import}
_ENVIRONMENT = SimpleNamespace(
    concat=quoting.joined,
    undefined=_refuse,
    getitem=getitem,
    getattr=getattr,
    filters={**FORMATTERS, "join": quoting.join, "length": len, "replace": _replaced},
    tests={"none": lambda value: value is None},
    show=printing.show,
    glue=printing.glue,
    switch=printing.switch,
)
