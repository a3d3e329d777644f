"""Sends a submission to the manager, so that the job runs exactly once, whatever the manager answers, and when."""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..errors import Ambiguous, Error, Rejected, SchedulerError, Unavailable
from ..platforms.queries import Accepted, EarlyCommand
from ..signals import should_exit
from ..system.job_names import cluster_in
from .channel import Channel
from .identity import bearers_of
from .job_folder import ABANDONED, claimed_by
from .native_ids import element_ids, whole_id
from .record import JobRecord
from .recovery import Copies, fail_unsubmitted, settle_copies

log = logging.getLogger(__name__)


def submit_once(channel: Channel, entry: JobRecord, script: Path, early: EarlyCommand | None) -> JobRecord:
    """Send the script of a recorded submission to the manager, so that the job runs exactly once.

    `early` is the manager's submit command if it was started already. Returns the record with the manager's id. If
    the manager certainly refused, or was never reached, raises, and nothing of the submission is left.
    """
    deadline = time.monotonic() + channel.patience_s
    try:
        answer = channel.scheduler.submit(script, early=early, array=len(entry.array))
    except Ambiguous as error:
        if error.unknown:
            return _search_once(channel, entry, script, error, deadline)
        log.warning("%s; looking for job %s before it is sent again", error.message, entry.id)
        return _settle(channel, entry, script, error, deadline)
    except Error as error:  # refused, or never reached: the manager has no such job
        _discard(channel, entry)
        if isinstance(error, Rejected) and error.answered:
            channel.snapshot.answered()
        raise
    except BaseException:  # such as Ctrl-C: it may have arrived
        channel.journal.left(entry)
        raise
    channel.snapshot.answered()
    return _commit(channel, entry, script, answer, deadline)


def _commit(channel: Channel, entry: JobRecord, script: Path, answer: Accepted, deadline: float) -> JobRecord:
    """Record the id in the manager's answer. If the id is not certain, the job is looked for by its tag."""
    scheduler = channel.scheduler
    native, sure, elements = answer.ids[0], answer.alone, answer.elements
    if not sure:
        with suppress(SchedulerError):  # no answer now: the next query about all jobs looks for the tag again
            if match := _by_tag(channel, entry):
                native, sure, elements = match.native, True, match.elements
        if not sure and len(answer.ids) > 1:
            doubt = Ambiguous(f"the answer has several ids: {', '.join(answer.ids)}")
            return _settle(channel, entry, script, doubt, deadline)
    named = scheduler.named_cluster(native)
    cluster = channel.cluster_key(named) if named and named != cluster_in(entry.cluster) else ""
    return channel.journal.commit(entry, native, sure=sure, elements=elements, cluster=cluster)


def _discard(channel: Channel, entry: JobRecord) -> None:
    """Remove a submission that certainly did not arrive at the manager: its record, then its folder.

    The folder is renamed before it is removed: then no script can take the claim in it, without which nothing runs.
    """
    channel.journal.forget([entry.id])
    gone = entry.folder.with_name(f".{entry.folder.name}.withdrawn")
    try:
        entry.folder.rename(gone)
    except OSError:
        gone = entry.folder
    shutil.rmtree(gone, ignore_errors=True)


def _search_once(channel: Channel, entry: JobRecord, script: Path, error: Ambiguous, deadline: float) -> JobRecord:
    """After an answer that we do not understand, most likely a refusal: look for the job once, else give it up."""
    try:
        match = _by_tag(channel, entry)
    except SchedulerError:  # no answer to a query either: it may be no manager at all, so the deadline is shorter
        deadline = min(deadline, time.monotonic() + channel.settle_s)
        return _settle(channel, entry, script, error, deadline)
    if match:
        log.warning("%s; and yet the manager has job %s, as %s", error.message, entry.id, match.native)
        return channel.journal.commit(entry, match.native, sure=True, elements=match.elements)
    return _give_up(channel, entry, Rejected(error.message, hint=error.hint, output=error.output))


def _give_up(channel: Channel, entry: JobRecord, error: SchedulerError) -> JobRecord:
    """Give up a submission, so that it never runs, and raise; or, if it has started, return its record."""
    if fail_unsubmitted(channel.journal, channel.scheduler, entry, error.message):
        raise error
    return channel.journal.get(entry.id)


def _settle(channel: Channel, entry: JobRecord, script: Path, first: Ambiguous, deadline: float) -> JobRecord:
    """After an ambiguous answer: look for the job for the settling time, and only then submit it again.

    A manager that was not responding may create the job minutes later, so that there is no job now proves nothing. If
    there are two jobs in the end, the claim in the job's folder lets one run, and the other is cancelled.
    """
    silent_since: float | None = None
    pause = 1.0
    while time.monotonic() < deadline:
        claim = claimed_by(entry.folder)
        if claim == ABANDONED:  # by a process on another host, which cannot see that this process still runs
            raise Unavailable(f"job {entry.id} was given up meanwhile; nothing of it ran", hint="submit it again")
        if claim:
            return channel.journal.commit(entry, channel.scheduler.whole(claim))
        try:
            if match := _by_tag(channel, entry):
                return channel.journal.commit(entry, match.native, sure=True, elements=match.elements)
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since >= channel.settle_s:
                answer = channel.scheduler.submit(script, array=len(entry.array))
                return _commit(channel, entry, script, answer, deadline)
        except Unavailable as error:
            if error.permanent:
                break
            silent_since = None  # only time in which the manager answers counts
        except Ambiguous:
            silent_since = None
        except SchedulerError as error:  # refused now, but the manager may still create the job that was sent before
            return _give_up(channel, entry, error)
        if should_exit(min(pause, 5.0)):  # it stays in the journal: the next query of any process looks for it
            break
        pause *= 1.5
    channel.journal.left(entry)
    raise Ambiguous(
        f"it is not known yet whether the manager has taken job {entry.id}: {first.message}",
        output=first.output,
        hint=f"it stays in the journal; `psij-run status {entry.id}` finds it when it shows up",
        job_id=entry.id,
    )


def _by_tag(channel: Channel, entry: JobRecord) -> JobRecord | None:
    """The record with the manager's ids of the job that has our tag; None if the manager shows no such job."""
    scheduler = channel.scheduler
    copies: Copies = {}
    for record in scheduler.ask(scheduler.live()):
        if entry.id in bearers_of(scheduler, record):
            copies.setdefault(whole_id(scheduler, record), []).append(record)
    if len(copies) > 1:
        return settle_copies(channel.journal, scheduler, entry, copies, proved=False)
    for whole, records in copies.items():
        return replace(entry, native=whole, elements=element_ids(scheduler, entry, records))
    return None
