"""Python code from a job template: read, flattened, checked and generated."""

from __future__ import annotations

from io import StringIO

from jinja2.compiler import CodeGenerator
from jinja2.meta import TrackingCodeGenerator

from .checks import check_places
from .code import Code
from .inheritance import flatten
from .rendering import environment
from .source import Source


class _Generator(TrackingCodeGenerator):
    """Jinja's code generator that notes undeclared names (`jinja2.meta`), but writes its code down, too."""

    write = CodeGenerator.write
    stream: StringIO


def generate(source: Source, name: str) -> tuple[Code, list[Source]]:
    """The checked code of a template, which messages call `name`, and the sources that it is made of."""
    tree, sources = flatten(environment(), source)
    check_places(tree)
    generator = _Generator(environment())
    generator.optimizer = None  # it would cost more than it gains
    generator.visit(tree)
    python = compile(generator.stream.getvalue(), name, "exec")
    return Code(name, frozenset(generator.undeclared_identifiers), python), sources
