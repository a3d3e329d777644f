"""The dependencies of a job, and whether one is met, can never be met, or is still open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ..errors import Error
from ..states import JobState
from .journal import Journal
from .record import JobRecord


@dataclass(frozen=True)
class Dependencies:
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


def split_dependency(text: str) -> tuple[str, str]:
    """Split `kind:job` into its two parts; the kind of a job alone is 'afterok'."""
    kind, colon, name = text.partition(":")
    return (kind, name) if colon else ("afterok", text)


def outcome(kind: str, entry: JobRecord, key: str) -> Outcome:
    """Whether a dependency of that kind on a job of ours is met, can never be met, or is open."""
    if not entry.over(key):
        return Outcome.OPEN
    ends = [entry.ended[key]] if key not in ("", "*") else list(entry.ended.values())
    if kind in ("afterany", "after"):
        return Outcome.MET
    all_well = all(status.state is JobState.COMPLETED for status in ends)
    return Outcome.MET if all_well == (kind == "afterok") else Outcome.NEVER


def unmet(journal: Journal, after: Sequence[str]) -> str:
    """The name of the first job among these dependencies that did not end as required; '' if there is none."""
    for text in after:
        kind, name = split_dependency(text)
        try:
            jobs = journal.find([name], elements=False)
        except Error:
            continue
        if any(outcome(kind, entry, key) is Outcome.NEVER for entry, key in jobs):
            return f"job {name}"
    return ""
