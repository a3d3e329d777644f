"""Items as they are needed, and as they come: from a pipe they may be long in coming, while tasks end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, Queue

from .source import Item

_AHEAD = 1000  # items that are read before they are needed


class Feed:
    """The items of an iterator. `waits`: it may wait for each, so a thread reads it and calls `wake` when one came.

    `ended`: there are no more.
    """

    def __init__(self, items: Iterator[Item], wake: Callable[[], object], *, waits: bool) -> None:
        self.ended = False
        self._items = items
        self._wake = wake
        self._read: Queue[Item | BaseException | None] | None = None
        if waits:
            self._read = Queue(_AHEAD)
            threading.Thread(target=self._reading, args=(self._read,), name="farm input", daemon=True).start()

    def take(self) -> Item | None:
        """The next item; None if there is none, or none yet. Raises what reading it has raised."""
        if self._read is None:
            item: Item | BaseException | None = next(self._items, None)
        else:
            try:
                item = self._read.get_nowait()
            except Empty:
                return None
        if isinstance(item, BaseException):
            raise item
        self.ended = item is None
        return item

    def _reading(self, read: Queue[Item | BaseException | None]) -> None:
        try:
            for item in self._items:
                read.put(item)
                self._wake()
            read.put(None)
        except BaseException as error:  # noqa: BLE001 - whoever takes it raises it
            read.put(error)
        self._wake()
