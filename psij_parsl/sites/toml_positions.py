"""On which line of a TOML document each key, table and list item stands.

`tomllib` gives values without places. This reads a document a second time, once `tomllib` has accepted it: so it
need not judge what is TOML, only walk along it.
"""

from __future__ import annotations

import re
from bisect import bisect_right

Key = tuple[str | int, ...]
"""The way to a value: `("queues", "debug", "max_nodes")`, `("detect", 0, "hostname")`."""

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n,]+|#[^\n]*)*")  # also the commas between items
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\n]+")  # numbers, dates (which may hold a blank), true and false
_STRINGS = (  # in this order; the closing quotes of the long forms may follow one or two that belong to the text
    re.compile(r'"""(?:\\.|[^\\])*?"""(?:"{0,2})', re.DOTALL),
    re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL),
    re.compile(r'"(?:\\.|[^"\\])*"'),
    re.compile(r"'[^']*'"),
)


def lines(text: str) -> dict[Key, int]:
    """The line, from 1 on, where each value of a valid TOML document is first named."""
    return _Walk(text).document()


class _Walk:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.positions: dict[Key, int] = {}
        self.breaks = [match.start() for match in re.finditer("\n", text)]
        self.items: dict[Key, int] = {}  # how many tables each [[array]] has so far

    def document(self) -> dict[Key, int]:
        table: Key = ()
        while self.past(_BLANK) < len(self.text):
            if self.text.startswith("[", self.at):
                table = self.header()
            else:
                self.pair(table)
        return self.positions

    def past(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
        return self.at

    def mark(self, key: Key, at: int) -> None:
        self.positions.setdefault(key, bisect_right(self.breaks, at - 1) + 1)

    def header(self) -> Key:
        start, several = self.at, self.text.startswith("[[", self.at)
        self.at += 2 if several else 1
        *above, last = self.key()
        self.at = self.text.index("]", self.at) + (2 if several else 1)
        table: Key = ()
        for part in above:
            table = (*table, part)
            self.mark(table, start)
            if table in self.items:
                table = (*table, self.items[table] - 1)
        table = (*table, last)
        self.mark(table, start)
        if several:
            number = self.items.get(table, 0)
            self.items[table] = number + 1
            table = (*table, number)
            self.mark(table, start)
        return table

    def key(self) -> list[str]:
        parts: list[str] = []
        while True:
            start = self.past(_SPACE)
            if self.text[start] in "\"'":
                parts.append(self.quoted())
            else:
                parts.append(self.text[start : self.past(_BARE_KEY)])
            if self.text[self.past(_SPACE)] != ".":
                return parts
            self.at += 1

    def quoted(self) -> str:
        import tomllib

        start = self.at
        self.string()
        text: str = tomllib.loads(f"key = {self.text[start : self.at]}")["key"]
        return text

    def string(self) -> None:
        for pattern in _STRINGS:
            start = self.at
            if self.past(pattern) > start:
                return

    def pair(self, table: Key) -> None:
        start = self.at
        for part in self.key():
            table = (*table, part)
            self.mark(table, start)
        self.at += 1  # the =
        self.value(table)

    def value(self, key: Key) -> None:
        opening = self.text[self.past(_SPACE)]
        if opening in "\"'":
            self.string()
        elif opening == "[":
            self.at += 1
            number = 0
            while self.text[self.past(_BLANK)] != "]":
                self.mark((*key, number), self.at)
                self.value((*key, number))
                number += 1
            self.at += 1
        elif opening == "{":
            self.at += 1
            while self.text[self.past(_BLANK)] != "}":
                self.pair(key)
            self.at += 1
        else:
            self.past(_BARE_VALUE)
