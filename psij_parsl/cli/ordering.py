"""Sorts rows of a table of which there may be many: only their sort keys are kept, and what is printed of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from tempfile import SpooledTemporaryFile
from typing import Any

from ..errors import Unwritten

Order = Sequence[tuple[str, bool]]
"""Keys of a row's data, the most important first, each with whether the greatest value comes first."""

_IN_MEMORY = 1 << 25  # bytes of texts; if there are more, they are in a temporary file until they are printed


class Ranks:
    """The sort keys of rows, in the order in which these came."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._values: list[list[Any]] = [[] for _ in order]
        self._count = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Take the sort keys of the next row."""
        self._count += 1
        for values, (key, _) in zip(self._values, self._order, strict=True):
            values.append(row[key])

    def places(self) -> Sequence[int]:
        """Which row comes first, second, and so on; those without a value are last."""
        places = list(range(self._count))
        for values, (_, reverse) in reversed(list(zip(self._values, self._order, strict=True))):
            known = [at for at in places if values[at] is not None]
            lacking = [at for at in places if values[at] is None]
            places = [*sorted(known, key=values.__getitem__, reverse=reverse), *lacking]
        return places


def texts_in_order(rows: Iterable[Mapping[str, Any]], order: Order) -> Iterator[str]:
    """The rows as JSON, in that order."""
    ranks, ends = Ranks(order), [0]
    with SpooledTemporaryFile(_IN_MEMORY) as file:
        for row in rows:
            ranks.add(row)
            text = json.dumps(row, default=str).encode()
            try:
                ends.append(ends[-1] + file.write(text))
            except OSError as error:
                raise Unwritten(
                    f"no temporary file can be written, through which so many jobs are sorted: {error.strerror}",
                    hint="set TMPDIR to a directory with room, or leave out --sort",
                ) from error
        for at in ranks.places():
            file.seek(ends[at])
            yield file.read(ends[at + 1] - ends[at]).decode()
