"""Helpers for jinja's syntax tree: finding nodes, and grouping expressions into output statements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from jinja2 import nodes

_N = TypeVar("_N", bound=nodes.Node)


def all_nodes(node: nodes.Node) -> Iterator[nodes.Node]:
    """The node and all below it, in no order; quicker than jinja's `find_all`."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        for name in current.fields:
            value = getattr(current, name)
            if isinstance(value, nodes.Node):
                waiting.append(value)
            elif isinstance(value, list):
                waiting += [item for item in value if isinstance(item, nodes.Node)]


def nodes_of_type(node: nodes.Node, kind: type[_N]) -> list[_N]:
    """The nodes of one class among a node and all below it."""
    return [child for child in all_nodes(node) if isinstance(child, kind)]


def is_call_of(node: nodes.Node, name: str) -> bool:
    """Whether a node is a call of that function."""
    return isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name == name


def is_blank(node: nodes.Node) -> bool:
    """Whether a node is literal text of blanks and line ends alone."""
    return isinstance(node, nodes.TemplateData) and not node.data.strip()


def first_nonblank(node: nodes.Node) -> nodes.Node:
    """The part of an output that is not blank, for its line."""
    return next((child for child in node.iter_child_nodes() if not is_blank(child)), node)


def as_outputs(parts: list[nodes.Node]) -> list[nodes.Node]:
    """Runs of expressions as Output statements, with the statements between them."""
    grouped: list[nodes.Node] = []
    for node in parts:
        if not isinstance(node, nodes.Expr):
            grouped.append(node)
        elif grouped and isinstance(grouped[-1], nodes.Output):
            grouped[-1].nodes.append(node)
        else:
            grouped.append(nodes.Output([node], lineno=node.lineno))
    return grouped
