"""What became of jobs: the manager's records, the exit files and our own journal put together.

`refresh` asks the manager once for all open jobs of a platform and cluster; `resolve` decides about one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .claim import ExitFile, abandon, claim, claimed_by
from .entry import Entry
from .errors import SchedulerError
from .files import owner_gone
from .journal import Journal
from .snapshot import View, pack
from .states import EndReason, JobState, JobStatus

if TYPE_CHECKING:
    from .scheduler import Record, Scheduler

log = logging.getLogger(__name__)

_SUBMITTED = JobStatus(JobState.QUEUED)
_STAGES = {
    "directory": "its directory cannot be entered",
    "stdin": "its input file cannot be read",
    "stdout": "its output file cannot be written",
    "stderr": "its error file cannot be written",
    "element": "its array has no such element",
    "setup": "its setup failed",
}


def _explained(exit_file: ExitFile) -> str:
    return ": ".join(filter(None, (_STAGES[exit_file.stage], exit_file.detail)))


def resolve(
    entry: Entry, key: str, native: str, record: Record | None, before: JobStatus, *, heard: bool,
    missing_since: float | None, now: float, grace_s: float,
) -> tuple[JobStatus, float | None]:  # fmt: skip
    """The status of one job, and since when the manager has not known it (None: it does).

    `before` is the last status; `heard` is False when its history could not be asked about, and then it stays.
    """
    if record is not None:
        status = before.then(record.status)
        if status.state is JobState.FAILED and not status.reason:
            status = _told_by_script(status, ExitFile.read(entry.element_folder(key), native))
        return _canceled_if_asked(entry, key, status), None
    # Gone from the manager's books. The exit file is the second source: of this id, and of no earlier attempt.
    exit_file = ExitFile.read(entry.element_folder(key), native)
    if exit_file is not None and exit_file.attempt >= before.attempt:
        return _canceled_if_asked(entry, key, before.then(_from_exit_file(exit_file))), None
    if not heard:
        return before, missing_since
    if entry.cancel_asked(key):
        return replace(before, state=JobState.CANCELED, message="gone after it was asked to be cancelled"), None
    since = now if missing_since is None else missing_since
    if now - since >= grace_s:
        message = f"{entry.platform} has not known it for {now - since:.0f} s, and it left no exit file"
        return replace(before, state=JobState.FAILED, reason=EndReason.LOST, message=message, ended=now), since
    return replace(before, message=f"{entry.platform} does not know it any more; looking again"), since


def _told_by_script(status: JobStatus, exit_file: ExitFile | None) -> JobStatus:
    """A failure that our own script explains, where the manager only knows the exit code."""
    if exit_file is None or exit_file.attempt < status.attempt:
        return status
    if exit_file.stage in _STAGES and status.exit_code == exit_file.code:
        return replace(status, reason=EndReason.LAUNCH_FAILED, message=_explained(exit_file))
    if status.exit_code is not None and exit_file.code % 128 == status.exit_code:
        return replace(status, exit_code=exit_file.code)  # Slurm's accounting says 9 where the script ended with 137
    return status


def _from_exit_file(exit_file: ExitFile) -> JobStatus:
    state = JobState.FAILED if exit_file.code else JobState.COMPLETED
    reason = EndReason.LAUNCH_FAILED if exit_file.stage in _STAGES else None
    message = _explained(exit_file) if reason else "as its exit file says"
    return JobStatus(state, "", exit_file.code, None, reason, message, "", exit_file.attempt, None, exit_file.ended)


def _canceled_if_asked(entry: Entry, key: str, status: JobStatus) -> JobStatus:
    """A job that we were asked to cancel and that a signal ended was cancelled, whatever the manager calls it."""
    by_signal = status.signal in (2, 9, 15) or status.exit_code in (130, 137, 143)
    if status.state is JobState.FAILED and not status.reason and by_signal and entry.cancel_asked(key):
        return replace(status, state=JobState.CANCELED)
    return status


def refresh(
    journal: Journal, scheduler: Scheduler, old: View, *, platform: str, cluster: str, grace_s: float, settle_s: float
) -> View:
    """Ask the manager about every open job and return the new view; ends go into the journal.

    Raises `Unavailable` when the manager gave no answer: then nothing has changed.
    """
    asked = time.time()  # before the journal is read: a job committed later is not expected
    entries = [
        entry for entry in journal.open_entries().values()
        if entry.platform == platform and entry.cluster == cluster
    ]  # fmt: skip
    expected: dict[str, tuple[Entry, str]] = {}
    for entry in entries:
        if entry.native and not entry.array:
            expected[entry.native] = entry, ""
        elif entry.native:
            expected.update(
                {native_of(scheduler, entry, key): (entry, key) for key in entry.keys if key not in entry.ended}
            )

    def vanished(seen: Collection[str]) -> list[str]:
        return [native for native in expected if native not in seen]

    oldest = min((entry.intended for entry in entries), default=asked)
    answer = scheduler.qstat(vanished, since=oldest)
    for old_entry, entry in _recover(
        journal, scheduler, entries, expected, answer.records, asked=asked, settle_s=settle_s
    ):  # its id is another one now, and the end of the old one is not its end
        for key in entry.keys:
            expected.pop(native_of(scheduler, old_entry, key), None)
            if (native := native_of(scheduler, entry, key)) in answer.records:
                expected[native] = (entry, key)

    rows: dict[str, list[Any]] = {}
    missing: dict[str, float] = {}
    ends: dict[tuple[str, str], JobStatus] = {}
    packed: dict[int, list[Any]] = {}  # many jobs share one status: all that wait for the same reason
    for native, (entry, key) in expected.items():
        record = answer.records.get(native)
        if record is not None and not record.status.final:
            row = packed.get(id(record.status))
            if row is None:
                row = packed[id(record.status)] = pack(record.status)
            if row == old.rows.get(native):  # nothing new
                rows[native] = row
                continue
            if record.status.state is JobState.UNKNOWN:
                word = record.status.native
                scheduler.warn_once(f"{platform} calls the state of a job {word!r}, which is not known here")
        status, since = resolve(
            entry, key, native, record, old.status(native) or _SUBMITTED, heard=native not in answer.unheard,
            missing_since=old.missing.get(native), now=asked, grace_s=grace_s,
        )  # fmt: skip
        rows[native] = pack(status)
        if since is not None and not status.final:
            missing[native] = since
        if status.final:
            ends[entry.id, key] = status
    journal.end(ends)
    unsent = [
        native for native, (entry, key) in expected.items()
        if entry.cancelled and entry.cancel_unsent(key) and (entry.id, key) not in ends
    ]  # fmt: skip
    _cancel(scheduler, unsent)
    return View(asked=asked, rows=rows, missing=missing)


def native_of(scheduler: Scheduler, entry: Entry, key: str) -> str:
    """The manager's id of one element."""
    return scheduler.element(entry.native, int(key)) if key else entry.native


