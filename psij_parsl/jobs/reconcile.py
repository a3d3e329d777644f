"""Brings the journal up to date: one query about all open jobs, and the status of each job from its answer.

`reconcile` asks the manager once about all open jobs of a platform and cluster. It selects the records that are
proved to be ours (see `evidence`), recovers interrupted submissions and cancels duplicates (see `recovery`), decides
the status of each job from the manager's record, the exit file and the journal (see `verdict`), and sends the cancel
commands that could not be sent before.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import JournalError, SchedulerError, Unavailable
from ..platforms.queries import Answer
from ..states import JobState, JobStatus, sound
from .channel import Channel
from .evidence import Evidence, Expected
from .job_dependencies import unmet
from .job_folder import ABANDONED, claimed_by
from .native_ids import element_ids
from .record import JobRecord
from .recovery import Recovery, try_cancel
from .snapshot import View, pack
from .verdict import Inquiry, resolve_status

if TYPE_CHECKING:
    from ..platforms.queries import SchedulerRecord

log = logging.getLogger(__name__)

_SUBMITTED = JobStatus(JobState.QUEUED)


def held_until_dropped(record: SchedulerRecord) -> SchedulerRecord:
    """The record of a failed job that the manager still keeps, shown as held until it is removed."""
    status = replace(record.status, state=JobState.QUEUED, reason=None, ended=None, held=True)
    return record._replace(status=status, leftover=False)


def reconcile(channel: Channel, old: View) -> View:
    """Ask the manager about every open job and return the new view; ends go into the journal.

    Raises `Unavailable` if the manager gave no answer: then nothing has changed. If the manager can never answer,
    there are no records, and the exit files decide.
    """
    asked = time.time()  # before the journal is read: a job committed later is not expected
    platform, cluster = channel.platform, channel.cluster  # local variables: there may be thousands of records
    entries = [
        entry
        for entry in channel.journal.open_entries().values()
        if entry.platform == platform and entry.cluster == cluster
    ]
    with _without_garbage_collector():
        return _Reconciliation(channel, old, entries, asked).view()


@contextmanager
def _without_garbage_collector() -> Iterator[None]:
    """Switch off the garbage collector: it would traverse all objects of a large answer again and again."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Reconciliation:
    """One query to the manager, and all that follows from its answer. The caller has the snapshot's lock."""

    def __init__(self, channel: Channel, old: View, entries: list[JobRecord], asked: float) -> None:
        self.channel, self.old, self.entries, self.asked = channel, old, entries, asked
        self.journal, self.scheduler, self.platform = channel.journal, channel.scheduler, channel.platform
        self.evidence = Evidence(channel, old, entries)
        self.answer = Answer()

    # ---- asking --------------------------------------------------------------------------------------------

    def view(self) -> View:
        """Ask the manager, decide the status of every job, and record ends in the journal."""
        failure = self._ask()
        evidence = self.evidence
        evidence.take_past(self.answer)
        recovery = Recovery(self.channel, evidence, self.answer, self.entries, self.asked)
        for before, after in _until_journal_error(recovery.recover()):  # if the old id has ended, the job has not
            evidence.replace(before, after, self.answer)
        self.journal.born(evidence.new_submission_times(self.entries))
        return self._decide()._replace(
            failure=failure,
            queries=max(1, self.answer.queries),
            clock=evidence.clock,
            tagged=evidence.tagged,
            strangers=sorted(evidence.strangers - evidence.records.keys()),
        )

    def _ask(self) -> str:
        """Ask the manager; returns why it can never answer, '' if it has answered."""
        oldest = min((entry.intended for entry in self.entries), default=self.asked)
        lone = self.scheduler.lone_elements
        arrays = [entry.native for entry in self.entries if entry.native and entry.array and not lone]
        wholes = {entry.native: self.scheduler.whole(entry.native) for entry in self.entries if entry.attached}
        arrays += [whole for native, whole in wholes.items() if whole != native]  # an attached element of an array
        try:
            self.answer = self.scheduler.qstat(self._ids_for_history, since=oldest, arrays=arrays)
        except Unavailable as error:
            if not error.permanent:
                raise
            all_ids = frozenset(element.native for element in self.evidence.expected.values())
            self.answer = Answer(unheard=all_ids)
            return error.message
        return ""

    def _ids_for_history(self, live: Mapping[str, SchedulerRecord]) -> list[str]:
        return self.evidence.take_live(live, self._needs_no_history)

    def _needs_no_history(self, job_id: str, element: Expected) -> bool:
        return self.scheduler.history_is_dear and self._inquiry(job_id, element, None).ended_by_itself

    # ---- deciding ------------------------------------------------------------------------------------------

    def _decide(self) -> View:
        rows: dict[str, list[Any]] = {}
        missing: dict[str, float] = {}
        unproved: dict[str, float] = {}
        ends: dict[tuple[str, str], JobStatus] = {}
        used: dict[tuple[str, str], Mapping[str, Any]] = {}
        replaced_ids: set[str] = set()
        packed: dict[int, list[Any]] = {}  # by id(status): all jobs that wait for one reason share one object
        records = self.evidence.records
        for job_id, element in self.evidence.expected.items():
            record = records.get(job_id)
            if record is not None and record.leftover:
                record = self._drop(element.entry, element.key, record)
            if record is not None and not record.status.final and not record.moved:
                row = packed.get(id(record.status))
                if row is None:
                    row = packed[id(record.status)] = pack(record.status)
                if row == self.old.rows.get(job_id):  # unchanged
                    rows[job_id] = row
                    continue
                if record.status.state is JobState.UNKNOWN:
                    self.scheduler.warn_once(
                        f"{self.platform} calls the state of a job {record.status.native!r}, which is not known here"
                    )
            elif record is None:
                unproved[job_id] = self.old.proved(job_id)
            status, since = resolve_status(self._inquiry(job_id, element, record))
            if status.final and not sound(status):  # the journal could not store that status: ignore it
                self.scheduler.warn_once(
                    f"{self.platform} tells an end of job {element.native} that makes no sense: {status}"
                )
                rows[job_id] = self.old.rows.get(job_id) or pack(_SUBMITTED)
                continue
            rows[job_id] = pack(status)
            if since is not None and not status.final:
                missing[job_id] = since
            if status.final and (element.entry.id in replaced_ids or self._is_other_copy(element.entry, status)):
                replaced_ids.add(element.entry.id)
                rows[job_id] = self.old.rows.get(job_id) or pack(_SUBMITTED)
            elif status.final:
                ends[element.entry.id, element.key] = status
                if record is not None and record.usage is not None and record.status.final:
                    used[element.entry.id, element.key] = record.usage.to_plain()
        self.journal.end(ends, used)
        self._send_cancels(ends)
        return View(asked=self.asked, rows=rows, missing=missing, unproved=unproved)

    def _inquiry(self, job_id: str, element: Expected, record: SchedulerRecord | None) -> Inquiry:
        entry, evidence = element.entry, self.evidence
        return Inquiry(
            self.scheduler,
            entry,
            element.key,
            element.native,
            record,
            self.old.status(job_id) or _SUBMITTED,
            self.asked,
            history_answered=element.native not in self.answer.unheard,
            missing_since=self.old.missing.get(job_id),
            grace_s=self.channel.grace_s,
            witness=lambda: evidence.earliest <= (entry.born or entry.committed + evidence.clock),
            unmet=lambda: self._unmet(entry, element.key),
        )

    def _unmet(self, entry: JobRecord, key: str) -> str:
        """The name of a job on which this element depends and that did not end as required; '' if there is none.

        Some managers remove such a job from the queue.
        """
        job = self.journal.job(entry)
        return unmet(self.journal, job.after, key) if job is not None else ""

    def _drop(self, entry: JobRecord, key: str, record: SchedulerRecord) -> SchedulerRecord:
        """Remove a failed job that the manager could start again. It is shown as held until that is done."""
        held = held_until_dropped(record)
        if entry.attached:
            return held
        try:
            self.journal.dropping(entry, key, record.status)
            self.scheduler.qdel([record.id])
        except (JournalError, SchedulerError) as error:
            log.warning("%s", error)
            return held
        return record._replace(leftover=False)

    def _is_other_copy(self, entry: JobRecord, status: JobStatus) -> bool:
        """Whether a failed job is a duplicate: another job of the same submission has the claim, so that one has run.

        Then the id of that job is recorded as the id of the submission. It had ended before it was seen.
        """
        owner = "" if status.state is not JobState.FAILED or entry.attached else claimed_by(entry.folder)
        if owner in ("", ABANDONED) or self.scheduler.same_id(owner, entry.native):
            return False
        whole = self.scheduler.whole(owner)
        if self.scheduler.same_id(whole, entry.native):
            return False
        elements = element_ids(self.scheduler, replace(entry, elements=()), ())
        self.journal.twins(entry, [entry.native])
        self.journal.commit(entry, whole, elements=elements)
        return True

    def _send_cancels(self, ends: Collection[tuple[str, str]]) -> None:
        """Cancel the jobs that a user asked to cancel before the manager had shown them."""
        unsent = [
            element
            for job_id, element in self.evidence.expected.items()
            if element.entry.cancelled
            and element.entry.cancel_unsent(element.key)
            and (element.entry.id, element.key) not in ends
            and job_id in self.evidence.records
        ]
        if unsent and try_cancel(self.scheduler, [element.native for element in unsent]):
            sent = {(element.entry.id, element.key) for element in unsent if element.key in element.entry.unsent}
            sent |= {(element.entry.id, "*") for element in unsent if "*" in element.entry.unsent}
            try:
                self.journal.cancel_asked(sent)
            except JournalError as error:  # then the next query sends it once more
                log.warning("%s", error)


def _until_journal_error(changes: Iterator[tuple[JobRecord, JobRecord]]) -> Iterator[tuple[JobRecord, JobRecord]]:
    """The recovered records, until one could not be written to the journal: a later query recovers the rest."""
    try:
        yield from changes
    except JournalError as error:
        log.warning("%s", error)
