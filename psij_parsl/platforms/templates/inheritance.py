"""Template inheritance, resolved into one tree: `extends`, blocks, `super()` and includes.

`jinja2.meta` sees one file of several, and counts text that is never rendered. So a job template is put
together here into one tree, which is checked and then compiled: what was checked is what runs. On the way
out, everything that an expression prints is handed to the filter `SHOW` (see `rendering.py`), `~` to the
environment's `glue`, and `{{ section("body") }}` to its `switch`.

What jinja would lose without a word is an error: text outside the blocks of a template that extends another,
a block that its parent lacks, a macro that is never called. What cannot be followed is refused: names that are
not literal, imports, `self`, and `{% call %}`, `{% filter %}`, `{% autoescape %}`, which print past the
quoting.

A block sees the variables around it (jinja's `scoped`); an included file sees all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jinja2 import Environment, TemplateSyntaxError, nodes

from ...errors import TemplateError, nearest
from .quoting import SECTIONS
from .rendering import SHOW
from .source import Source
from .syntax_tree import all_nodes, as_outputs, first_nonblank, is_blank, is_call_of, nodes_of_type

_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Import: "import is refused: include the file, or let it be extended",
    nodes.FromImport: "import is refused: include the file, or let it be extended",
    nodes.CallBlock: "{% call %} is refused: its output would not be quoted",
    nodes.FilterBlock: "{% filter %} is refused: it would change what is quoted already",
    nodes.ScopedEvalContextModifier: "{% autoescape %} is refused: what is printed is quoted for the shell",
}


@dataclass
class _Level:
    """One template of an `extends` chain."""

    source: Source
    body: list[nodes.Node]
    blocks: dict[str, nodes.Block]


def flatten(environment: Environment, source: Source) -> tuple[nodes.Template, list[Source]]:
    """The syntax tree of `source` with its parents and includes, and all these sources, itself the first.

    Raises TemplateError with template, line and fault.
    """
    flat = _Flattener(environment)
    tree = nodes.Template(flat.chain(source, ()), lineno=1)
    for node in all_nodes(tree):
        node.environment = environment
    called = {name.name for name in nodes_of_type(tree, nodes.Name) if name.ctx == "load"}
    for macro, defined in flat.macros.items():
        if macro not in called:
            raise flat.fault(source, defined, f"macro {macro!r} is never rendered: nothing calls it")
    return tree, list(flat.sources)


class _Flattener:
    """Parses the templates of one chain of `extends`, and joins them into one list of statements."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.sources: dict[Source, None] = {}
        self.macros: dict[str, nodes.Node] = {}  # the first source's own, which must be called

    def parse(self, source: Source) -> nodes.Template:
        self.sources[source] = None
        try:
            tree = self.environment.parse(source.text, source.name, source.name)
        except TemplateSyntaxError as error:
            raise TemplateError(f"{source.name}:{error.lineno}: {error.message}") from error
        for node in list(all_nodes(tree)):
            if isinstance(node, nodes.Filter) and node.name not in self.environment.filters:
                raise self.unknown(source, node, "filter", self.environment.filters.keys() - {SHOW})
            if isinstance(node, nodes.Test) and node.name not in self.environment.tests:
                raise self.unknown(source, node, "test", self.environment.tests)
            if isinstance(node, nodes.Name) and node.name == "self":
                raise self.fault(source, node, "`self` is refused: use a macro for what is printed twice")
            self.replace_concats(source, node)
        return tree

    def unknown(
        self, source: Source, node: nodes.Filter | nodes.Test, kind: str, names: Iterable[str]
    ) -> TemplateError:
        return self.fault(source, node, f"there is no {kind} {node.name!r}", hint=nearest(node.name, names))

    def replace_concats(self, source: Source, holder: nodes.Node) -> None:
        """`a ~ b` becomes `environment.glue("file:line", a, b)`, in place."""

        def swap(value: object) -> object:
            if isinstance(value, nodes.Concat):
                return self.call(source, value, "glue", *value.nodes)
            return value

        for attribute, value in holder.iter_fields():
            if isinstance(value, list):
                value[:] = [swap(item) for item in value]
            elif isinstance(value, nodes.Concat):
                setattr(holder, attribute, swap(value))

    def call(self, source: Source, node: nodes.Node, attribute: str, *args: nodes.Expr) -> nodes.Call:
        where = nodes.Const(f"{source.name}:{node.lineno}", lineno=node.lineno)
        function = nodes.EnvironmentAttribute(attribute, lineno=node.lineno)
        return nodes.Call(function, [where, *args], [], None, None, lineno=node.lineno)

    def shown(self, source: Source, node: nodes.Expr, names: str) -> nodes.Filter:
        args = [nodes.Const(text, lineno=node.lineno) for text in (f"{source.name}:{node.lineno}", names)]
        return nodes.Filter(node, SHOW, args, [], None, None, lineno=node.lineno)

    def fault(self, source: Source, node: nodes.Node, message: str, *, hint: str = "") -> TemplateError:
        return TemplateError(f"{source.name}:{node.lineno}: {message}", hint=hint)

    # --- the chain of extends

    def chain(self, source: Source, inside: tuple[Source, ...]) -> list[nodes.Node]:
        """The flattened body of a template that may extend others. `inside`: the files that include it."""
        levels: list[_Level] = []
        parent: Source | None = source
        while parent is not None:
            if parent in inside or parent in [level.source for level in levels]:
                raise TemplateError(f"{source.name} comes back to {parent.name}: a template cannot contain itself")
            tree = self.parse(parent)
            level = _Level(parent, tree.body, {})
            for block in nodes_of_type(tree, nodes.Block):
                if block.name in level.blocks:
                    raise self.fault(parent, block, f"block {block.name!r} is defined twice")
                level.blocks[block.name] = block
            levels.append(level)
            parent = self.parent_of(level)
        flattener = _BodyFlattener(self, levels, (*inside, *(level.source for level in levels)))
        prelude = [node for level in levels[:-1] for node in self.outside_blocks(level, levels, flattener)]
        body = [*prelude, *flattener.statements(levels[-1].body, levels[-1].source)]
        for name, block in levels[0].blocks.items():
            if name not in flattener.rendered:
                raise self.fault(
                    source,
                    block,
                    f"block {name!r} is never rendered",
                    hint="an outer block replaces the one that it stands in",
                )
        return body

    def parent_of(self, level: _Level) -> Source | None:
        extends = [node for node in level.body if isinstance(node, nodes.Extends)]
        everywhere = nodes_of_type(nodes.Template(level.body), nodes.Extends)
        if len(everywhere) > len(extends) or len(everywhere) > 1:
            raise self.fault(level.source, everywhere[-1], "there can be one {% extends %}, at the top")
        return self.source_named(level.source, extends[0], extends[0].template) if extends else None

    def source_named(self, source: Source, node: nodes.Node, name: nodes.Node) -> Source:
        if not isinstance(name, nodes.Const) or not isinstance(name.value, str):
            raise self.fault(source, node, "the name of another template must be written out, as text")
        try:
            return source.find(name.value)
        except TemplateError as error:
            raise self.fault(source, node, error.message, hint=error.hint) from error

    def outside_blocks(self, level: _Level, levels: list[_Level], flattener: _BodyFlattener) -> list[nodes.Node]:
        """What a child sets before its parent is rendered; all else outside its blocks would be lost."""
        parents = levels[levels.index(level) + 1 :]
        definitions: list[nodes.Node] = []
        for node in level.body:
            if isinstance(node, nodes.Block):
                parent_blocks = {name for parent in parents for name in parent.blocks}
                if node.name not in parent_blocks:
                    raise self.fault(
                        level.source,
                        node,
                        f"block {node.name!r} is never rendered: its parent has none",
                        hint=nearest(node.name, parent_blocks),
                    )
            elif isinstance(node, nodes.Assign | nodes.AssignBlock | nodes.Macro):
                definitions.append(node)
            elif isinstance(node, nodes.Output) and all(is_blank(child) for child in node.nodes):
                continue
            elif not isinstance(node, nodes.Extends):
                raise self.fault(
                    level.source,
                    first_nonblank(node),
                    "this is never rendered: it stands outside the blocks of a template that extends another",
                )
        return flattener.statements(definitions, level.source)


