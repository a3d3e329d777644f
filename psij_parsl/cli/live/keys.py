"""The keys that a terminal sends."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder

_NAMES = {
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x15": "clear",  # Ctrl-U, as shells have it
    "\x0c": "redraw",  # Ctrl-L
}
_ENDS = {
    "A": "up",
    "B": "down",
    "H": "home",
    "F": "end",
    "1~": "home",
    "4~": "end",
    "5~": "page up",
    "6~": "page down",
    "7~": "home",
    "8~": "end",
}
_SEQUENCE = re.compile(r"\x1b(?:\[([0-9;?<]*)([@-~])|O(.))", re.DOTALL)
_BEGUN = re.compile(r"\x1b(?:\[[0-9;?<]*|O)?")


class Keys:
    """Splits what a terminal sends into keys: a character is itself, any other key a word."""

    def __init__(self) -> None:
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    @property
    def waiting(self) -> bool:
        """Whether the beginning of a key is there: its rest comes at once, or it was the key Esc."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[str]:
        """The keys that are complete with these bytes."""
        text, self._rest = self._rest + self._decoder.decode(data), ""
        keys: list[str] = []
        while text:
            if sequence := _SEQUENCE.match(text):
                keys += _sequence_key(sequence)
                text = text[sequence.end() :]
            elif _BEGUN.fullmatch(text):
                self._rest = text
                break
            else:
                keys += _key(text[0])
                text = text[1:]
        return keys

    def flush(self) -> list[str]:
        """The keys in a beginning that nothing has followed."""
        begun, self._rest = self._rest, ""
        return ["escape"] if begun else []


def _sequence_key(sequence: re.Match[str]) -> list[str]:
    numbers, last, other = sequence.groups()
    end = other or (f"{numbers.partition(';')[0]}{last}" if last == "~" else last)
    return [_ENDS[end]] if end in _ENDS else []


def _key(character: str) -> list[str]:
    if character == "\x1b":
        return ["escape"]
    if character in _NAMES:
        return [_NAMES[character]]
    return [character] if character.isprintable() else []
