"""Submissions that were cut short are found again or given up; second copies of one are ended."""

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

_SETTLED = 4.0  # how many times the settling time a submission without an id is waited for
_FAR = 5.0  # how much longer if its submitter is on another host, of whom nothing is known

Copies = dict[str, list["SchedulerRecord"]]
"""Records that bear one tag of ours, by the id of the submission that they are of."""


class Recovery:
    """What one answer tells of submissions that have no sure id, or several."""

    def __init__(
        self, channel: Channel, evidence: Evidence, answer: Answer, entries: Sequence[JobRecord], asked: float
    ) -> None:
        self.journal, self.scheduler, self.evidence = channel.journal, channel.scheduler, evidence
        self.answer, self.entries, self.asked = answer, entries, asked
        self.wait_s = channel.settle_s * _SETTLED

    def recover(self) -> Iterator[tuple[JobRecord, JobRecord]]:
        """Find submissions by their tag or give them up, and end second copies.

        Gives the entries that got another id, before and after.
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
            elif self.asked - entry.intended > self.wait_s:
                gone = process_has_ended(entry.owner)
                if gone or (gone is None and self.asked - entry.intended > self.wait_s * _FAR):
                    fail_unsubmitted(self.journal, self.scheduler, entry)
        self._end_abandoned(shown)

    def _unexpected(self) -> dict[str, Copies]:
        """What bears our tags and is not expected, by our id; of jobs that have ended, only what has not."""
        shown: dict[str, Copies] = {}
        mine = {entry.id for entry in self.entries}
        expected = {element.plain for element in self.evidence.expected.values()}
        for record in [record for plain, record in self.answer.records.items() if plain not in expected]:
            for job_id in bearers_of(self.scheduler, record):
                if job_id in mine or not record.status.final:
                    shown.setdefault(job_id, {}).setdefault(whole_id(self.scheduler, record), []).append(record)
        for entry in self.entries if shown else ():  # an element that has ended is not expected, and no second copy
            if entry.id in shown and entry.native:
                for whole in [whole for whole in shown[entry.id] if self.scheduler.same_id(whole, entry.native)]:
                    del shown[entry.id][whole]
                if not shown[entry.id]:
                    del shown[entry.id]
        return shown

    def _with_new_elements(self, entry: JobRecord) -> JobRecord:
        """An array with the ids of further elements of it, which only now have been told."""
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
        """Cancel copies of submissions that were withdrawn, which came to life after all; they would not run."""
        for entry in self.journal.some(shown.keys()).values():
            if not entry.open and claimed_by(entry.folder) == ABANDONED:
                alive = {whole: ids for whole, records in shown[entry.id].items() if (ids := _alive(whole, records))}
                copies = sorted(alive.keys() - set(entry.twins))
                if copies:
                    log.warning(
                        "job %s was given up and came all the same: %s is cancelled", entry.id, ", ".join(copies)
                    )
                    self.journal.twins(entry, copies)
                    try_cancel(self.scheduler, [native for whole in copies for native in alive[whole]])


def _alive(whole: str, records: Iterable[SchedulerRecord]) -> list[str]:
    """The ids by which the manager's commands reach what has not ended of a submission."""
    return list(dict.fromkeys(record.id if record.whole else whole for record in records if not record.status.final))


def settle_copies(
    journal: Journal, scheduler: Scheduler, entry: JobRecord, copies: Copies, *, proved: bool
) -> JobRecord:
    """Keep one of the copies of a submission that bears our tag under other ids than the recorded one, or several.

    `proved` is whether the recorded id is ours. The one with the claim stays; while none has it, the one that is to
    stay is given it, for another could start just before it is cancelled. What does not bear our tag is never
    cancelled.
    """
    alive = {whole: _alive(whole, records) for whole, records in copies.items()}
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
    """Cancel jobs; False, with a warning, where that failed."""
    try:
        scheduler.qdel(natives)
    except SchedulerError as error:
        log.warning("%s", error)
        return False
    return True


def fail_unsubmitted(journal: Journal, scheduler: Scheduler, entry: JobRecord, why: str = "") -> bool:
    """See to it that a submission which the manager does not know never runs; False if it has begun, and is known.

    Its record stays: a copy of it that shows up later is known by it, and cancelled.
    """
    owner = abandon(entry)
    if owner:
        journal.commit(entry, scheduler.whole(owner))
        return False
    status = JobStatus(
        JobState.FAILED,
        reason=EndReason.LAUNCH_FAILED,
        ended=time.time(),
        message=why or f"its submission was cut short and {entry.platform} never had it; nothing of it ran",
    )
    journal.end({(entry.id, key): status for key in entry.keys})
    return True
