"""Asking the manager about all open jobs of a platform and cluster, and what follows from its answer.

`reconcile` asks once and decides about each job (see `verdict`), on records that were proved to be ours (see
`identity`). It also finds submissions that were cut short, ends second copies, and tells the manager what it could
not be told before.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import JournalError, SchedulerError, Unavailable
from ..platforms.scheduler import Answer
from ..states import EndReason, JobState, JobStatus, sound
from ..system.processes import process_has_ended
from .identity import SAME_S, Whose, bearers_of, whose
from .job_folder import ABANDONED, abandon, claim, claimed_by
from .journal import Journal
from .record import JobRecord, element_id
from .snapshot import View, pack
from .verdict import Inquiry, resolve_status

if TYPE_CHECKING:
    from ..platforms.scheduler import Scheduler, SchedulerRecord

log = logging.getLogger(__name__)

_SUBMITTED = JobStatus(JobState.QUEUED)


def native_of(scheduler: Scheduler, entry: JobRecord, key: str) -> str:
    """The manager's id of one element."""
    if not key:
        return entry.native
    known = entry.elements[entry.array.index(int(key))] if entry.elements else ""
    return known or scheduler.element(entry.native, int(key))


def handles(scheduler: Scheduler, entry: JobRecord, key: str) -> list[str]:
    """The ids by which the manager's commands reach one element, or with '' or '*' all that have not ended."""
    if key not in ("", "*"):
        return [native_of(scheduler, entry, key)]
    if any(entry.elements):
        return [
            native
            for each, native in zip(entry.keys, entry.elements, strict=True)
            if native and each not in entry.ended
        ]
    return [entry.native]


Copies = dict[str, list["SchedulerRecord"]]
"""Records that bear one tag of ours, by the id of the submission that they are of."""


def merely_held(record: SchedulerRecord) -> SchedulerRecord:
    """A job that has failed and stays in the manager's books, as it is until it has been dropped."""
    held = replace(record.status, state=JobState.QUEUED, reason=None, ended=None, held=True)
    return record._replace(status=held, leftover=False)


def whole_of(scheduler: Scheduler, record: SchedulerRecord) -> str:
    """The id of the submission that a record is of."""
    return record.whole or scheduler.whole(record.id)


def elements_of(scheduler: Scheduler, entry: JobRecord, records: Iterable[SchedulerRecord]) -> tuple[str, ...]:
    """The ids of an array's elements where they are no function of its own, '' for those that are not known yet.

    Records tell them; and so do, of elements that are not in the manager's books any more, the claims they left.
    """
    if not (entry.array and scheduler.lone_elements):
        return ()
    placed = {record.place: record.id for record in records if record.place is not None}
    known = entry.elements or ("",) * len(entry.array)
    return tuple(
        native or placed.get(place) or claimed_by(entry.element_folder(key))
        for place, (native, key) in enumerate(zip(known, entry.keys, strict=True))
    )


def reconcile(
    journal: Journal, scheduler: Scheduler, old: View, *, platform: str, cluster: str, grace_s: float, settle_s: float
) -> View:
    """Ask the manager about every open job and return the new view; ends go into the journal.

    Raises `Unavailable` when the manager gave no answer: then nothing has changed. From one that can never answer
    nothing is heard, and the exit files count.
    """
    asked = time.time()  # before the journal is read: a job committed later is not expected
    entries = [
        entry for entry in journal.open_entries().values() if entry.platform == platform and entry.cluster == cluster
    ]
    with _uncollected():
        return _Round(journal, scheduler, old, entries, asked, platform, grace_s, settle_s).view()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector, which would look through all that an answer is made of, again and again."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Expected(NamedTuple):
    """An element of an open submission: its key, the manager's id of it, and that as `Scheduler.plain_id` has it."""

    entry: JobRecord
    key: str
    native: str
    plain: str


