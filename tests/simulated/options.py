"""Helpers to read directive lines and times."""

from __future__ import annotations


def directive_lines(text: str, prefix: str) -> list[str]:
    """What follows the prefix on its lines before the first command; a backslash at a line's end joins the next one."""
    found: list[str] = []
    lines = iter(text.split("\n"))
    for line in lines:
        if line.startswith(prefix):
            while line.endswith("\\"):
                line = line[:-1] + next(lines, "")
            found.append(line.removeprefix(prefix).strip())
        elif line.strip() and not line.startswith("#"):
            break
    return found


def split_words(line: str) -> list[str]:
    """The words of a directive. Quotes hold blanks together; there is no other escape. Raises `ValueError`."""
    words, word, quote, inside = [], "", "", False
    for letter in line:
        if quote:
            if letter == quote:
                quote = ""
            else:
                word += letter
        elif letter in "'\"":
            quote, inside = letter, True
        elif letter.isspace():
            if word or inside:
                words.append(word)
            word, inside = "", False
        else:
            word += letter
    if quote:
        raise ValueError(f"unmatched {quote}")
    return [*words, word] if word or inside else words


def in_seconds(clock: str) -> int:
    """`1:30:00` or `90`."""
    return sum(60**power * int(part) for power, part in enumerate(reversed(clock.split(":"))))


def clock(seconds: int) -> str:
    """`01:30:00`."""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def indices(text: str) -> list[int]:
    """`0-3,7` or `0-8:2`."""
    found: list[int] = []
    for span in text.split(","):
        ends, _, step = span.partition(":")
        first, _, last = ends.partition("-")
        found += range(int(first), int(last or first) + 1, int(step or 1))
    return found