class _BodyFlattener:
    """Rebuilds one chain's statements, with blocks and includes in their places."""

    def __init__(self, flat: _Flattener, levels: list[_Level], inside: tuple[Source, ...]) -> None:
        self.flat, self.levels, self.inside = flat, levels, inside
        self.rendered: set[str] = set()
        self.stack: list[tuple[str, int]] = []  # the blocks we are in: name, index into their definitions

    def statements(self, body: Sequence[nodes.Node], source: Source) -> list[nodes.Node]:
        flattened: list[nodes.Node] = []
        for node in body:
            flattened += self.statement(node, source)
        return flattened

    def statement(self, node: nodes.Node, source: Source) -> list[nodes.Node]:
        for kind, why in _REFUSED.items():
            if isinstance(node, kind):
                raise self.flat.fault(source, node, why)
        if isinstance(node, nodes.Output):
            return self.output(node, source)
        if isinstance(node, nodes.Block):
            return self.block(node.name, 0, node, source)
        if isinstance(node, nodes.Include):
            if node.ignore_missing or not node.with_context:
                raise self.flat.fault(source, node, "include takes a file name and nothing more")
            other = self.flat.source_named(source, node, node.template)
            return [self.scope(self.flat.chain(other, self.inside), node)]
        if isinstance(node, nodes.If):
            return self.condition(node, source)
        if isinstance(node, nodes.Macro):
            if source == self.levels[0].source and not self.inside[: -len(self.levels)]:
                self.flat.macros[node.name] = node
        elif isinstance(node, nodes.AssignBlock) and node.filter is not None:
            raise self.flat.fault(source, node, "{% set %} with a filter is refused: it would change what is quoted")
        elif not isinstance(node, nodes.For | nodes.With | nodes.Assign | nodes.AssignBlock):
            raise self.flat.fault(source, node, f"{{% {type(node).__name__.lower()} %}} is refused")
        self.refuse_super(node, source)
        return [self.rebuilt(node, source)]

    def rebuilt(self, node: nodes.Node, source: Source) -> nodes.Node:
        values = dict(node.iter_fields())
        for attribute in ("body", "else_"):
            if attribute in values:
                values[attribute] = self.statements(values[attribute], source)
        return type(node)(*(values[name] for name in node.fields), lineno=node.lineno)

    def refuse_super(self, node: nodes.Node, source: Source) -> None:
        """`super()` in the expressions of a statement; its body is looked at when it is flattened."""
        for child in node.iter_child_nodes(exclude=("body", "else_", "elif_")):
            for name in nodes_of_type(child, nodes.Name):
                if name.name == "super":
                    raise self.flat.fault(source, node, "super() stands by itself: {{ super() }}")

    def condition(self, node: nodes.If, source: Source) -> list[nodes.Node]:
        """An `if`; what a constant test shuts out is left out, for it is never rendered."""
        self.refuse_super(node, source)
        rest: list[nodes.Node] = list(node.else_)
        if node.elif_:
            first, *others = node.elif_
            rest = [nodes.If(first.test, first.body, others, node.else_, lineno=first.lineno)]
        try:
            assert isinstance(node.test, nodes.Expr)
            always = bool(node.test.as_const())
        except nodes.Impossible:
            statement = nodes.If(
                node.test, self.statements(node.body, source), [], self.statements(rest, source), lineno=node.lineno
            )
            return [statement]
        return self.statements(node.body if always else rest, source)

    def block(self, name: str, index: int, node: nodes.Node, source: Source) -> list[nodes.Node]:
        """The block's `index`-th definition, counted from the most derived one."""
        definitions = [(level.source, level.blocks[name]) for level in self.levels if name in level.blocks]
        if index >= len(definitions):
            raise self.flat.fault(source, node, f"super(): no parent has a block {name!r}")
        owner, block = definitions[index]
        if block.required:
            raise self.flat.fault(owner, block, f"block {name!r} must be filled")
        if (name, index) in self.stack:
            raise self.flat.fault(source, node, f"block {name!r} contains itself")
        self.rendered.add(name)
        self.stack.append((name, index))
        body = self.statements(block.body, owner)
        self.stack.pop()
        return [self.scope(body, node)]

    def scope(self, body: list[nodes.Node], node: nodes.Node) -> nodes.Node:
        return nodes.Scope(body, lineno=node.lineno)

    def output(self, node: nodes.Output, source: Source) -> list[nodes.Node]:
        parts: list[nodes.Node] = []
        swallow_newline = False
        for child in node.nodes:
            if isinstance(child, nodes.TemplateData):
                text = child.data[1:] if swallow_newline and child.data[:1] == "\n" else child.data
                parts.append(nodes.TemplateData(text, lineno=child.lineno))
                swallow_newline = False
            elif is_call_of(child, "super"):
                if not self.stack:
                    raise self.flat.fault(source, child, "super() stands in a block")
                name, index = self.stack[-1]
                parts += self.block(name, index + 1, child, source)
            elif is_call_of(child, "section"):
                parts.append(self.section(child, source))
                swallow_newline = True
            else:
                variables = sorted({node.name for node in nodes_of_type(child, nodes.Name) if node.ctx == "load"})
                for function in {"super", "section"}.intersection(variables):
                    message = f"{function}() stands by itself: {{{{ {function}(...) }}}}"
                    raise self.flat.fault(source, child, message)
                parts.append(self.flat.shown(source, child, ", ".join(variables)))
        return as_outputs(parts)

    def section(self, node: nodes.Expr, source: Source) -> nodes.Node:
        assert isinstance(node, nodes.Call)
        name = node.args[0].value if len(node.args) == 1 and isinstance(node.args[0], nodes.Const) else None
        if name not in SECTIONS:
            raise self.flat.fault(source, node, f"section() takes one of the texts {', '.join(SECTIONS)}")
        return self.flat.call(source, node, "switch", nodes.Const(name, lineno=node.lineno))
