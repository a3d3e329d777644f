"""The source text of one template."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Source(NamedTuple):
    """A template's source text. `key` identifies it; `name`: for messages; `find`: gives the source of a template that
    it names; `file`: where it was read from, None for a text in Python code.
    """

    key: str
    name: str
    text: str
    find: Callable[[str], Source]
    file: Path | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Source) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)
