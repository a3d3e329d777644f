"""A submission's way to the manager: exactly one execution, whatever the manager answers, and when."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import Ambiguous, Error, InvalidRequest, Rejected, SchedulerError, Unavailable, UnknownJob, nearest
from ..job import Job
from ..platforms.scheduler import Accepted
from ..signals import should_exit
from ..states import JobState
from ..system.commands import RunningCommand
from .identity import bearers_of
from .job_folder import ABANDONED, claimed_by
from .journal import Journal
from .reconcile import Copies, elements_of, fail_unsubmitted, handles, settle_copies, whole_of
from .record import JobRecord, cluster_in

if TYPE_CHECKING:
    from .batch import BatchSchedulerExecutor

log = logging.getLogger(__name__)

_DEPENDENCIES = ("afterok", "afterany", "afternotok", "after")
_ANY_END = "afterany"


def submit_once(
    executor: BatchSchedulerExecutor, entry: JobRecord, script: Path, waiting: RunningCommand | None
) -> JobRecord:
    """Give the script of a recorded submission to the manager: exactly once, however it answers.

    `waiting` is the manager's command if it was started already. Returns the entry with the manager's id. When the
    manager refused for certain, or was never reached, nothing of the submission is left.
    """
    deadline = time.monotonic() + executor.patience_s
    try:
        answer = executor.scheduler.submit(script, waiting=waiting, array=len(entry.array))
    except Ambiguous as error:
        if error.unknown:
            return _looked_for_once(executor, entry, script, error, deadline)
        log.warning("%s; looking for job %s before it is sent again", error.message, entry.id)
        return _settle(executor, entry, script, error, deadline)
    except Error as error:  # refused, or never reached: nothing of it exists
        _discard(executor, entry)
        if isinstance(error, Rejected) and error.answered:
            executor.snapshot.answered()
        raise
    executor.snapshot.answered()
    return _committed(executor, entry, script, answer, deadline)


def _committed(
    executor: BatchSchedulerExecutor, entry: JobRecord, script: Path, answer: Accepted, deadline: float
) -> JobRecord:
    """The entry with the id that was answered. Where that is in doubt, the tag decides."""
    scheduler = executor.scheduler
    native, sure, elements = answer.ids[0], answer.alone, answer.elements
    if not sure:
        with suppress(SchedulerError):  # not now: the next answer about all jobs will tell
            if found := _by_tag(executor, entry):
                native, sure, elements = found.native, True, found.elements
        if not sure and len(answer.ids) > 1:
            doubt = Ambiguous(f"the answer has several ids: {', '.join(answer.ids)}")
            return _settle(executor, entry, script, doubt, deadline)
    named = scheduler.named_cluster(native)
    cluster = executor.at(named).cluster if named and named != cluster_in(entry.cluster) else ""
    return executor.journal.commit(entry, native, sure=sure, elements=elements, cluster=cluster)


def _discard(executor: BatchSchedulerExecutor, entry: JobRecord) -> None:
    """Leave nothing of a submission that has certainly not arrived. The claim goes last: without it nothing runs."""
    executor.journal.forget([entry.id])
    gone = entry.folder.with_name(f".{entry.folder.name}.withdrawn")
    try:
        entry.folder.rename(gone)
    except OSError:
        gone = entry.folder
    shutil.rmtree(gone, ignore_errors=True)


def _looked_for_once(
    executor: BatchSchedulerExecutor, entry: JobRecord, script: Path, error: Ambiguous, deadline: float
) -> JobRecord:
    """After words that nobody foresaw, most likely a refusal: one look, and if it is not there it never runs."""
    try:
        found = _by_tag(executor, entry)
    except SchedulerError:  # whoever cannot be asked either may be no manager at all: the patience is shorter
        deadline = min(deadline, time.monotonic() + executor.settle_s)
        return _settle(executor, entry, script, error, deadline)
    if found:
        log.warning("%s; and yet the manager has job %s, as %s", error.message, entry.id, found.native)
        return executor.journal.commit(entry, found.native, sure=True, elements=found.elements)
    return _given_up(executor, entry, Rejected(error.message, hint=error.hint, output=error.output))


def _given_up(executor: BatchSchedulerExecutor, entry: JobRecord, error: SchedulerError) -> JobRecord:
    """See to it that a submission never runs, and raise; or find that it does run, and return it."""
    if fail_unsubmitted(executor.journal, executor.scheduler, entry, error.message):
        raise error
    return executor.journal.get(entry.id)


def _settle(
    executor: BatchSchedulerExecutor, entry: JobRecord, script: Path, first: Ambiguous, deadline: float
) -> JobRecord:
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
            if found := _by_tag(executor, entry):
                return executor.journal.commit(entry, found.native, sure=True, elements=found.elements)
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since >= executor.settle_s:
                answer = executor.scheduler.submit(script, array=len(entry.array))
                return _committed(executor, entry, script, answer, deadline)
        except Unavailable as error:
            if error.permanent:
                break
            silent_since = None  # only time in which the manager answered counts
        except Ambiguous:
            silent_since = None
        except SchedulerError as error:  # refused now, but what was sent before may come to life yet
            return _given_up(executor, entry, error)
        if should_exit(min(pause, 5.0)):  # it stays in the journal, for whoever asks next
            break
        pause *= 1.5
    raise Ambiguous(
        f"nobody knows yet whether the manager has taken job {entry.id}: {first.message}",
        output=first.output,
        hint=f"it stays in the journal; `psij-run status {entry.id}` finds it when it shows up",
        job_id=entry.id,
    )


def _by_tag(executor: BatchSchedulerExecutor, entry: JobRecord) -> JobRecord | None:
    """The submission with the manager's ids of what bears our tag; None if nothing does."""
    scheduler = executor.scheduler
    found: Copies = {}
    for record in scheduler.ask(scheduler.live()):
        if entry.id in bearers_of(scheduler, record):
            found.setdefault(whole_of(scheduler, record), []).append(record)
    if len(found) > 1:
        return settle_copies(executor.journal, scheduler, entry, found, proved=False)
    for whole, records in found.items():
        return replace(entry, native=whole, elements=elements_of(scheduler, entry, records))
    return None


