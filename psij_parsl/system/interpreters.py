"""Which program reads a script."""

from __future__ import annotations

import os
from collections.abc import Sequence

_LONGEST = 256  # bytes of a first line that are read


def first_line_words(path: str) -> list[str]:
    """The words after `#!` in a file's first line; none if it has no such line, or cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            first = file.read(_LONGEST).partition(b"\n")[0].decode(errors="replace")
    except OSError:
        return []
    return first[2:].split() if first.startswith("#!") else []


def program_of(words: Sequence[str]) -> str:
    """The name of the program that these words call, by itself or through `env`; '' if there is none."""
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return os.path.basename(words[0]) if words else ""
