"""Gives a submission to the manager: exactly one execution, whatever the manager answers, and when."""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..errors import Ambiguous, Error, Rejected, SchedulerError, Unavailable
from ..platforms.queries import Accepted
from ..signals import should_exit
from ..system.commands import RunningCommand
from ..system.job_names import cluster_in
from .channel import Channel
from .identity import bearers_of
from .job_folder import ABANDONED, claimed_by
from .native_ids import element_ids, whole_id
from .record import JobRecord
from .recovery import Copies, fail_unsubmitted, settle_copies

log = logging.getLogger(__name__)


def submit_once(channel: Channel, entry: JobRecord, script: Path, waiting: RunningCommand | None) -> JobRecord:
    """Give the script of a recorded submission to the manager: exactly once, however it answers.

    `waiting` is the manager's command if it was started already. Returns the entry with the manager's id. When the
    manager refused for certain, or was never reached, nothing of the submission is left.
    """
    deadline = time.monotonic() + channel.patience_s
    try:
        answer = channel.scheduler.submit(script, waiting=waiting, array=len(entry.array))
    except Ambiguous as error:
        if error.unknown:
            return _look_once(channel, entry, script, error, deadline)
        log.warning("%s; looking for job %s before it is sent again", error.message, entry.id)
        return _settle(channel, entry, script, error, deadline)
    except Error as error:  # refused, or never reached: nothing of it exists
        _discard(channel, entry)
        if isinstance(error, Rejected) and error.answered:
            channel.snapshot.answered()
        raise
    channel.snapshot.answered()
    return _commit(channel, entry, script, answer, deadline)


def _commit(channel: Channel, entry: JobRecord, script: Path, answer: Accepted, deadline: float) -> JobRecord:
    """Record the id that was answered. Where that is in doubt, the tag decides."""
    scheduler = channel.scheduler
    native, sure, elements = answer.ids[0], answer.alone, answer.elements
    if not sure:
        with suppress(SchedulerError):  # not now: the next answer about all jobs will tell
            if shown := _by_tag(channel, entry):
                native, sure, elements = shown.native, True, shown.elements
        if not sure and len(answer.ids) > 1:
            doubt = Ambiguous(f"the answer has several ids: {', '.join(answer.ids)}")
            return _settle(channel, entry, script, doubt, deadline)
    named = scheduler.named_cluster(native)
    cluster = channel.cluster_key(named) if named and named != cluster_in(entry.cluster) else ""
    return channel.journal.commit(entry, native, sure=sure, elements=elements, cluster=cluster)


def _discard(channel: Channel, entry: JobRecord) -> None:
    """Leave nothing of a submission that has certainly not arrived. The claim goes last: without it nothing runs."""
    channel.journal.forget([entry.id])
    gone = entry.folder.with_name(f".{entry.folder.name}.withdrawn")
    try:
        entry.folder.rename(gone)
    except OSError:
        gone = entry.folder
    shutil.rmtree(gone, ignore_errors=True)


def _look_once(channel: Channel, entry: JobRecord, script: Path, error: Ambiguous, deadline: float) -> JobRecord:
    """After an answer that is not known, most likely a refusal: look once, and if it is not there it never runs."""
    try:
        shown = _by_tag(channel, entry)
    except SchedulerError:  # whoever cannot be asked either may be no manager at all: the patience is shorter
        deadline = min(deadline, time.monotonic() + channel.settle_s)
        return _settle(channel, entry, script, error, deadline)
    if shown:
        log.warning("%s; and yet the manager has job %s, as %s", error.message, entry.id, shown.native)
        return channel.journal.commit(entry, shown.native, sure=True, elements=shown.elements)
    return _give_up(channel, entry, Rejected(error.message, hint=error.hint, output=error.output))


def _give_up(channel: Channel, entry: JobRecord, error: SchedulerError) -> JobRecord:
    """See to it that a submission never runs, and raise; or find that it does run, and return it."""
    if fail_unsubmitted(channel.journal, channel.scheduler, entry, error.message):
        raise error
    return channel.journal.get(entry.id)


def _settle(channel: Channel, entry: JobRecord, script: Path, first: Ambiguous, deadline: float) -> JobRecord:
    """After an ambiguous submit: look for the job over the settling time, send it again only then.

    A manager that was hung may create the job minutes later, so finding nothing proves nothing: should both
    copies come to life, the claim in the job's folder lets one run, and the other is cancelled.
    """
    silent_since: float | None = None
    pause = 1.0
    while time.monotonic() < deadline:
        claim = claimed_by(entry.folder)
        if claim == ABANDONED:  # another process of ours, on a host that cannot see that we are still at it
            raise Unavailable(f"job {entry.id} was given up meanwhile; nothing of it ran", hint="submit it again")
        if claim:
            return channel.journal.commit(entry, channel.scheduler.whole(claim))
        try:
            if shown := _by_tag(channel, entry):
                return channel.journal.commit(entry, shown.native, sure=True, elements=shown.elements)
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since >= channel.settle_s:
                answer = channel.scheduler.submit(script, array=len(entry.array))
                return _commit(channel, entry, script, answer, deadline)
        except Unavailable as error:
            if error.permanent:
                break
            silent_since = None  # only time in which the manager answered counts
        except Ambiguous:
            silent_since = None
        except SchedulerError as error:  # refused now, but what was sent before may come to life yet
            return _give_up(channel, entry, error)
        if should_exit(min(pause, 5.0)):  # it stays in the journal, for whoever asks next
            break
        pause *= 1.5
    raise Ambiguous(
        f"it is not known yet whether the manager has taken job {entry.id}: {first.message}",
        output=first.output,
        hint=f"it stays in the journal; `psij-run status {entry.id}` finds it when it shows up",
        job_id=entry.id,
    )


def _by_tag(channel: Channel, entry: JobRecord) -> JobRecord | None:
    """The submission with the manager's ids of what bears our tag; None if nothing does."""
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
