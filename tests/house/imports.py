"""Who imports whom, of any kind of import: in a function and for a type checker too.

`python -m tests.house.imports` prints the modules of each wing, the imports that go up, and the circles; it exits with
1 if there is one of either. A wing may import what stands below it, and a module what is in no circle with it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
#: The wings, from the ground up; those of one line stand side by side and import nothing of each other. A module
#: belongs to the longest name that it begins with.
WINGS: Sequence[Sequence[str]] = (
    ("psij_parsl.states",),
    ("psij_parsl.errors", "psij_parsl.validators"),
    ("psij_parsl.dependency",),
    ("psij_parsl.job_texts", "psij_parsl.job_size"),
    ("psij_parsl.signals", "psij_parsl.job"),
    ("psij_parsl.system",),
    ("psij_parsl.platforms.templates",),
    ("psij_parsl.platforms",),
    ("psij_parsl.resources",),
    ("psij_parsl.sites",),
    ("psij_parsl.runs",),
    ("psij_parsl.jobs",),
    ("psij_parsl.parsl",),
    ("psij_parsl.farm",),
    ("psij_parsl.api",),
    ("psij_parsl",),
    ("psij_parsl.providers", "psij_parsl.launchers"),
    ("psij_parsl.testing", "psij_parsl.cli"),
)
LEVELS: Mapping[str, int] = {wing: level for level, wings in enumerate(WINGS) for wing in wings}


class Import(NamedTuple):
    """One module that another one imports. `line` is where."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the product by its import name."""
    found: dict[str, Path] = {}
    for folder, package in (("psij_parsl", ""), ("providers", "psij_parsl."), ("launchers", "psij_parsl.")):
        for path in sorted((root / folder).rglob("*.py")):
            if any((root / parent).is_symlink() for parent in path.relative_to(root).parents):
                continue  # psij_parsl/providers and its like are links to the folders beside it
            parts = path.relative_to(root).with_suffix("").parts
            found[package + ".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(module: str, path: Path, known: Mapping[str, Path]) -> Iterator[Import]:
    """What a module imports of the product, as modules: a name from a package counts as the package."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{source}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            while name and name not in known:
                name = name.rpartition(".")[0]
            if name and name != module:
                yield Import(module, name, node.lineno)


def all_imports(root: Path = ROOT) -> list[Import]:
    """Every import of one module of the product by another."""
    known = modules(root)
    return [found for module, path in known.items() for found in imports(module, path, known)]


def wing(module: str) -> str:
    """The wing that a module belongs to."""
    while module not in LEVELS:
        module = module.rpartition(".")[0]
    return module


def upward(found: Sequence[Import]) -> list[Import]:
    """The imports of a wing from one that stands above it, or beside it."""
    return [
        each
        for each in found
        if wing(each.importer) != wing(each.imported) and LEVELS[wing(each.imported)] >= LEVELS[wing(each.importer)]
    ]


def circles(found: Sequence[Import]) -> list[list[str]]:
    """The groups of modules of which each one reaches every other (strongly connected components, Tarjan 1972)."""
    graph: dict[str, list[str]] = {}
    for each in found:
        graph.setdefault(each.importer, []).append(each.imported)
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(module: str) -> None:
        numbers[module] = lowest[module] = len(numbers)
        stack.append(module)
        for other in graph.get(module, ()):
            if other not in numbers:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], numbers[other])
        if lowest[module] == numbers[module]:
            place = stack.index(module)
            if len(stack) - place > 1:
                groups.append(sorted(stack[place:]))
            del stack[place:]

    for module in sorted(graph):
        if module not in numbers:
            visit(module)
    return groups


def main() -> int:
    """Print how the house stands; 1 if an import goes up or in a circle."""
    found = all_imports()
    for wings in reversed(WINGS):
        counts = (f"{name} ({sum(wing(module) == name for module in modules())})" for name in wings)
        print("   ".join(counts))
    bad, groups = upward(found), circles(found)
    print(f"\n{len(found)} imports, of which {len(bad)} go up; {len(groups)} circles")
    for each in bad:
        print(f"up: {each}")
    for group in groups:
        print(f"circle: {', '.join(group)}")
    return int(bool(bad or groups))


if __name__ == "__main__":
    sys.exit(main())
