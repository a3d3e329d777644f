"""One line of a table of jobs: a job, or an element of an array, as it is now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..jobs.record import JobRecord, element_id
from ..states import JobState, JobStatus
from .output import short_moment

JobKey = tuple[str, str]
"""Our id of a submission, and the index of an array element as in a selection."""


class JobRow(NamedTuple):
    """One job, or array element ('*': the whole array), as it is now."""

    entry: JobRecord
    key: str
    status: JobStatus
    native: str
    note: str = ""
    pending: str = ""  # why it waits, as the manager calls it
    pending_words: str = ""  # the same in words
    as_of: float | None = None  # when the manager was asked; None if it has ended, or nobody has said

    @property
    def place(self) -> JobKey:
        """What tells it from all others."""
        return self.entry.id, self.key

    @property
    def id(self) -> str:
        """The id that people use for it."""
        return element_id(self.entry, self.key)

    @property
    def resubmitted_from(self) -> str | None:
        """The id of the job, or the element, that this one repeats."""
        earlier = self.entry.resubmitted_from
        return f"{earlier}_{self.key}" if earlier and self.key not in ("", "*") else earlier or None

    @property
    def why(self) -> str:
        """Why it is in its state, in a few words."""
        message = self.status.describe().partition(", ")[2] if self.status.final else self._progress
        orphaned = ""
        if self.entry.orphaned:
            # A workflow that ends normally cancels its blocks, and is gone before the manager reports their ends.
            asked = self.entry.cancel_asked(self.key) and not self.entry.cancel_unsent(self.key)
            orphaned = "asked to be cancelled" if asked else "its workflow is gone: `psij-run cancel --orphans`"
        held = "held" if self.status.held and not message.startswith("held") else ""
        again = f"again of {self.resubmitted_from}" if self.resubmitted_from else ""
        return "; ".join(filter(None, (held, "" if message == "None" else message, self.note, orphaned, again)))

    @property
    def _progress(self) -> str:
        """What is known of a job that has not ended: of an array, how its elements are and why some wait."""
        if self.key != "*":
            return self.pending_words or self.status.message
        return ": ".join(filter(None, (self.status.message, self.pending_words)))

    def data(self, now: float) -> dict[str, Any]:
        """Plain data for a renderer. Times are seconds since the epoch, or seconds."""
        entry, status = self.entry, self.status
        return {
            "id": self.id,
            "native_id": self.native,
            "name": entry.name,
            "state": status.state.name,
            "native_state": status.native,
            "exit_code": status.exit_code,
            "signal": status.signal,
            "reason": status.reason.name if status.reason else None,
            "hint": status.reason.hint if status.reason else "",
            "message": status.message,
            "why": self._why_at(now),
            "pending_reason": self.pending,
            "platform": entry.platform,
            "site": entry.site,
            "where": entry.site or entry.platform,
            "cluster": entry.cluster,
            "resubmitted_from": self.resubmitted_from,
            "nodes": status.nodes,
            "attempt": status.attempt,
            "held": status.held,
            "expected_start": status.expected if status.state is JobState.QUEUED else None,
            **self.times(now),
            "usage": self._recorded_usage(),
            "as_of": self.as_of,
            "folder": f"{entry.place}/{self.key}" if self.key not in ("", "*") else entry.place,
        }

    def times(self, now: float) -> dict[str, float | None]:
        """Those of its data that are times. None is negative, whatever the clocks of hosts say."""
        entry, status = self.entry, self.status
        submitted, started, ended = entry.committed or entry.intended, status.started, status.ended
        queue_end = started or ended or (None if status.final or status.state is JobState.ACTIVE else now)
        return {
            "submitted": submitted or None,
            "started": started,
            "ended": ended,
            "queue_s": max(0.0, queue_end - submitted) if queue_end and submitted else None,
            "run_s": max(0.0, (ended or now) - started) if started and (ended or not status.final) else None,
        }

    def shown(self, now: float) -> dict[str, Any]:
        """Those of its data that tables show or sort by: a third of the work."""
        return {
            "id": self.id,
            "native_id": self.native,
            "name": self.entry.name,
            "state": self.status.state.name,
            "why": self._why_at(now),
            "where": self.entry.site or self.entry.platform,
            **self.times(now),
        }

    def _recorded_usage(self) -> dict[str, Any] | None:
        """What it has used, as far as the journal has that; nobody is asked."""
        if not self.entry.used:
            return None
        from ..platforms.usage import Usage, total

        whole = self.key == "*"
        recorded = [self.entry.used[key] for key in self.entry.keys_of(self.key) if key in self.entry.used]
        figures = [usage for data in recorded if (usage := Usage.from_plain(data)) is not None and usage.known]
        if not figures:
            return None
        return (total(figures) if whole else figures[0]).to_dict()

    def _why_at(self, now: float) -> str:
        """Why it is in its state, and when it is expected to start."""
        expected = self.status.expected
        if not expected or expected <= now or self.status.state is not JobState.QUEUED:
            return self.why
        return "; ".join(filter(None, (self.why, f"expected to start {_at(expected, now)}")))


def _at(moment: float, now: float) -> str:
    """A point in time in a sentence: without the date if it is today."""
    shown = short_moment(moment)
    return f"at {shown[6:]}" if shown[:5] == short_moment(now)[:5] else f"on {shown}"


def recorded_row(entry: JobRecord) -> JobRow:
    """A job by the journal alone, an array as a whole."""
    return JobRow(entry, "*" if entry.array else "", recorded(entry, ""), entry.native)


def recorded(entry: JobRecord, key: str) -> JobStatus:
    """The status by the journal alone."""
    if not entry.array and "" in entry.ended:
        return entry.ended[""]
    not_ended = JobStatus(JobState.QUEUED if entry.native else JobState.NEW)
    keys = entry.keys_of(key)
    statuses = [entry.ended.get(index, not_ended) for index in keys]
    return of_all(statuses)


def of_all(statuses: Sequence[JobStatus]) -> JobStatus:
    """The status of the elements together."""
    if len(statuses) == 1:
        return statuses[0]
    from ..jobs.array_status import summary

    return summary(statuses)
