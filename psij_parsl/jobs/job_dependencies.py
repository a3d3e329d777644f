"""What a job is to come after, and whether that is met, can never be met, or is still open."""

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
    """What a job is to come after, for the manager and for the job's own script.

    `ids` are `kind:id` in the manager's ids. `guards` are pairs of a kind and the folders of a job whose exit files
    tell how it ended, for a manager that knows any end only.
    """

    ids: Sequence[str] = ()
    guards: Sequence[tuple[str, Sequence[str]]] = ()


class Outcome(Enum):
    """What has become of a dependency."""

    OPEN = "the job that it names has not ended"
    MET = "it ended as asked"
    NEVER = "it ended otherwise"


def split_dependency(text: str) -> tuple[str, str]:
    """The kind and the job that `kind:job`, or a job alone, stands for."""
    kind, colon, name = text.partition(":")
    return (kind, name) if colon else ("afterok", text)


def outcome(kind: str, entry: JobRecord, key: str) -> Outcome:
    """What has become of a dependency of that kind on a job of ours."""
    if not entry.over(key):
        return Outcome.OPEN
    ends = [entry.ended[key]] if key not in ("", "*") else list(entry.ended.values())
    if kind in ("afterany", "after"):
        return Outcome.MET
    all_well = all(status.state is JobState.COMPLETED for status in ends)
    return Outcome.MET if all_well == (kind == "afterok") else Outcome.NEVER


def unmet(journal: Journal, after: Sequence[str]) -> str:
    """The first job that one was to come after and that ended otherwise than asked; '' if there is none."""
    for text in after:
        kind, name = split_dependency(text)
        try:
            jobs = journal.find([name], elements=False)
        except Error:
            continue
        if any(outcome(kind, entry, key) is Outcome.NEVER for entry, key in jobs):
            return f"job {name}"
    return ""
