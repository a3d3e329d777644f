"""Finds the template text of a class, and the templates that it names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from ...errors import TemplateError
from .source import Source

DEFAULT_FILE = "job.sh.j2"
FUNCTIONS = "functions.sh"
"""The file, in a job's folder too, with what every job's script does around its command."""
_CORE = Path(__file__).parent


@cache
def functions_text() -> str:
    """The text of the file that the scripts of the core's skeleton read where they run."""
    return "\n".join((_CORE / name).read_text(encoding="utf-8") for name in (FUNCTIONS, "signals.sh"))


def label(cls: type) -> str:
    """The template as messages name it."""
    for index, owner in enumerate(cls.__mro__):
        if owner.__dict__.get("template_str") is not None:
            name = "template_str"
        elif file := _own_file(owner, cls.__mro__[index + 1 :]):
            name = _name(file)
        else:
            continue
        return name if owner is cls else f"{name} of {owner.__qualname__}"
    return "no template"


def source(cls: type) -> Source:
    """The template that a class starts from. Raises TemplateError if it has none."""
    return _first(cls.__mro__)


def _first(owners: Sequence[type]) -> Source:
    """The template of the first of the classes that has one of its own."""
    for index, owner in enumerate(owners):
        text, rest = owner.__dict__.get("template_str"), owners[index + 1 :]
        if text is not None:
            if owner.__dict__.get("template_file") is not None:
                raise TemplateError(f"{owner.__qualname__} gives both template_str and template_file")
            key = f"{owner.__module__}.{owner.__qualname__} {id(owner)}"
            name = f"template_str of {owner.__qualname__}" if index else "template_str"
            return Source(key, name, text, _resolver(_folder(owner), rest))
        if file := _own_file(owner, rest):
            return _read(file, _name(file), rest)
    raise TemplateError(
        f"there is no template: give template_str, template_file, or {DEFAULT_FILE} next to the module"
    )


def _own_file(owner: type, bases: Sequence[type]) -> Path | None:
    """The file that a class names, or else job.sh.j2 next to its module, unless that is a base's already."""
    if not hasattr(owner, "template_file"):
        return None  # object, and mixins that are no templates
    file_name, folder = owner.__dict__.get("template_file"), _folder(owner)
    if folder is None:
        if file_name is not None:
            raise TemplateError(f"template_file {file_name!r}: {owner.__qualname__} has no module file to be next to")
        return None
    if file_name is not None:
        return folder / str(file_name)
    default = folder / DEFAULT_FILE
    if not default.is_file() or any(_own_file(base, ()) == default for base in bases):
        return None
    return default


def _folder(owner: type) -> Path | None:
    file = getattr(sys.modules.get(owner.__module__), "__file__", None)
    return Path(file).parent if file else None


def _name(file: Path) -> str:
    return f"core/{file.name}" if file.parent == _CORE else file.name


def _read(file: Path, name: str, bases: Sequence[type]) -> Source:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"template {name!r} cannot be read: {error}") from error
    return Source(str(file), name, text, _resolver(file.parent, bases), file)


def _resolver(folder: Path | None, bases: Sequence[type]) -> Callable[[str], Source]:
    """A function that finds the templates named in a template that lies in `folder` and whose class has these bases."""

    def find(name: str) -> Source:
        if name == "parent":
            return _first(bases)
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise TemplateError(f"template {name!r} must lie next to the one that names it")
        if name.startswith("core/"):
            return _read(_CORE / name.removeprefix("core/"), name, ())
        if folder is None:
            raise TemplateError(f"template {name!r} cannot be found: the class has no module file to be next to")
        return _read(folder / name, name, bases)

    return find