def _recover(
    journal: Journal, scheduler: Scheduler, entries: Collection[Entry], expected: Collection[str],
    records: Mapping[str, Record], *, asked: float, settle_s: float,
) -> Iterator[tuple[Entry, Entry]]:  # fmt: skip
    """Submissions that were cut short: found by their tag, or given up; and second copies of one, ended.

    Gives the entries that got another id, before and after. One is given up after `settle_s` if its submitter is
    gone; a submitter on another host, of whom nothing is known, has as long as its patience is by default.
    """
    by_tag: dict[str, set[str]] = {}
    for record in records.values():
        if record.id not in expected and record.tag.startswith("psij:"):
            by_tag.setdefault(record.tag, set()).add(scheduler.whole(record.id))
    for entry in entries:
        natives = by_tag.get(entry.tag, set())
        if entry.native and not natives:
            continue
        if len(natives | {entry.native} - {""}) > 1:
            chosen = settle_twins(journal, scheduler, entry, natives | {entry.native} - {""})
            if chosen.native != entry.native:
                yield entry, chosen
        elif natives and not entry.native:
            yield entry, journal.commit(entry, natives.pop())
        elif not entry.native and asked - entry.intended > settle_s:
            gone = owner_gone(entry.owner)
            if gone or (gone is None and asked - entry.intended > settle_s * 5):
                give_up(journal, scheduler, entry)


def settle_twins(journal: Journal, scheduler: Scheduler, entry: Entry, natives: Collection[str]) -> Entry:
    """One submission that the manager holds twice: the one with the claim stays, the other is cancelled.

    While none has it, the one that is to stay is given it: the other could start just before it is cancelled.
    """
    claims = (scheduler.whole(claimed_by(entry.element_folder(key))) for key in entry.keys)
    chosen = next((claim for claim in claims if claim in natives), entry.native)
    if chosen not in natives:
        chosen = min(natives, key=lambda native: (len(native), native))
    for key in entry.keys:
        taken = scheduler.whole(
            claim(entry.element_folder(key), native_of(scheduler, replace(entry, native=chosen), key))
        )
        if not entry.array and taken in natives:  # it came first
            chosen = taken
    others = sorted(set(natives) - {chosen})
    if chosen != entry.native:
        entry = journal.commit(entry, chosen)
    fresh = [native for native in others if native not in entry.twins]
    if fresh:
        log.warning("job %s was submitted twice: %s stays, %s is cancelled", entry.id, chosen, ", ".join(fresh))
        journal.twins(entry, fresh)
        _cancel(scheduler, fresh)  # should that fail: they end at their claim in any case
    return entry


def _cancel(scheduler: Scheduler, natives: Collection[str]) -> None:
    try:
        scheduler.qdel(natives)
    except SchedulerError as error:
        log.warning("%s", error)


def give_up(journal: Journal, scheduler: Scheduler, entry: Entry) -> None:
    """A submission that nobody knows: see to it that it never runs, or find that it has."""
    owner = abandon(entry)
    if owner:
        journal.commit(entry, scheduler.whole(owner))
        return
    status = JobStatus(
        JobState.FAILED, reason=EndReason.LAUNCH_FAILED, ended=time.time(),
        message=f"its submission was cut short and {entry.platform} never had it; nothing of it ran",
    )  # fmt: skip
    journal.end({(entry.id, key): status for key in entry.keys})
