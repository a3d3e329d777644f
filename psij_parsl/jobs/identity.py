"""Whose record is it? An id is not a job: managers lose their books, count from 1 again, and have other clusters.

A record is ours if it bears our tag, or if the manager's own time of its submission is the one that was noted when
it was first proved ours. On the word of an id alone nothing is told of a job, and nothing is cancelled.
"""

from __future__ import annotations

import re
import time
from enum import Enum
from typing import TYPE_CHECKING

from ..system.job_names import MANAGER_LOG, OUR_ID, cluster_in

if TYPE_CHECKING:
    from ..platforms.queries import SchedulerRecord
    from ..platforms.scheduler import Scheduler
    from .record import JobRecord

_NEAR_S = 600.0  # before our intent and after our commit, in which a record without a tag may be our submission
SAME_S = 1.5  # between two tellings of one time: managers round
_HOUR_S = 3600.0
_ODD = re.compile(r"[^!-~]|[\\^%]")  # in a folder to which a manager may not be able to write its log


class Whose(Enum):
    """What a record with the id of one of our jobs is; the first two are ours."""

    TAGGED = "it bears our tag"
    KNOWN = "it was submitted when ours was"
    STRANGER = "another job with our job's id"


def whose(
    scheduler: Scheduler,
    entry: JobRecord,
    record: SchedulerRecord,
    *,
    attempt: int = 0,
    clock: float = 0.0,
    tagged: bool = False,
    past: bool = False,
) -> Whose:
    """Whose record that is, which has the id of a job of ours.

    `attempt` is how often the job was started as far as is known, `clock` by how many seconds the manager's clock is
    ahead of ours, `tagged` whether records of this kind are known to bear our tags; `past`: it is from history, which
    may not count starts.
    """
    named = cluster_in(entry.cluster)
    if record.cluster and named and record.cluster != named:
        return Whose.STRANGER
    bearers = bearers_of(scheduler, record)
    if bearers:
        return Whose.TAGGED if entry.id in bearers else Whose.STRANGER
    if entry.attached and (entry.born is None or record.submitted is None):
        return Whose.KNOWN
    if (
        record.submitted is None
    ):  # a manager that tells nothing: there is no more to be known than whether it gives tags
        return Whose.STRANGER if tagged else Whose.KNOWN
    if entry.born is not None:
        if _same(record.submitted, entry.born):
            return Whose.KNOWN
        starts = record.status.attempt if record.status.attempt >= attempt else 0  # it grows, and never falls
        again = (max(attempt, starts) if past else starts) > 0 and record.submitted > entry.born
        if again and (entry.attached or not (record.foreign or _logs_elsewhere(entry, record))):
            return Whose.KNOWN
        if not record.whole:  # the elements of such an array come one after the other
            return Whose.STRANGER
    if tagged or record.foreign or _logs_elsewhere(entry, record):
        return Whose.STRANGER  # ours would bear its tag
    earliest, latest = entry.intended - _NEAR_S, (entry.committed or time.time()) + _NEAR_S
    near = any(earliest <= submitted - clock <= latest for submitted in _readings(record.submitted))
    return Whose.KNOWN if near else Whose.STRANGER


def bearers_of(scheduler: Scheduler, record: SchedulerRecord) -> set[str]:
    """Our ids of the submissions whose tags a record bears: in its comment, and in the path to which its log goes."""
    bearers = set()
    if isinstance(record.tag, str) and (tagged := scheduler.tagged(record.tag)):  # no text: a stranger's
        bearers.add(tagged)
    folder, _, name = record.output.rpartition("/")
    if name.startswith(MANAGER_LOG) and OUR_ID.fullmatch(parent := folder.rpartition("/")[2]):
        bearers.add(parent)
    return bearers


def _logs_elsewhere(entry: JobRecord, record: SchedulerRecord) -> bool:
    """Whether the log of a record without our tag goes elsewhere than that of the job would."""
    return bool(record.output) and not (record.output.endswith("/dev/null") and _ODD.search(entry.place) is not None)


def _same(one: float, other: float) -> bool:
    return abs(one - other) < SAME_S


def _readings(submitted: float) -> list[float]:
    """The times that a time without a zone may be: two in the hour that comes twice, in autumn."""
    clock_face = time.localtime(submitted)[:6]
    return [
        submitted,
        *(at for at in (submitted - _HOUR_S, submitted + _HOUR_S) if time.localtime(at)[:6] == clock_face),
    ]
