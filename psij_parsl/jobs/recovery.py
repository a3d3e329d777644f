"""Recovers submissions that were interrupted: finds the job by its tag or gives it up, and cancels duplicates."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import SchedulerError
from ..states import EndReason, JobState, JobStatus
from ..system.processes import process_has_ended
from .channel import Channel
from .evidence import Evidence
from .identity import Whose, bearers_of, whose
from .job_folder import ABANDONED, abandon, claim, claimed_by
from .journal import Journal
from .native_ids import command_ids, element_ids, whole_id
from .record import JobRecord, element_id

if TYPE_CHECKING:
    from ..platforms.queries import Answer, SchedulerRecord
    from ..platforms.scheduler import Scheduler

log = logging.getLogger(__name__)

_SETTLED = 4.0  # times the settling time: so long a submission without an id is looked for
_SILENT = 5.0  # factor where the submitter is on another host, so that we cannot see it, or had no answer in its time

Copies = dict[str, list["SchedulerRecord"]]
"""The records with one tag of ours, by the manager's id of their submission: more than one id means duplicates."""


class Recovery:
    """Finds, with one answer of the manager, the ids of submissions that have none, or several."""

    def __init__(
        self, channel: Channel, evidence: Evidence, answer: Answer, entries: Sequence[JobRecord], asked: float
    ) -> None:
        self.journal, self.scheduler, self.evidence = channel.journal, channel.scheduler, evidence
        self.answer, self.entries, self.asked = answer, entries, asked
        self.wait_s = channel.settle_s * _SETTLED

    def recover(self) -> Iterator[tuple[JobRecord, JobRecord]]:
        """Find submissions by their tag or give them up, and cancel duplicates.

        Yields the records whose id has changed, as pairs (before, after).
        """
        shown = self._unexpected()
        for entry in self.entries:
            copies = shown.pop(entry.id, {})
            if entry.native and not copies:
                if entry.array and (after := self._with_new_elements(entry)) is not entry:
                    yield entry, after
                continue
            if entry.native or len(copies) > 1:
                proved = any(element_id(entry, key) in self.evidence.records for key in entry.keys)
                after = settle_copies(self.journal, self.scheduler, entry, copies, proved=proved)
                if after.native != entry.native:
                    yield entry, after
            elif copies:
                whole, records = copies.popitem()
                elements = element_ids(self.scheduler, entry, records)
                yield entry, self.journal.commit(entry, whole, elements=elements)
            elif self._is_given_up(entry):
                fail_unsubmitted(self.journal, self.scheduler, entry)
        self._end_abandoned(shown)

    def _is_given_up(self, entry: JobRecord) -> bool:
        """Whether a submission that the manager does not show has been looked for long enough."""
        if self.asked - (entry.left or entry.intended) <= self.wait_s:
            return False
        has_ended = process_has_ended(entry.owner)
        if entry.left and not has_ended:  # a manager that was silent then may create the job after its first answers
            return self.asked - entry.left > self.wait_s * _SILENT
        return has_ended or (has_ended is None and self.asked - entry.intended > self.wait_s * _SILENT)

    def _unexpected(self) -> dict[str, Copies]:
        """The unexpected records with our tags, by our ids; for ended jobs only records that have not ended."""
        shown: dict[str, Copies] = {}
        open_ids = {entry.id for entry in self.entries}
        expected = {element.plain for element in self.evidence.expected.values()}
        for record in [record for plain, record in self.answer.records.items() if plain not in expected]:
            for job_id in bearers_of(self.scheduler, record):
                if job_id in open_ids or not record.status.final:
                    shown.setdefault(job_id, {}).setdefault(whole_id(self.scheduler, record), []).append(record)
        for entry in self.entries if shown else ():  # an element that has ended is not expected, but no duplicate
            if entry.id in shown and entry.native:
                for whole in [whole for whole in shown[entry.id] if self.scheduler.same_id(whole, entry.native)]:
                    del shown[entry.id][whole]
                if not shown[entry.id]:
                    del shown[entry.id]
        return shown

    def _with_new_elements(self, entry: JobRecord) -> JobRecord:
        """The record of an array with the ids of elements that the manager has shown only now."""
        if not self.scheduler.lone_elements or all(entry.elements or [""]):
            return entry
        records = [
            record
            for record in self.answer.records.values()
            if record.whole
            and self.scheduler.same_id(record.whole, entry.native)
            and whose(self.scheduler, entry, record, clock=self.evidence.clock) is not Whose.STRANGER
        ]
        elements = element_ids(self.scheduler, entry, records)
        if elements == (entry.elements or ("",) * len(elements)):
            return entry
        return self.journal.commit(entry, entry.native, sure=entry.sure, elements=elements)

    def _end_abandoned(self, shown: Mapping[str, Copies]) -> None:
        """Cancel jobs whose submission was given up, and which the manager shows all the same. They could not run."""
        for entry in self.journal.some(shown.keys()).values():
            if not entry.open and claimed_by(entry.folder) == ABANDONED:
                alive = {
                    whole: ids for whole, records in shown[entry.id].items() if (ids := _live_ids(whole, records))
                }
                copies = sorted(alive.keys() - set(entry.twins))
                if copies:
                    log.warning(
                        "job %s was given up, but the manager has it: %s is cancelled", entry.id, ", ".join(copies)
                    )
                    self.journal.twins(entry, copies)
                    try_cancel(self.scheduler, [native for whole in copies for native in alive[whole]])


