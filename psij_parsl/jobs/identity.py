"""Decides whether a record of the manager with the id of one of our jobs is that job.

An id is no proof: a manager can lose its database, count from 1 again, and have other clusters with the same ids. A
record is ours if it has our tag, or if its submission time (the manager's own) is the one that we recorded when a
record of the job was first proved to be ours. Without such a proof we neither report a status nor cancel.
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

#: From so long before our intent to so long after our commit, a record without a tag may be our submission.
_SUBMISSION_MARGIN_S = 600.0
SAME_S = 1.5  # two times that differ by less are the same: managers round
_HOUR_S = 3600.0
#: Characters in the path of a folder with which a manager may be unable to write its log there.
_UNUSUAL = re.compile(r"[^!-~]|[\\^%]")


class Whose(Enum):
    """To whom a record with the id of one of our jobs belongs; the first two mean that it is ours."""

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
    """Decide whether a record with the id of one of our jobs is that job, or another one.

    `attempt` is how often the job was started, as far as we know; `clock` by how many seconds the manager's clock is
    ahead of ours; `tagged`: records of this kind have our tags, so one without is not ours; `past`: the record is
    from the manager's history, which may not count starts.
    """
    named = cluster_in(entry.cluster)
    if record.cluster and named and record.cluster != named:
        return Whose.STRANGER
    bearers = bearers_of(scheduler, record)
    if bearers:
        return Whose.TAGGED if entry.id in bearers else Whose.STRANGER
    if entry.attached and (entry.born is None or record.submitted is None):
        return Whose.KNOWN
    if record.submitted is None:  # this manager gives no times: only a missing tag can tell
        return Whose.STRANGER if tagged else Whose.KNOWN
    if entry.born is not None:
        if _same_time(record.submitted, entry.born):
            return Whose.KNOWN
        starts = record.status.attempt if record.status.attempt >= attempt else 0  # the count of starts never falls
        requeued = (max(attempt, starts) if past else starts) > 0 and record.submitted > entry.born
        if requeued and (entry.attached or not (record.foreign or _logs_elsewhere(entry, record))):
            return Whose.KNOWN
        if not record.whole:  # else it is an element of an array, and these are submitted one after the other
            return Whose.STRANGER
    if tagged or record.foreign or _logs_elsewhere(entry, record):
        return Whose.STRANGER  # ours would have its tag
    earliest, latest = entry.intended - _SUBMISSION_MARGIN_S, (entry.committed or time.time()) + _SUBMISSION_MARGIN_S
    in_time = any(earliest <= submitted - clock <= latest for submitted in _possible_times(record.submitted))
    return Whose.KNOWN if in_time else Whose.STRANGER


def bearers_of(scheduler: Scheduler, record: SchedulerRecord) -> set[str]:
    """Our ids of the submissions that a record names: by a tag in its comment, and by the path of its log file."""
    bearers = set()
    if isinstance(record.tag, str) and (tagged := scheduler.tagged(record.tag)):  # not a text: set by another program
        bearers.add(tagged)
    folder, _, name = record.output.rpartition("/")
    if name.startswith(MANAGER_LOG) and OUR_ID.fullmatch(parent := folder.rpartition("/")[2]):
        bearers.add(parent)
    return bearers


def _logs_elsewhere(entry: JobRecord, record: SchedulerRecord) -> bool:
    """Whether the log file of a record without our tag is one that the job would not have."""
    return bool(record.output) and not (
        record.output.endswith("/dev/null") and _UNUSUAL.search(entry.place) is not None
    )


def _same_time(one: float, other: float) -> bool:
    return abs(one - other) < SAME_S


def _possible_times(submitted: float) -> list[float]:
    """The times that a time without a time zone can mean: two in the hour that comes twice, in autumn."""
    clock_face = time.localtime(submitted)[:6]
    return [
        submitted,
        *(at for at in (submitted - _HOUR_S, submitted + _HOUR_S) if time.localtime(at)[:6] == clock_face),
    ]