class Followed(NamedTuple):
    """What a job is to come after: words for the manager, and what its own script looks at.

    `told` are `kind:id` in the manager's ids, `guards` pairs of a kind and the folders of a job whose exit files tell
    how it ended, for a manager that knows any end only.
    """

    told: list[str]
    guards: list[tuple[str, list[str]]]


def dependencies(executor: BatchSchedulerExecutor, job: Job) -> Followed:
    """What a job is to come after. Raises `InvalidRequest` for what can never be met, or cannot be asked for."""
    scheduler = executor.scheduler
    known = scheduler.dependencies
    told: list[str] = []
    guards: list[tuple[str, list[str]]] = []
    for text in job.after:
        kind, colon, name = text.partition(":")
        if not colon:
            kind, name = "afterok", text
        if kind not in _DEPENDENCIES:
            raise InvalidRequest(f"unknown kind of dependency {kind!r}", hint=nearest(kind, _DEPENDENCIES))
        chosen = _named(executor, name)
        if not chosen:
            if kind not in known:
                raise _untold(executor, kind, name)
            told.append(f"{kind}:{name}")  # the manager's own id of a job that is not ours
            continue
        for entry, key in chosen:
            if entry.attached and kind not in known and not entry.over(key):
                raise _untold(executor, kind, name)
            if met := _met(kind, entry, key):
                if met == "never":
                    raise InvalidRequest(
                        f"job {name} has ended, but not as {kind} asks, so this job could never start",
                        hint=f"`psij-run info {name}` tells how it ended",
                    )
            elif (entry.platform, entry.cluster) != (executor.platform.name, executor.cluster):
                where = entry.platform if entry.platform != executor.platform.name else f"another {entry.platform}"
                if named := cluster_in(entry.cluster):
                    where = f"the cluster {named}"
                raise InvalidRequest(
                    f"job {name} belongs to {where}, and a job of {executor.platform.name} cannot come after it",
                    hint="submit both to one manager, or wait for the first: `psij-run wait`",
                )
            elif entry.native:
                if entry.array and scheduler.lone_elements and not all(entry.elements or [""]):
                    raise InvalidRequest(
                        f"{executor.platform.name} has not told all elements of job {name} yet",
                        hint="try again in a moment",
                    )
                asked = kind if kind in known else _ANY_END
                told += [f"{asked}:{scheduler.spoken(native)}" for native in handles(scheduler, entry, key)]
                if kind not in known and kind != "after":
                    keys = entry.keys_of(key)
                    guards.append((kind, [str(entry.element_folder(each)) for each in keys]))
            else:
                raise InvalidRequest(f"job {name} is still being submitted", hint="try again in a moment")
    return Followed(told, guards)


def _named(executor: BatchSchedulerExecutor, name: str) -> list[tuple[JobRecord, str]]:
    """The jobs of ours that a name in a dependency means. The manager is asked how those are that are open."""
    here = executor.platform.name, executor.cluster
    elsewhere = executor.scheduler.named_cluster(name) not in ("", executor.scheduler.cluster_name)
    try:
        chosen = executor.journal.find([name], elements=False, of=None if elsewhere else here)
    except UnknownJob:
        return []
    if len(chosen) == 1 and not elsewhere and executor.meant(name) is None:
        return []  # a job that is not ours has its id by now
    going = [(entry, key) for entry, key in chosen if (entry.platform, entry.cluster) == here and not entry.over(key)]
    if going:  # of one that has ended long ago the manager has forgotten how: it refuses its id, or takes it as met
        executor.statuses(going, urgent=any(_seems_over(entry, key) for entry, key in going))
    return [(executor.journal.get(entry.id), key) for entry, key in chosen]


def _seems_over(entry: JobRecord, key: str) -> bool:
    """Whether all of a job has left its exit file."""
    keys = entry.keys_of(key)
    return all((entry.element_folder(each) / "exit").exists() for each in keys)


def _untold(executor: BatchSchedulerExecutor, kind: str, name: str) -> InvalidRequest:
    return InvalidRequest(
        f"{executor.platform.name} knows no {kind}, and job {name} was not submitted from here: how it ended could not"
        " be told",
        hint=f"say {_ANY_END}:{name}, or submit it with psij-run too",
    )


def unmet(journal: Journal, after: Sequence[str]) -> str:
    """The first job that one was to come after and that ended otherwise than asked; '' if there is none."""
    for text in after:
        kind, colon, name = text.partition(":")
        try:
            chosen = journal.find([name if colon else text], elements=False)
        except Error:
            continue
        if any(_met(kind if colon else "afterok", entry, key) == "never" for entry, key in chosen):
            return f"job {name if colon else text}"
    return ""


def _met(kind: str, entry: JobRecord, key: str) -> str:
    """Whether a dependency is met for good ("yes"), can never be ("never"), or is still open ("")."""
    if not entry.over(key):
        return ""
    ends = [entry.ended[key]] if key not in ("", "*") else list(entry.ended.values())
    if kind in ("afterany", "after"):
        return "yes"
    good = all(status.state is JobState.COMPLETED for status in ends)
    return "yes" if good == (kind == "afterok") else "never"
