"""A submission's way to the manager: exactly one execution, whatever the manager answers, and when."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .claim import ABANDONED, claimed_by
from .command import Started
from .entry import Entry
from .errors import Ambiguous, Error, InvalidRequest, SchedulerError, Unavailable, UnknownJob, nearest
from .job import Job
from .signals import should_exit
from .states import JobState
from .tracking import native_of, settle_twins

if TYPE_CHECKING:
    from .batch import BatchSchedulerExecutor

log = logging.getLogger(__name__)

_DEPENDENCIES = ("afterok", "afterany", "afternotok", "after")


def send(executor: BatchSchedulerExecutor, entry: Entry, script: Path, waiting: Started | None) -> Entry:
    """Give the script of a recorded submission to the manager: exactly once, however it answers.

    `waiting` is the manager's command if it was started already. Returns the entry with the manager's id. When the
    manager refused, or was never reached, nothing of the submission is left.
    """
    deadline = time.monotonic() + executor.patience_s
    try:
        native = executor.scheduler.qsub(script, waiting=waiting)
    except Ambiguous as error:
        log.warning("%s; looking for job %s before it is sent again", error.message, entry.id)
        return _settle(executor, entry, script, error, deadline)
    except Error:  # refused, or never reached: nothing of it exists
        _withdraw(executor, entry)
        raise
    return executor.journal.commit(entry, native)


def _withdraw(executor: BatchSchedulerExecutor, entry: Entry) -> None:
    executor.journal.forget([entry.id])
    shutil.rmtree(entry.folder, ignore_errors=True)


def _settle(executor: BatchSchedulerExecutor, entry: Entry, script: Path, first: Ambiguous, deadline: float) -> Entry:
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
            return executor.journal.commit(entry, executor.scheduler.whole(claim))
        try:
            if native := _by_tag(executor, entry):
                return executor.journal.commit(entry, native)
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since >= executor.settle_s:
                return executor.journal.commit(entry, executor.scheduler.qsub(script))
        except Unavailable:
            silent_since = None  # only time in which the manager answered counts
        except Ambiguous:
            silent_since = None
        except SchedulerError:
            _withdraw(executor, entry)
            raise
        should_exit(min(pause, 5.0))
        pause *= 1.5
    raise Ambiguous(
        f"nobody knows yet whether the manager has taken job {entry.id}: {first.message}",
        output=first.output, hint=f"it stays in the journal; `psij-run status {entry.id}` finds it when it shows up",
        job_id=entry.id,
    )  # fmt: skip


def _by_tag(executor: BatchSchedulerExecutor, entry: Entry) -> str:
    found = {
        executor.scheduler.whole(r.id)
        for r in executor.scheduler.ask(executor.scheduler.live())
        if r.tag == entry.tag
    }
    if len(found) > 1:
        return settle_twins(executor.journal, executor.scheduler, entry, found).native
    return next(iter(found), "")


def dependencies(executor: BatchSchedulerExecutor, job: Job) -> list[str]:
    """What a job is to come after, in the manager's ids. Raises `InvalidRequest` for one that can never be met."""
    told: list[str] = []
    for text in job.after:
        kind, colon, name = text.partition(":")
        if not colon:
            kind, name = "afterok", text
        if kind not in _DEPENDENCIES:
            raise InvalidRequest(f"unknown kind of dependency {kind!r}", hint=nearest(kind, _DEPENDENCIES))
        try:
            chosen = executor.journal.find([name], elements=False)
        except UnknownJob:
            told.append(f"{kind}:{name}")  # the manager's own id of a job that is not ours
            continue
        for entry, key in chosen:
            if (entry.platform, entry.cluster) != (executor.platform.name, executor.cluster):
                where = entry.platform if entry.platform != executor.platform.name else f"another {entry.platform}"
                raise InvalidRequest(
                    f"job {name} belongs to {where}, and a job of {executor.platform.name} cannot come after it",
                    hint="submit both to one manager, or wait for the first: `psij-run wait`",
                )
            if met := _met(kind, entry, key):
                if met == "never":
                    raise InvalidRequest(
                        f"job {name} has ended, but not as {kind} asks, so this job could never start",
                        hint=f"`psij-run info {name}` tells how it ended",
                    )
            elif entry.native:
                told.append(
                    f"{kind}:{entry.native if key in ('', '*') else native_of(executor.scheduler, entry, key)}"
                )
            else:
                raise InvalidRequest(f"job {name} is still being submitted", hint="try again in a moment")
    return told


def _met(kind: str, entry: Entry, key: str) -> str:
    """Whether a dependency is met for good ("yes"), can never be ("never"), or is still open ("")."""
    if not entry.over(key):
        return ""
    ends = [entry.ended[key]] if key not in ("", "*") else list(entry.ended.values())
    if kind in ("afterany", "after"):
        return "yes"
    good = all(status.state is JobState.COMPLETED for status in ends)
    return "yes" if good == (kind == "afterok") else "never"
