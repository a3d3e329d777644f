"""The dependencies of a job, and whether one is met, can never be met, or is still open."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from ..dependency import BY_ELEMENT, SINGLETON, Dependency, alternatives
from ..errors import Error
from ..states import JobState
from .journal import Journal
from .record import JobRecord


class Dependencies(NamedTuple):
    """The dependencies of a job, for the manager and for the job's own script.

    `ids` are `kind:id` with the manager's ids. `guards` are pairs of a kind and the folders of a job: the script
    reads the exit files there. They are for a manager that can only wait for an end, whatever the exit code.
    """

    ids: Sequence[str] = ()
    guards: Sequence[tuple[str, Sequence[str]]] = ()


class Outcome(Enum):
    """Whether a dependency is met."""

    OPEN = "the job that it names has not ended"
    MET = "it ended as asked"
    NEVER = "it ended otherwise"


def outcome(kind: str, entry: JobRecord, key: str) -> Outcome:
    """Whether a dependency of that kind on a job of ours is met, can never be met, or is open."""
    if not entry.over(key):
        return Outcome.OPEN
    ends = [entry.ended[key]] if key not in ("", "*") else list(entry.ended.values())
    if kind in ("afterany", "after"):
        return Outcome.MET
    all_well = all(status.state is JobState.COMPLETED for status in ends)
    return Outcome.MET if all_well == (kind in ("afterok", BY_ELEMENT)) else Outcome.NEVER


def unmet(journal: Journal, after: Sequence[str], key: str = "") -> str:
    """The name of the first job among these dependencies that did not end as required; '' if there is none.

    `key` is the key of the element that comes after them.
    """
    for text in after:
        try:
            each = alternatives(text)
            if all(_never(journal, one, key) for one in each):
                return f"job {each[0].job}"
        except Error:
            continue
    return ""


def _never(journal: Journal, one: Dependency, key: str) -> bool:
    if one.kind == SINGLETON:
        return False
    jobs = journal.find([one.job], elements=False)
    if one.kind == BY_ELEMENT:
        jobs = [(entry, key) for entry, _ in jobs if entry.has(key)]
    return any(outcome(one.kind, entry, part) is Outcome.NEVER for entry, part in jobs)