def _live_ids(whole: str, records: Iterable[SchedulerRecord]) -> list[str]:
    """The ids by which the manager's commands reach those records of a submission that have not ended."""
    return list(dict.fromkeys(record.id if record.whole else whole for record in records if not record.status.final))


def settle_copies(
    journal: Journal, scheduler: Scheduler, entry: JobRecord, copies: Copies, *, proved: bool
) -> JobRecord:
    """Keep one of the duplicates of a submission, and cancel the others. Returns the record with the id that is kept.

    `copies` are the records with our tag under other ids than the recorded one; `proved`: the recorded id is ours.
    The job with the claim is kept. If none has the claim, the job that is to be kept gets it, for another could start
    just before it is cancelled. A job without our tag is never cancelled.
    """
    alive = {whole: _live_ids(whole, records) for whole, records in copies.items()}
    holder = claimed_by(entry.folder)
    owner = next(
        (whole for whole in (*copies, entry.native) if holder and whole and scheduler.same_id(whole, holder)), ""
    )
    kept = owner or (entry.native if proved else min(copies, key=lambda native: (len(native), native)))
    if not owner:
        taken = claim(entry.folder, scheduler.plain_id(kept))
        kept = next((whole for whole in copies if scheduler.same_id(whole, taken)), kept)
    if not scheduler.same_id(kept, entry.native):
        if proved:
            alive[entry.native] = command_ids(scheduler, entry, "")
        fresh_elements = element_ids(scheduler, replace(entry, elements=()), copies.get(kept, ()))
        entry = journal.commit(entry, kept, elements=fresh_elements)
    ended = sorted(alive.keys() - {kept, *entry.twins})
    if ended:
        log.warning("job %s was submitted twice: %s stays, %s is cancelled", entry.id, kept, ", ".join(ended))
        journal.twins(entry, ended)
        if ids := [native for whole in ended for native in alive[whole]]:
            try_cancel(scheduler, ids)  # should that fail: they end at their claim in any case
    return entry


def try_cancel(scheduler: Scheduler, natives: Collection[str]) -> bool:
    """Cancel jobs; False, with a warning, if that failed."""
    try:
        scheduler.qdel(natives)
    except SchedulerError as error:
        log.warning("%s", error)
        return False
    return True


def fail_unsubmitted(journal: Journal, scheduler: Scheduler, entry: JobRecord, message: str = "") -> bool:
    """Give up a submission that the manager does not know: take its claim, so that it never runs, and record FAILED.

    False if the job has started already; then its id is recorded. The record stays, so that a copy that the manager
    shows later is recognized and cancelled.
    """
    owner = abandon(entry)
    if owner:
        journal.commit(entry, scheduler.whole(owner))
        return False
    status = JobStatus(
        JobState.FAILED,
        reason=EndReason.LAUNCH_FAILED,
        ended=time.time(),
        message=message or f"its submission was cut short and {entry.platform} never had it; nothing of it ran",
    )
    journal.end({(entry.id, key): status for key in entry.keys})
    return True
