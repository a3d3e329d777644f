"""Which patterns match this host's name, kept from one start to the next: to compile a hundred of them takes 6 ms."""

from __future__ import annotations

import os
import re
import zlib
from typing import Any

from ..system.cache import Cache

_MOST_REPEATED = 3
_MOST_CHOICES = 4
_CHARACTER = r"(?:[\w.-]|\\[.dwDW-]|\[\^?[\w-]+\])(?:[*+?]|\{\d\})?"
_SIMPLE = re.compile(rf"(?:{_CHARACTER}|\||\((?:{_CHARACTER}|\|)*\)\??)*")


class HostName:
    """A host's name, and which of the patterns that were asked for match it."""

    def __init__(self, name: str, cache: Cache | None = None) -> None:
        self.name, self._cache = name, cache
        self._asked: dict[str, bool] = {}
        self._kept: dict[str, bool] | None = None

    @property
    def _file(self) -> str:
        return f"host-{zlib.crc32(os.fsencode(self.name)):08x}"

    def matches(self, pattern: str) -> bool:
        """Whether the whole name is as the pattern says; not if that is no regular expression."""
        if self._kept is None:
            self._kept = self._read()
        if pattern not in self._asked:
            known = self._kept.get(pattern)
            self._asked[pattern] = known if isinstance(known, bool) else _matches(pattern, self.name)
        return self._asked[pattern]

    def save(self) -> None:
        """Keep the answers of this time, if one of them is new."""
        if self._cache is not None and self._asked and self._asked != self._kept:
            self._cache.write(self._file, {"host": self.name, "patterns": self._asked})

    def _read(self) -> dict[str, bool]:
        kept = self._cache.read(self._file) if self._cache is not None else None
        if not isinstance(kept, dict) or kept.get("host") != self.name:
            return {}
        patterns = kept.get("patterns")
        return patterns if isinstance(patterns, dict) else {}


def is_quick(pattern: Any) -> bool:
    """Whether a regular expression is of a kind that takes no time, whatever the name: characters of which few repeat
    at will, in groups that do not, with few alternatives. Many more are quick; of these it is plain."""
    if not isinstance(pattern, str) or not _SIMPLE.fullmatch(pattern):
        return False
    repeated, choices = (sum(map(pattern.count, signs)) for signs in ("*+", "?|"))
    return repeated <= _MOST_REPEATED and choices <= _MOST_CHOICES


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.fullmatch(pattern, name) is not None
    except (re.error, OverflowError, RecursionError):
        return False