class _Round:
    """One question to the manager, and all that is done upon its answer. Whoever does it has the snapshot's lock."""

    def __init__(
        self,
        journal: Journal,
        scheduler: Scheduler,
        old: View,
        entries: list[JobRecord],
        asked: float,
        platform: str,
        grace_s: float,
        settle_s: float,
    ) -> None:
        self.journal, self.scheduler, self.old, self.entries = journal, scheduler, old, entries
        self.asked, self.platform, self.grace_s, self.settle_s = asked, platform, grace_s, settle_s
        self.clock, self.tagged = old.clock, old.tagged
        self.expected: dict[str, _Expected] = {}  # by our ids of jobs and elements
        self.records: dict[str, SchedulerRecord] = {}  # proved to be ours, by our ids
        self.answer = Answer()
        self.strangers: set[str] = set()  # our ids of jobs whose ids other jobs have by now
        self.born: dict[str, float] = {}
        self.earliest = float("inf")  # submission, of all of ours that the manager has at hand
        for entry in entries:
            if entry.native:
                self._expect(entry)

    def _expect(self, entry: JobRecord) -> None:
        plain_id = self.scheduler.plain_id
        if not entry.array:  # of these there may be many
            self.expected[entry.id] = _Expected(entry, "", entry.native, plain_id(entry.native))
            return
        for key in entry.keys:
            if key not in entry.ended:
                native = native_of(self.scheduler, entry, key)
                self.expected[element_id(entry, key)] = _Expected(entry, key, native, plain_id(native))

    # ---- asking --------------------------------------------------------------------------------------------

    def view(self) -> View:
        """Ask, decide about every job, and tell the journal."""
        failure = ""
        oldest = min((entry.intended for entry in self.entries), default=self.asked)
        lone = self.scheduler.lone_elements
        arrays = [entry.native for entry in self.entries if entry.native and entry.array and not lone]
        wholes = {e.native: self.scheduler.whole(e.native) for e in self.entries if e.attached}
        arrays += [whole for native, whole in wholes.items() if whole != native]  # an element that was attached
        try:
            self.answer = self.scheduler.qstat(self._vanished, since=oldest, arrays=arrays)
        except Unavailable as error:
            if not error.permanent:
                raise
            failure = error.message
            self.answer = Answer(unheard=frozenset(each.native for each in self.expected.values()))
        self._take_past()
        for before, after in _as_far_as_recorded(
            self._recover()
        ):  # its id is another one now, and the end of the old one is not its end
            for key in before.keys:
                self.expected.pop(element_id(before, key), None)
                self.records.pop(element_id(before, key), None)
            self._expect(after)
            self._take_shown(after)
        self._note_births()
        return replace(
            self._decided(),
            failure=failure,
            queries=max(1, self.answer.queries),
            clock=self.clock,
            tagged=self.tagged,
            strangers=sorted(self.strangers - self.records.keys()),
        )

    def _vanished(self, live: Mapping[str, SchedulerRecord]) -> list[str]:
        """Take what is ours of the live records; the ids of which history is to be asked."""
        missing = []
        unseen = []
        for job_id, each in self.expected.items():
            record = live.get(each.plain)
            if record is not None and self._take(job_id, each, record, tagged=self.old.tagged):
                continue
            unseen.append((job_id, each))
            if not (self.scheduler.history_is_dear and self._inquiry(job_id, each, None).ended_by_itself):
                missing.append(each.native)
        self._note_strangers(live, unseen)
        return missing

    def _note_strangers(self, live: Mapping[str, SchedulerRecord], unseen: Collection[tuple[str, _Expected]]) -> None:
        """Jobs that are not shown, while the manager's commands would reach another one by their ids.

        The id of a plain job may be that of an array by now, or of one of its elements, and the other way round.
        """
        reached: dict[str, list[SchedulerRecord]] = {}
        plain_id, whole = self.scheduler.plain_id, self.scheduler.whole
        if unseen:
            for plain, record in live.items():
                for name in {plain, plain_id(whole_of(self.scheduler, record)), record.alias}:
                    reached.setdefault(name, []).append(record)
        others: dict[tuple[str, str], bool] = {}  # by our id of a submission, and the manager's
        for job_id, each in unseen:
            for name in {each.plain, plain_id(each.entry.native), plain_id(whole(each.native))} & reached.keys():
                known = each.entry.id, name
                if known not in others:
                    others[known] = any(
                        whose(self.scheduler, each.entry, record, clock=self.clock, tagged=self.old.tagged)
                        is Whose.STRANGER
                        for record in reached[name]
                    )
                if others[known]:
                    self.strangers.add(job_id)

    def _take(
        self, job_id: str, each: _Expected, record: SchedulerRecord, *, tagged: bool = False, past: bool = False
    ) -> bool:
        """Note a record as that of a job, if it is; `past`: it is from the manager's history."""
        entry, attempt = each.entry, 0
        if record.tag != self.scheduler.tag(entry.id) or record.cluster:
            row = self.old.status(job_id)
            attempt = row.attempt if row is not None else 0
            found = whose(self.scheduler, entry, record, attempt=attempt, clock=self.clock, tagged=tagged, past=past)
            if found is Whose.STRANGER:
                self.scheduler.warn_once(
                    f"{self.platform}'s job {each.native} is not our job {entry.id}, which had that id: it is left alone"
                )
                self.strangers.add(job_id)
                return False
            self.tagged = self.tagged or found is Whose.TAGGED
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

    def _take_past(self) -> None:
        """Of all that history told of an id, the last that is ours: one with our tag before one without."""
        bearing = {
            id(record): bearers_of(self.scheduler, record) for past in self.answer.past.values() for record in past
        }
        if not bearing:
            return
        tagged = any(bearing.values())
        for job_id, each in self.expected.items():
            past = self.answer.past.get(each.plain, ()) if job_id not in self.records else ()
            past = [record for record in past if not _outlived(each.entry, record)]
            ours_last = sorted(past, key=lambda record: (bool(bearing[id(record)]), record.submitted or 0.0))
            for record in reversed(ours_last):
                if self._take(job_id, each, record, tagged=tagged, past=True):
                    break

    def _take_shown(self, entry: JobRecord) -> None:
        for key in entry.keys:
            job_id = element_id(entry, key)
            if job_id in self.expected and (record := self.answer.records.get(self.expected[job_id].plain)):
                self._take(job_id, self.expected[job_id], record)

    def _note_births(self) -> None:
        known = {entry.id: entry.born for entry in self.entries}
        self.journal.born({job_id: born for job_id, born in self.born.items() if known.get(job_id) != born})

    # ---- deciding ------------------------------------------------------------------------------------------

    def _decided(self) -> View:
        rows: dict[str, list[Any]] = {}
        missing: dict[str, float] = {}
        unproved: dict[str, float] = {}
        ends: dict[tuple[str, str], JobStatus] = {}
        others: set[str] = set()
        packed: dict[int, list[Any]] = {}  # many jobs share one status: all that wait for the same reason
        for job_id, each in self.expected.items():
            record = self.records.get(job_id)
            if record is not None and record.leftover:
                record = self._drop(each.entry, each.key, record)
            if record is not None and not record.status.final and not record.moved:
                row = packed.get(id(record.status))
                if row is None:
                    row = packed[id(record.status)] = pack(record.status)
                if row == self.old.rows.get(job_id):  # nothing new
                    rows[job_id] = row
                    continue
                if record.status.state is JobState.UNKNOWN:
                    word = record.status.native
                    self.scheduler.warn_once(
                        f"{self.platform} calls the state of a job {word!r}, which is not known here"
                    )
            elif record is None:
                unproved[job_id] = self.old.proved(job_id)
            status, since = resolve_status(self._inquiry(job_id, each, record))
            if status.final and not sound(status):  # could not be written down: no word about how it is
                self.scheduler.warn_once(
                    f"{self.platform} tells an end of job {each.native} that makes no sense: {status}"
                )
                rows[job_id] = self.old.rows.get(job_id) or pack(_SUBMITTED)
                continue
            rows[job_id] = pack(status)
            if since is not None and not status.final:
                missing[job_id] = since
            if status.final and (each.entry.id in others or self._other_copy(each.entry, status)):
                others.add(each.entry.id)
                rows[job_id] = self.old.rows.get(job_id) or pack(_SUBMITTED)
            elif status.final:
                ends[each.entry.id, each.key] = status
        self.journal.end(ends)
        self._tell_unsent(ends)
        return View(asked=self.asked, rows=rows, missing=missing, unproved=unproved)

    def _inquiry(self, job_id: str, each: _Expected, record: SchedulerRecord | None) -> Inquiry:
        entry = each.entry
        return Inquiry(
            self.scheduler,
            entry,
            each.key,
            each.native,
            record,
            self.old.status(job_id) or _SUBMITTED,
            self.asked,
            heard=each.native not in self.answer.unheard,
            missing_since=self.old.missing.get(job_id),
            grace_s=self.grace_s,
            witness=lambda: self.earliest <= (entry.born or entry.committed + self.clock),
            unmet=lambda: self._unmet(entry),
        )

    def _unmet(self, entry: JobRecord) -> str:
        """A job that this one was to follow and that ended otherwise, so that the manager has removed this one."""
        from .submission import unmet

        job = self.journal.job(entry)
        return unmet(self.journal, job.after) if job is not None else ""

    def _drop(self, entry: JobRecord, key: str, record: SchedulerRecord) -> SchedulerRecord:
        """Have the manager forget a job that has failed and could be started again; until then it is held."""
        held = merely_held(record)
        if entry.attached:
            return held
        try:
            self.journal.dropping(entry, key, record.status)
            self.scheduler.qdel([record.id])
        except (JournalError, SchedulerError) as error:
            log.warning("%s", error)
            return held
        return record._replace(leftover=False)

    def _other_copy(self, entry: JobRecord, status: JobStatus) -> bool:
        """Whether a job that failed is a second copy, of one that was over before it was seen: that one is the job."""
        owner = "" if status.state is not JobState.FAILED or entry.attached else claimed_by(entry.folder)
        if owner in ("", ABANDONED) or self.scheduler.same_id(owner, entry.native):
            return False
        whole = self.scheduler.whole(owner)
        if self.scheduler.same_id(whole, entry.native):
            return False
        elements = elements_of(self.scheduler, replace(entry, elements=()), ())
        self.journal.twins(entry, [entry.native])
        self.journal.commit(entry, whole, elements=elements)
        return True

    def _tell_unsent(self, ends: Collection[tuple[str, str]]) -> None:
        """Cancel what was to be cancelled before the manager showed it."""
        unsent = [
            each
            for job_id, each in self.expected.items()
            if each.entry.cancelled
            and each.entry.cancel_unsent(each.key)
            and (each.entry.id, each.key) not in ends
            and job_id in self.records
        ]
        if unsent and _cancel(self.scheduler, [each.native for each in unsent]):
            told = {(each.entry.id, each.key) for each in unsent if each.key in each.entry.unsent}
            told |= {(each.entry.id, "*") for each in unsent if "*" in each.entry.unsent}
            try:
                self.journal.cancel_asked(told)
            except JournalError as error:  # it is sent once more, then
                log.warning("%s", error)

    # ---- submissions that were cut short, and second copies ------------------------------------------------

    def _recover(self) -> Iterator[tuple[JobRecord, JobRecord]]:
        """Submissions without a sure id: found by their tag, or given up; and second copies of one, ended.

        Gives the entries that got another id, before and after. One is given up after `settle_s` if its submitter
        is gone; a submitter on another host, of whom nothing is known, has five times as long.
        """
        shown = self._bearers()
        for entry in self.entries:
            found = shown.pop(entry.id, {})
            if entry.native and not found:
                if entry.array and (after := self._learned(entry)) is not entry:
                    yield entry, after
                continue
            if entry.native or len(found) > 1:
                after = self._settled(entry, found)
                if after.native != entry.native:
                    yield entry, after
            elif found:
                whole, records = found.popitem()
                yield entry, self.journal.commit(entry, whole, elements=elements_of(self.scheduler, entry, records))
            elif self.asked - entry.intended > self.settle_s:
                gone = process_has_ended(entry.owner)
                if gone or (gone is None and self.asked - entry.intended > self.settle_s * 5):
                    fail_unsubmitted(self.journal, self.scheduler, entry)
        self._end_abandoned(shown)

    def _bearers(self) -> dict[str, Copies]:
        """What bears our tags and is not expected, by our id; of jobs that have ended, only what has not."""
        shown: dict[str, Copies] = {}
        mine = {entry.id for entry in self.entries}
        expected = {each.plain for each in self.expected.values()}
        for record in [record for plain, record in self.answer.records.items() if plain not in expected]:
            for job_id in bearers_of(self.scheduler, record):
                if job_id in mine or not record.status.final:
                    whole = whole_of(self.scheduler, record)
                    shown.setdefault(job_id, {}).setdefault(whole, []).append(record)
        for entry in self.entries if shown else ():  # an element that has ended is not expected, and no second copy
            if entry.id in shown and entry.native:
                for whole in [whole for whole in shown[entry.id] if self.scheduler.same_id(whole, entry.native)]:
                    del shown[entry.id][whole]
                if not shown[entry.id]:
                    del shown[entry.id]
        return shown

    def _learned(self, entry: JobRecord) -> JobRecord:
        """An array with the ids of further elements of it, which only now have been told."""
        if not self.scheduler.lone_elements or all(entry.elements or [""]):
            return entry
        told = [
            record
            for record in self.answer.records.values()
            if record.whole
            and self.scheduler.same_id(record.whole, entry.native)
            and whose(self.scheduler, entry, record, clock=self.clock) is not Whose.STRANGER
        ]
        elements = elements_of(self.scheduler, entry, told)
        if elements == (entry.elements or ("",) * len(elements)):
            return entry
        return self.journal.commit(entry, entry.native, sure=entry.sure, elements=elements)

    def _settled(self, entry: JobRecord, found: Copies) -> JobRecord:
        """One submission that the manager shows under other ids than ours, or under several."""
        proved = any(element_id(entry, key) in self.records for key in entry.keys)
        return settle_copies(self.journal, self.scheduler, entry, found, proved=proved)

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
                    _cancel(self.scheduler, [native for whole in copies for native in alive[whole]])


