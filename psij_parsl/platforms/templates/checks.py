"""Checks of a job template, made on the flattened tree that is rendered (`inheritance.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jinja2 import nodes

from ...errors import TemplateError
from .formatters import FORMATTERS
from .shell_context import ShellScan
from .syntax_tree import all_nodes

PLAIN = frozenset({"num_nodes", "wall_time_min", "queue", "project", "job_mode", "id"})
"""Always printed as they are: each is held to be a number or a plain `word`. So they may stand inside quotes
too.
"""


def check_places(tree: nodes.Template) -> None:
    """No expression stands where its quoting would not hold (see `shell_context.py`)."""
    names = [node for node in all_nodes(tree) if isinstance(node, nodes.Name)]
    plain = PLAIN.difference(name.name for name in names if name.ctx != "load")  # a template may set its own `id`
    for location, fault in _expression_faults(tree.body, ShellScan(), plain):
        raise TemplateError(f"{location}: an expression {fault}")


def _expression_faults(
    body: Sequence[nodes.Node], scan: ShellScan, plain: frozenset[str]
) -> Iterator[tuple[str, str]]:
    for node in body:
        if isinstance(node, nodes.Output):
            yield from _output_faults(node, scan, plain)
        elif isinstance(node, nodes.If):
            else_scan = scan.copy()
            yield from _expression_faults(node.body, scan, plain)
            yield from _expression_faults(node.else_, else_scan, plain)
        elif isinstance(node, nodes.Macro | nodes.AssignBlock):  # printed elsewhere
            yield from _expression_faults(node.body, ShellScan(), plain)
        elif isinstance(node, nodes.For | nodes.With | nodes.Scope):
            yield from _expression_faults(node.body, scan, plain)
            if isinstance(node, nodes.For):
                yield from _expression_faults(node.else_, scan.copy(), plain)


def _output_faults(node: nodes.Output, scan: ShellScan, plain: frozenset[str]) -> Iterator[tuple[str, str]]:
    for index, child in enumerate(node.nodes):
        if isinstance(child, nodes.TemplateData):
            scan.text(child.data)
            continue
        assert isinstance(child, nodes.Call | nodes.Filter)  # made by flatten: a switch of section, or what is shown
        location, argument = (arg.value for arg in child.args[:2] if isinstance(arg, nodes.Const))
        if isinstance(child, nodes.Call):
            scan.switch(argument)
            continue
        after = node.nodes[index + 1] if index + 1 < len(node.nodes) else None
        following = after.data if isinstance(after, nodes.TemplateData) else ""
        fault = scan.place(following, plain=_is_plain(child.node, plain))
        if fault:
            yield location, fault


def _is_plain(expression: nodes.Node | None, plain: frozenset[str]) -> bool:
    if isinstance(expression, nodes.Filter) and expression.name in FORMATTERS:
        return _is_plain(expression.node, plain)
    return isinstance(expression, nodes.Name) and expression.name in plain
