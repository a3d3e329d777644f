"""What must hold of a job template, seen on the one tree that is rendered (`flatten.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from jinja2 import nodes

from ...errors import TemplateError, nearest
from .formatters import FORMATTERS
from .shell_context import ShellScan
from .syntax_tree import every

PLAIN = frozenset({"num_nodes", "wall_time_min", "queue", "project", "job_mode", "id"})
"""Always printed as they are: each is held to be a number or a plain `word`. So they may stand inside quotes
too.
"""


def check_uses(uses: frozenset[str], fixed: Iterable[str], declared: Iterable[str], given: Mapping[str, str]) -> None:
    """Each fixed and each declared parameter is used, and nothing else but what the core gives."""
    fixed, declared = tuple(fixed), tuple(declared)
    for name in fixed:
        if name not in uses:
            raise TemplateError(f"the fixed parameter {name} is never rendered", hint="the job would not ask for it")
    for name in declared:
        if name not in uses:
            raise TemplateError(f"the declared parameter {name} is never used", hint="use it, or do not declare it")
    known = {*fixed, *declared, *given}
    for name in sorted(uses - known):
        raise TemplateError(f"{name!r} is used but not declared", hint=nearest(name, known))


def check_places(tree: nodes.Template) -> None:
    """No expression stands where its quoting would not hold (see `shellscan.py`)."""
    names = [node for node in every(tree) if isinstance(node, nodes.Name)]
    plain = PLAIN.difference(name.name for name in names if name.ctx != "load")  # a template may set its own `id`
    for where, wrong in _places(tree.body, ShellScan(), plain):
        raise TemplateError(f"{where}: an expression {wrong}")


def _places(body: Sequence[nodes.Node], scan: ShellScan, plain: frozenset[str]) -> Iterator[tuple[str, str]]:
    for node in body:
        if isinstance(node, nodes.Output):
            yield from _printed(node, scan, plain)
        elif isinstance(node, nodes.If):
            other = scan.copy()
            yield from _places(node.body, scan, plain)
            yield from _places(node.else_, other, plain)
        elif isinstance(node, nodes.Macro | nodes.AssignBlock):  # printed elsewhere
            yield from _places(node.body, ShellScan(), plain)
        elif isinstance(node, nodes.For | nodes.With | nodes.Scope):
            yield from _places(node.body, scan, plain)
            if isinstance(node, nodes.For):
                yield from _places(node.else_, scan.copy(), plain)


def _printed(node: nodes.Output, scan: ShellScan, plain: frozenset[str]) -> Iterator[tuple[str, str]]:
    for index, child in enumerate(node.nodes):
        if isinstance(child, nodes.TemplateData):
            scan.text(child.data)
            continue
        assert isinstance(child, nodes.Call)  # made by flatten
        assert isinstance(child.node, nodes.EnvironmentAttribute)
        where, what = (arg.value for arg in child.args[:2] if isinstance(arg, nodes.Const))
        if child.node.name == "switch":
            scan.switch(what)
            continue
        after = node.nodes[index + 1] if index + 1 < len(node.nodes) else None
        following = after.data if isinstance(after, nodes.TemplateData) else ""
        wrong = scan.place(following, plain=_is_plain(child.args[2], plain))
        if wrong:
            yield where, wrong


def _is_plain(expression: nodes.Node | None, plain: frozenset[str]) -> bool:
    if isinstance(expression, nodes.Filter) and expression.name in FORMATTERS:
        return _is_plain(expression.node, plain)
    return isinstance(expression, nodes.Name) and expression.name in plain