def _outlived(entry: JobRecord, record: SchedulerRecord) -> bool:
    """Whether a record of history is of an earlier attempt than one that was seen: a requeue moved its submission."""
    if entry.array or entry.born is None or record.submitted is None:
        return False
    return record.submitted < entry.born - SAME_S


def _as_far_as_recorded(found: Iterator[tuple[JobRecord, JobRecord]]) -> Iterator[tuple[JobRecord, JobRecord]]:
    """What was recovered until something of it could not be written down: the rest is left to a later look."""
    try:
        yield from found
    except JournalError as error:
        log.warning("%s", error)


def _alive(whole: str, records: Iterable[SchedulerRecord]) -> list[str]:
    """The ids by which the manager's commands reach what has not ended of a submission."""
    return list(dict.fromkeys(record.id if record.whole else whole for record in records if not record.status.final))


def settle_copies(
    journal: Journal, scheduler: Scheduler, entry: JobRecord, found: Copies, *, proved: bool
) -> JobRecord:
    """A submission that bears our tag under other ids than the recorded one, or under several: one stays.

    `proved` is whether the recorded id is ours. The one with the claim stays; while none has it, the one that is to
    stay is given it, for another could start just before it is cancelled. What does not bear our tag is never
    cancelled.
    """
    alive = {whole: _alive(whole, records) for whole, records in found.items()}
    holder = claimed_by(entry.folder)
    owner = next((each for each in (*found, entry.native) if holder and each and scheduler.same_id(each, holder)), "")
    chosen = owner or (entry.native if proved else min(found, key=lambda native: (len(native), native)))
    if not owner:
        taken = claim(entry.folder, scheduler.plain_id(chosen))
        chosen = next((each for each in found if scheduler.same_id(each, taken)), chosen)
    if not scheduler.same_id(chosen, entry.native):
        if proved:
            alive[entry.native] = handles(scheduler, entry, "")
        fresh_elements = elements_of(scheduler, replace(entry, elements=()), found.get(chosen, ()))
        entry = journal.commit(entry, chosen, elements=fresh_elements)
    fresh = sorted(alive.keys() - {chosen, *entry.twins})
    if fresh:
        log.warning("job %s was submitted twice: %s stays, %s is cancelled", entry.id, chosen, ", ".join(fresh))
        journal.twins(entry, fresh)
        if ids := [native for whole in fresh for native in alive[whole]]:
            _cancel(scheduler, ids)  # should that fail: they end at their claim in any case
    return entry


def _cancel(scheduler: Scheduler, natives: Collection[str]) -> bool:
    try:
        scheduler.qdel(natives)
    except SchedulerError as error:
        log.warning("%s", error)
        return False
    return True


def fail_unsubmitted(journal: Journal, scheduler: Scheduler, entry: JobRecord, why: str = "") -> bool:
    """A submission that nobody knows: see to it that it never runs; False if it has begun, and is known by then.

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
