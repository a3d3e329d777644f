"""Selects the records of the manager's answer that are proved to be of our open jobs (see `identity`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from .channel import Channel
from .identity import SAME_S, Whose, bearers_of, whose
from .native_ids import native_id, whole_id
from .record import JobRecord, element_id
from .snapshot import View

if TYPE_CHECKING:
    from ..platforms.queries import Answer, SchedulerRecord


class Expected(NamedTuple):
    """An element of an open submission: its key, the manager's id, and that id as `Scheduler.plain_id` gives it."""

    entry: JobRecord
    key: str
    native: str
    plain: str


class Evidence:
    """The records of one answer that are proved to be ours. The caller has the snapshot's lock."""

    def __init__(self, channel: Channel, old: View, entries: Iterable[JobRecord]) -> None:
        self.platform, self.scheduler, self.old = channel.platform, channel.scheduler, old
        self.clock, self.tagged = old.clock, old.tagged
        self.expected: dict[str, Expected] = {}  # by our ids of jobs and elements
        self.records: dict[str, SchedulerRecord] = {}  # proved to be ours, by our ids
        self.strangers: set[str] = set()  # our ids of jobs whose manager's ids belong to other jobs now
        self.born: dict[str, float] = {}  # the manager's own submission times, by our ids
        self.earliest = float("inf")  # submission time of all our records that are not from the history
        for entry in entries:
            if entry.native:
                self.expect(entry)

    def expect(self, entry: JobRecord) -> None:
        """Expect a record for each element of a submission that has not ended."""
        plain_id = self.scheduler.plain_id
        if not entry.array:  # the common case, for thousands of jobs
            self.expected[entry.id] = Expected(entry, "", entry.native, plain_id(entry.native))
            return
        for key in entry.keys:
            if key not in entry.ended:
                native = native_id(self.scheduler, entry, key)
                self.expected[element_id(entry, key)] = Expected(entry, key, native, plain_id(native))

    def replace(self, before: JobRecord, after: JobRecord, answer: Answer) -> None:
        """Replace the records under the old id of a submission by those under its new id."""
        for key in before.keys:
            self.expected.pop(element_id(before, key), None)
            self.records.pop(element_id(before, key), None)
        self.expect(after)
        for key in after.keys:
            job_id = element_id(after, key)
            if job_id in self.expected and (record := answer.records.get(self.expected[job_id].plain)):
                self._take(job_id, self.expected[job_id], record)

    def take_live(
        self, live: Mapping[str, SchedulerRecord], needs_no_history: Callable[[str, Expected], bool]
    ) -> list[str]:
        """Take the live records that are ours. Returns the ids about which the manager's history must be asked."""
        missing = []
        unseen = []
        for job_id, element in self.expected.items():
            record = live.get(element.plain)
            if record is not None and self._take(job_id, element, record, tagged=self.old.tagged):
                continue
            unseen.append((job_id, element))
            if not needs_no_history(job_id, element):
                missing.append(element.native)
        self._note_strangers(live, unseen)
        return missing

    def take_past(self, answer: Answer) -> None:
        """Take from the history, for each id, the last record that is ours. One with our tag is preferred."""
        our_ids = {id(record): bearers_of(self.scheduler, record) for past in answer.past.values() for record in past}
        if not our_ids:
            return
        tagged = any(our_ids.values())
        for job_id, element in self.expected.items():
            past = answer.past.get(element.plain, ()) if job_id not in self.records else ()
            past = [record for record in past if not _is_earlier_attempt(element.entry, record)]
            ours_last = sorted(past, key=lambda record: (bool(our_ids[id(record)]), record.submitted or 0.0))
            for record in reversed(ours_last):
                if self._take(job_id, element, record, tagged=tagged, past=True):
                    break

    def new_submission_times(self, entries: Iterable[JobRecord]) -> dict[str, float]:
        """The manager's own submission times that are not in the journal yet, by our ids."""
        recorded = {entry.id: entry.born for entry in entries}
        return {job_id: born for job_id, born in self.born.items() if recorded.get(job_id) != born}

    def _note_strangers(self, live: Mapping[str, SchedulerRecord], unseen: Collection[tuple[str, Expected]]) -> None:
        """Add to `strangers` jobs without a record whose ids would make the manager's commands reach another job.

        The id of a job may be that of an array now, or of an element of one, and the other way round.
        """
        reached: dict[str, list[SchedulerRecord]] = {}
        plain_id, whole = self.scheduler.plain_id, self.scheduler.whole
        if unseen:
            for plain, record in live.items():
                for name in {plain, plain_id(whole_id(self.scheduler, record)), record.alias}:
                    reached.setdefault(name, []).append(record)
        others: dict[tuple[str, str], bool] = {}  # by our id of a submission, and the manager's
        for job_id, element in unseen:
            for name in {
                element.plain,
                plain_id(element.entry.native),
                plain_id(whole(element.native)),
            } & reached.keys():
                pair = element.entry.id, name
                if pair not in others:
                    others[pair] = any(
                        whose(self.scheduler, element.entry, record, clock=self.clock, tagged=self.old.tagged)
                        is Whose.STRANGER
                        for record in reached[name]
                    )
                if others[pair]:
                    self.strangers.add(job_id)

    def _take(
        self, job_id: str, element: Expected, record: SchedulerRecord, *, tagged: bool = False, past: bool = False
    ) -> bool:
        """Take a record if it is proved to be of that job; `past`: it is from the manager's history."""
        entry, attempt = element.entry, 0
        if record.tag != self.scheduler.tag(entry.id) or record.cluster:
            row = self.old.status(job_id)
            attempt = row.attempt if row is not None else 0
            owner = whose(self.scheduler, entry, record, attempt=attempt, clock=self.clock, tagged=tagged, past=past)
            if owner is Whose.STRANGER:
                self.scheduler.warn_once(
                    f"{self.platform}'s job {element.native} is not our job {entry.id}, which had that id: it is left"
                    " alone"
                )
                self.strangers.add(job_id)
                return False
            self.tagged = self.tagged or owner is Whose.TAGGED
        else:
            self.tagged = True
        self.records[job_id] = record
        if record.submitted is not None:
            if record.submitted < self.earliest and not past:
                self.earliest = record.submitted
            if entry.born is None or (record.submitted > entry.born + SAME_S and not entry.array):
                self.born[entry.id] = record.submitted
                if entry.born is None and not entry.attached and max(attempt, record.status.attempt) == 0:
                    self.clock = record.submitted - (entry.intended + (entry.committed or entry.intended)) / 2
        return True


def _is_earlier_attempt(entry: JobRecord, record: SchedulerRecord) -> bool:
    """Whether a record of the history is of an attempt before the last one that we saw.

    A requeue sets a new submission time.
    """
    if entry.array or entry.born is None or record.submitted is None:
        return False
    return record.submitted < entry.born - SAME_S
