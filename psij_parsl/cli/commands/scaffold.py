"""`platform new`: the skeleton of a package for a resource manager that psij-parsl does not support yet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from ...errors import InvalidRequest
from ..command import Command, Invocation
from ..flags import JSON, Argument, Flag
from ..output import Renderer

#: Template in skeleton/ -> where it goes in the new package.
_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "init.py": "psij_{name}/__init__.py",
    "scheduler.py": "psij_{name}/scheduler.py",
    "template.py": "psij_{name}/template.py",
    "job.sh.j2": "psij_{name}/job.sh.j2",
    "test.py": "tests/test_{name}.py",
}


def _new(out: Renderer, invocation: Invocation) -> int:
    name = invocation.arguments[0]
    _check(name)
    root = Path(invocation.texts.get("directory", f"psij-{name}"))
    if root.exists():
        raise InvalidRequest(f"{root} exists already", hint="choose another --directory, or remove it")
    texts = dict(skeleton(name))
    try:
        for path, text in texts.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
    except OSError as error:
        raise InvalidRequest(
            f"{root} cannot be written: {error.strerror}", hint="choose another --directory"
        ) from error
    if out.json:
        out.record({"name": name, "directory": str(root), "files": sorted(texts)}, ())
        return 0
    for path in texts:
        out.out.write(f"{root / path}\n")
    out.note(f"next: pip install -e {os.path.join('.', root)}, then write psij_{name}/scheduler.py")
    return 0


def skeleton(name: str) -> Iterator[tuple[str, str]]:
    """Each file of the new package: its path and its text."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(  # with other delimiters than the job template, which is one of the files
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
    )
    folder = files(__package__) / "skeleton"
    for template, path in _FILES.items():
        text = (folder / f"{template}.j2").read_text(encoding="utf-8")
        yield (
            path.format(name=name),
            environment.from_string(text).render(name=name, kind=name.title().replace("_", "")),
        )


def _check(name: str) -> None:
    from ...platforms.registry import platforms

    if not name.isidentifier() or not name.isascii() or name != name.lower() or name.startswith("_"):
        raise InvalidRequest(
            f"{name!r} cannot be a platform's name", hint="lower-case letters, digits and _, beginning with a letter"
        )
    if f"psij_{name}" == __name__.partition(".")[0]:
        raise InvalidRequest(f"the package psij_{name} would be psij-parsl itself", hint="choose another name")
    if name in dict(platforms(plugins=False)):
        raise InvalidRequest(f"the platform {name!r} comes with psij-parsl", hint="choose another name")


NEW = Command(
    "new",
    "Write the skeleton of a package that adds a platform.",
    _new,
    (Flag("directory", ("--directory",), "DIR", "Directory to write to (default: psij-NAME)."), JSON),
    Argument("name", "NAME", "Name of the new platform.", many=False, required=True),
    examples=("psij-run platform new toyq",),
)
