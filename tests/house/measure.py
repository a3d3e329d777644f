"""How large the product's parts are, and what stands in it twice: the house's limits, measured.

    python -m tests.house.measure           # the figures
    python -m tests.house.measure --check   # the same; exits with 1 if a limit is broken

The product is psij_parsl/, providers/ and launchers/; the links in psij_parsl/ to the other two are not followed.
Lines are all lines, with comments and blanks. Parameters are counted without `self` and `cls`. Equal lines are what
pylint's `duplicate-code` finds, which passes over imports, docstrings, comments and the heads of functions. More than
ten parameters may have the constructor of a public class whose parameters, but for one, are given by keyword: what
users write out.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("psij_parsl", "providers", "launchers")
EVERYWHERE = (*PRODUCT, "tests", "bench", "examples", "docs")
TEXTS = (".py", ".sh", ".j2")
_OFF = re.compile(r"#\s*fmt:\s*(skip|off)\b")
_EQUAL = re.compile(r"^==(\S+):\[(\d+):(\d+)\]$", re.MULTILINE)
_SHOWN = 5


@dataclass(frozen=True)
class Measured:
    """One thing that has a size, and where it is."""

    size: int
    what: str


@dataclass(frozen=True)
class Limit:
    """The greatest size that a thing may have."""

    of: str
    greatest: int


LIMITS: Mapping[str, Limit] = {
    "files": Limit("lines of a file", 349),
    "classes": Limit("lines of a class", 199),
    "functions": Limit("parameters of a function", 10),
    "equal lines": Limit("lines in a row that are equal elsewhere", 9),
    "format": Limit("lines kept from the formatter", 0),
}


def files_in(folders: Sequence[str], suffixes: Sequence[str] = (".py",)) -> Iterator[Path]:
    """The files of those folders, in order; links to folders are not followed, nor are builds looked into."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file() and not {".venv", "_build"} & set(path.parts):
                yield path


def name_of(path: Path) -> str:
    """Its path from the checkout's root."""
    return str(path.relative_to(ROOT))


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text())


def files() -> Iterator[Measured]:
    """The length of each file."""
    for path in files_in(PRODUCT, TEXTS):
        yield Measured(len(path.read_text().splitlines()), name_of(path))


def classes() -> Iterator[Measured]:
    """The length of each class."""
    for path in files_in(PRODUCT):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                yield Measured((node.end_lineno or 0) - node.lineno + 1, f"{name_of(path)}: {node.name}")


def functions() -> Iterator[Measured]:
    """The number of parameters of each function that is no exception."""
    for path in files_in(PRODUCT):
        for owner, function in _functions(parsed(path)):
            arguments = function.args
            positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
            own = len(positional) - (positional[:1] in (["self"], ["cls"]))
            constructor = function.name == "__init__" and not owner.startswith("_") and own <= 1
            if not constructor:
                name = f"{owner}.{function.name}" if owner else function.name
                yield Measured(own + len(arguments.kwonlyargs), f"{name_of(path)}: {name}")


def _functions(node: ast.AST, owner: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Each function within a node, and the name of its class."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield owner, child
        yield from _functions(child, child.name if isinstance(child, ast.ClassDef) else owner)


def equal_lines() -> Iterator[Measured]:
    """Runs of lines that stand in two places and are longer than the limit."""
    least = LIMITS["equal lines"].greatest + 1
    options = [
        "--persistent=n",
        "--disable=all",
        "--enable=duplicate-code",
        f"--min-similarity-lines={least}",
        "--score=n",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pylint", "--rcfile=/dev/null", *options, *PRODUCT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode & ~8:  # 8: something was found; all others: it could not look
        raise RuntimeError(f"pylint could not look: {done.stderr or done.stdout}")
    for text in done.stdout.split("R0801")[1:]:
        places = _EQUAL.findall(text)
        lines = max(int(end) - int(begin) for _, begin, end in places)
        yield Measured(lines, " = ".join(f"{module} from line {int(begin) + 1}" for module, begin, _ in places))


def kept_from_the_formatter() -> Iterator[Measured]:
    """The comments, in any Python file, that tell the formatter to leave something as it is."""
    for path in files_in(EVERYWHERE):
        with path.open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                if token.type == tokenize.COMMENT and _OFF.search(token.string):
                    yield Measured(1, f"{name_of(path)}:{token.start[0]}")


MEASURES = {
    "files": files,
    "classes": classes,
    "functions": functions,
    "equal lines": equal_lines,
    "format": kept_from_the_formatter,
}


def beyond(name: str) -> list[Measured]:
    """What is larger than its limit, the largest first."""
    return [found for found in largest(name) if found.size > LIMITS[name].greatest]


def largest(name: str) -> list[Measured]:
    """All that is measured under that name, the largest first."""
    return sorted(MEASURES[name](), key=lambda found: (-found.size, found.what))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; 1 if a limit is broken and `--check` was given."""
    parser = argparse.ArgumentParser(prog="python -m tests.house.measure", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a limit is broken")
    check = parser.parse_args(arguments).check
    broken = 0
    for name, limit in LIMITS.items():
        found = largest(name)
        over = sum(each.size > limit.greatest for each in found)
        print(f"{limit.of}: {limit.greatest} at most, {over or 'none'} beyond")
        for each in found[: max(_SHOWN, over)]:
            print(f"  {each.size:5}  {each.what}")
        broken += over
    return int(check and broken > 0)


if __name__ == "__main__":
    sys.exit(main())
