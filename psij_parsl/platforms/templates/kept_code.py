"""The code of templates, kept from one start to the next: to check and generate it takes longer than to submit a job.

It is kept with the text of each file that the template is made of, and counts only for the same texts in files of the
same paths, which are read each time; and only for the same Python, the same jinja2, and the same modules that made it
or choose its files. Importing a template only reads; what was generated is written when it is first rendered.
"""

from __future__ import annotations

import binascii
import marshal
import os
import sys
import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from types import CodeType
from typing import Any

from ...system.cache import Cache
from .code import Code
from .loader import label, source
from .source import Source


def code_of(cls: type) -> tuple[Code, Sequence[Source]]:
    """The checked code of a class's template, and what it was generated from if it was generated now.

    Raises `TemplateError`.
    """
    first, name = source(cls), label(cls)
    if (code := _find(cls, first, name)) is not None:
        return code, ()
    from .generation import generate

    return generate(first, name)


def _find(cls: type, first: Source, name: str) -> Code | None:
    """The code that was kept of a class whose template begins with that source; None if there is none that counts."""
    if first.file is None:
        return None
    kept = Cache(_stamp(cls.__mro__)).read(_entry(cls, first))
    try:
        if kept["name"] != name or kept["files"][0] != [first.key, first.text]:
            return None
        for path, text in kept["files"][1:]:
            with open(path, encoding="utf-8") as file:
                if file.read() != text:
                    return None
        python = marshal.loads(binascii.a2b_base64(kept["python"]))
        uses = frozenset(map(str, kept["uses"]))
    except (AttributeError, EOFError, IndexError, KeyError, OSError, TypeError, ValueError):
        return None
    return Code(name, uses, python) if isinstance(python, CodeType) else None


def keep(cls: type, sources: Sequence[Source], code: Code) -> Sequence[Source]:
    """Keep the code of a class that was generated from these sources, the first of them first.

    Returns those from which there is code to be kept yet: none.
    """
    if not sources or any(source.file is None for source in sources):
        return ()
    record = {
        "name": code.name,
        "files": [[source.key, source.text] for source in sources],
        "uses": sorted(code.uses),
        "python": binascii.b2a_base64(marshal.dumps(code.python), newline=False).decode(),
    }
    Cache(_stamp(cls.__mro__)).write(_entry(cls, sources[0]), record)
    return ()


def _entry(cls: type, first: Source) -> str:
    return f"template-{zlib.crc32(os.fsencode(f'{cls.__module__}.{cls.__qualname__} {first.key}')):08x}"


def _stamp(owners: Iterable[type]) -> str:
    modules = {owner.__module__: sys.modules.get(owner.__module__) for owner in owners}
    facts = [_maker(), *(_facts(getattr(module, "__file__", None)) for module in modules.values())]
    return f"{zlib.crc32(repr(facts).encode()):08x}"


@cache
def _maker() -> list[Any]:
    """Another one for each version, and in a clone after each change of what makes a template's code."""
    here, theirs = os.path.dirname(__file__), _jinja2()
    ours = sorted(entry.path for entry in os.scandir(here) if entry.name.endswith(".py"))
    with open(os.path.join(here, "..", "..", "__init__.py"), "rb") as file:
        version = file.read()
    return [sys.version, version, *map(_facts, (*ours, f"{theirs}/__init__.py", f"{theirs}/compiler.py"))]


def _jinja2() -> str:
    """Its folder. It is not imported."""
    found = find_spec("jinja2")
    return os.path.dirname(found.origin or "") if found is not None else ""


def _facts(file: str | None) -> list[Any]:
    if file is None:
        return []
    status = os.stat(file)
    return [file, status.st_size, status.st_mtime_ns]
