"""Which of the tasks are still to be run, where an earlier farm has run some of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ..errors import InvalidRequest
from .source import Item, Source
from .state_file import BEGUN, DONE, FAILED, NEW, STOPPED, StateFile
from .summary import Summary

AGAIN = {"failed": FAILED, "unknown": BEGUN}


class Remaining:
    """The items of a source that have not begun, or were stopped, or that are to be run `again`; see `AGAIN`.

    The others are counted in the summary.
    """

    def __init__(self, source: Source, state: StateFile, again: Collection[str], summary: Summary) -> None:
        self._source, self._state, self._summary = source, state, summary
        self._anew = {NEW, STOPPED, *(AGAIN[word] for word in again)}

    def items(self) -> Iterator[Item]:
        """Those items. Raises `InvalidRequest` where one that has begun is another one now."""
        summary = self._summary
        number = -1
        for item in self._source:
            number = item.number
            known = self._checked(item)
            if known in self._anew:
                yield item
            elif known == DONE:
                summary.before += 1
            elif known == FAILED:
                summary.failed_before += 1
            else:
                summary.unknown.append(item.index)
        self._check_number(number)
        summary.total = number + 1

    def compare(self) -> None:
        """Look whether those that have begun are the same now, where the source can be read twice."""
        if not self._source.again or self._state.highest < 0:
            return
        number = -1
        for item in self._source:
            number = item.number
            self._checked(item)
            if number >= self._state.highest:
                break
        self._check_number(number)

    def _checked(self, item: Item) -> int:
        """How an item is, as an earlier farm has left it."""
        known = self._state.state(item.number)
        if known != NEW and self._state.sum(item.number) not in (0, item.sum):
            raise self._others(f"task {item.index} is another command now")
        return known

    def _check_number(self, number: int) -> None:
        if number < self._state.highest:
            raise self._others(f"it has {number + 1} tasks, and had at least {self._state.highest + 1}")

    def _others(self, why: str) -> InvalidRequest:
        return InvalidRequest(
            f"{self._source.name} is not what {self._state.path} tells of: {why}",
            hint="give it the tasks that it had, or begin anew with --fresh",
        )
