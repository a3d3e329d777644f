"""The `queue` statement of a description: how many jobs it makes, and the values that macros have in each of them."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psij_parsl.platforms.directives import NoEquivalent, count

_QUEUE = re.compile(
    r"(?P<number>\d+)?\s*"
    r"(?:\b(?P<names>\w+(?:[\s,]+\w+)*?)??\s*\b(?P<how>in|from|matching(?:\s+(?:files|dirs|any))?)\b\s*"
    r"(?P<slice>\[\s*-?\d*\s*:\s*-?\d*\s*(?::\s*-?\d*\s*)?\])?(?P<items>.*))?",
    re.IGNORECASE | re.DOTALL,
)
_MOST = 100_000
_LARGEST = 1 << 24  # bytes of a file with items


@dataclass(frozen=True)
class Queue:
    """A statement: `each` so many jobs for each item. An item has a value for each name; without items there are none.

    `rows` are the places of the items in the whole list, of which a slice may have been taken.
    """

    each: int
    names: tuple[str, ...] = ()
    items: tuple[tuple[str, ...], ...] = ((),)
    rows: Sequence[int] = (0,)

    def __len__(self) -> int:
        return self.each * len(self.items)

    @property
    def has_indices(self) -> bool:
        """Whether its items are the indices of an array: different numbers, each for one job."""
        texts = [item[0] for item in self.items if len(item) == 1]
        plain = all(re.fullmatch(r"0|[1-9]\d{0,8}", text) for text in texts)
        return plain and self.each == 1 and len({*texts}) == len(self.items)

    @property
    def indices(self) -> Sequence[int]:
        """The indices of the array that it is; none where it makes one job."""
        if self.has_indices:
            return [int(item[0]) for item in self.items]
        return range(len(self)) if len(self) > 1 else ()

    def jobs(self) -> Sequence[Mapping[str, str]]:
        """The values of the macros in each job, by their names in lower case."""
        found = []
        for row, item in enumerate(self.items):
            for step in range(self.each):
                number = str(row * self.each + step)
                values = {"process": number, "procid": number, "step": str(step)}
                values |= dict.fromkeys(("row", "itemindex"), str(self.rows[row]))
                found.append({**values, **dict(zip(self.names, item, strict=True))})
        return found


def names_of(statement: str) -> set[str]:
    """The names in lower case to which a statement gives values."""
    match = _QUEUE.fullmatch(statement.strip())
    return {*re.split(r"[\s,]+", ((match and match["names"]) or "").lower())} - {""}


def queue(statement: str) -> Queue:
    """What follows the word `queue`. Raises `ValueError`, and `NoEquivalent`."""
    text = re.sub(r"^\s*\d+(\s*\*\s*\d+)+", lambda product: str(_product(product[0])), statement).strip()
    match = _QUEUE.fullmatch(text)
    if match is None:
        raise NoEquivalent("counts its jobs by an expression")
    each = count(match["number"] or "1")
    if not match["how"]:
        return _of_sane_length(Queue(each))
    names = tuple(re.split(r"[\s,]+", (match["names"] or "item").lower()))
    how, _, kind = " ".join(match["how"].lower().split()).partition(" ")
    texts = _items(how, kind, match["items"].strip())
    rows: Sequence[int] = range(len(texts))
    if match["slice"]:
        rows = rows[slice(*(int(text) if text.strip() else None for text in match["slice"][1:-1].split(":")))]
    if not rows:
        raise ValueError("has no items, so that it makes no job")
    return _of_sane_length(Queue(each, names, tuple(_values(texts[row], names) for row in rows), rows))


def _product(text: str) -> int:
    product = 1
    for figure in text.split("*"):
        product *= count(figure.strip())
    return product


def _of_sane_length(statement: Queue) -> Queue:
    if len(statement) > _MOST:
        raise NoEquivalent(f"makes {len(statement)} jobs, and an array of ours has {_MOST} at most")
    return statement


def _items(how: str, kind: str, rest: str) -> list[str]:
    """The texts of the items, one for each."""
    inner = re.fullmatch(r"\((.*?)\)?", rest, re.DOTALL)
    if how == "from" and inner:
        lines = [line.strip() for line in inner[1].strip().split("\n")]
        if "" in lines and inner[1].strip():
            raise ValueError("has an item without a value, for a line within its brackets is empty")
        return [line for line in lines if line and not line.startswith("#")]
    if how != "from":
        words = [word for word in re.split(r"[,\s]+", inner[1] if inner else rest) if word]
        return words if how == "in" else _matching(kind, words)
    if rest.endswith("|"):
        raise NoEquivalent("has items that a program prints; write them to a file")
    path = os.path.expanduser(rest)
    try:
        if os.path.getsize(path) > _LARGEST:
            raise ValueError(f"names a file that is too long: {rest}")
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.strip() for line in file.read().splitlines()]
    except OSError as error:
        raise ValueError(f"names a file that cannot be read: {rest}: {error.strerror}") from error
    if "" in lines:
        raise ValueError(f"has an item without a value, for line {lines.index('') + 1} of {rest} is empty")
    return lines  # a line that begins with # is an item, too


def _matching(kind: str, patterns: Sequence[str]) -> list[str]:
    """The files, or folders, whose names match; a folder's has a slash behind it, as HTCondor gives it."""
    found = dict.fromkeys(path.rstrip("/") for pattern in patterns for path in sorted(glob.glob(pattern)))
    are_folders = {path: os.path.isdir(path) for path in found}
    return [
        f"{path}/" if is_folder else path
        for path, is_folder in are_folders.items()
        if kind != ("files" if is_folder else "dirs")
    ]


def _values(item: str, names: Sequence[str]) -> tuple[str, ...]:
    """The values of the names: words between commas or blanks, and the last has the rest."""
    if item.startswith('"'):  # HTCondor takes the item before it once more, or refuses it, by its version
        raise NoEquivalent(f"has an item in double quotes, {item}")
    values = re.split(r"[,\s]\s*", item, maxsplit=len(names) - 1) if len(names) > 1 else [item]
    if len(values) < len(names):  # HTCondor has that of another item, or none
        raise ValueError(f"has no value for {names[len(values)]} in the item {item!r}")
    return tuple(values)
