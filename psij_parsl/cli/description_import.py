"""The script that runs what a description of a job says, for `import`."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ..platforms.directives.words import SHAPE

_FILES = {"stdin": "<", "stdout": ">", "stderr": "2>"}
_VALUES = {"{array}": '"$PSIJ_ARRAY_ID"', "{index}": '"$PSIJ_ARRAY_INDEX"', "{{": "'{'", "}}": "'}'"}


def said_by_body(words: Mapping[str, Any]) -> frozenset[str]:
    """The words of a description that the script says itself, or needs not say: it is one process on one host."""
    files = _FILES if _have_directories(words) else ()
    return frozenset(("command", *SHAPE, *files))


def body(words: Mapping[str, Any]) -> str:
    """The lines that run it: one command, or one for each element of an array."""
    elements = words.get("elements", {})
    if not elements:
        return f"exec {_command(words, here='directory' not in words)}\n"
    common = {name: words[name] for name in _FILES if name in words} if _have_directories(words) else {}
    lines = (f"{index}) {'; '.join(_steps(words, {**common, **own}))} ;;" for index, own in elements.items())
    return "\n".join(["case $PSIJ_ARRAY_INDEX in", *lines, "esac", ""])


def _have_directories(words: Mapping[str, Any]) -> bool:
    return any("directory" in own for own in words.get("elements", {}).values())


def _steps(words: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[str]:
    for name, value in own.get("environment", {}).items():
        yield f"export {name}={shlex.quote(value)}"
    directory = own.get("directory")
    if directory is not None:
        yield f"cd {shlex.quote(directory)} || exit"
    files = [f"{sign}{_file(own[name])}" for name, sign in _FILES.items() if name in own]
    here = directory is None and "directory" not in words
    yield " ".join(["exec", _command({**words, **own}, here=here), *files])


def _command(words: Mapping[str, Any], *, here: bool) -> str:
    """The command. A program's path is that from `here`, where it is looked for, or the whole one."""
    program, *arguments = words["command"]
    if not here:
        program = os.path.abspath(program)
    elif "/" not in program:
        program = f"./{program}"
    return shlex.join([program, *arguments])


def _file(name: str) -> str:
    """A file's name as a word of shell, with what its placeholders stand for."""
    parts = re.split(r"(\{array\}|\{index\}|\{\{|\}\})", name)
    return "".join(_VALUES.get(part, shlex.quote(part) if part else "") for part in parts)
