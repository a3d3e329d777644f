"""The status of one job from four sources: the manager's record, the exit file, the manager's log and our own journal.

The manager's word counts. The exit file is the second source: it is believed where the manager has forgotten or
lost the job, and where it names another code than the manager's 0.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..platforms.queries import UNSTARTED, UNSTARTED_ELEMENTS
from ..states import EndReason, JobState, JobStatus
from ..system.files import end_of_log
from ..system.job_names import MANAGER_LOG
from .job_folder import ExitFile, claimed_by
from .record import JobRecord

if TYPE_CHECKING:
    from ..platforms.queries import SchedulerRecord
    from ..platforms.scheduler import Scheduler

#: The stages of our script at which it may have ended before the command began.
STAGES = {
    "directory": "its directory cannot be entered",
    "stdin": "its input file cannot be read",
    "stdout": "its output file cannot be written",
    "stderr": "its error file cannot be written",
    "element": "its array has no such element",
    "setup": "its setup failed",
    "nodes": "it has other nodes than it asked for",
    "start": "its command could not be started on the node: too few processes or open files are allowed there",
    "dependency": "a job that it was to follow did not end as required",
}
_LAG_S = 2.0  # between the clock of a node and the manager's
_LATE_S = 60.0  # after which a manager's time of an end is not the end's
_CLAIMED = 2.0  # how much longer a job that has started may be unknown
_KILLED = (130, 137, 143)


def manager_log(entry: JobRecord, key: str = "") -> Path:
    """The file to which the manager writes its own log of a job, or of an array's element."""
    of_element = entry.folder / f"{MANAGER_LOG}.{key}"
    return of_element if key and of_element.exists() else entry.folder / MANAGER_LOG


@dataclass(frozen=True)
class Inquiry:
    """One look at one job. `record` is the manager's, proved to be ours; None if it showed none.

    `heard` is False when its history could not be asked about. `missing_since` is when its record, or its exit file,
    was first missed. `witness()` tells whether the same answer shows a job of ours that was there no later, `unmet()`
    names a job that it was to follow and that ended otherwise.
    """

    scheduler: Scheduler
    entry: JobRecord
    key: str
    native: str
    record: SchedulerRecord | None
    before: JobStatus
    now: float
    heard: bool = True
    missing_since: float | None = None
    grace_s: float = 120.0
    witness: Callable[[], bool] = bool
    unmet: Callable[[], str] = str

    def exit_file(self, status: JobStatus) -> ExitFile | None:
        """The exit file of this id, if it is of the attempt that the status tells of."""
        exit_file = ExitFile.read(self.entry.element_folder(self.key), self.native, self.scheduler.same_id)
        if exit_file is None:
            return None
        if self.scheduler.counts_attempts:
            return exit_file if exit_file.attempt >= status.attempt else None
        return exit_file if status.started is None or exit_file.ended >= status.started - _LAG_S else None

    @property
    def ended_by_itself(self) -> bool:
        """Whether its exit file tells all: not where a signal ended it, for then only the manager knows why."""
        exit_file = self.exit_file(self.before)
        return exit_file is not None and exit_file.code not in _KILLED


def resolve_status(about: Inquiry) -> tuple[JobStatus, float | None]:
    """The status of one job, and since when its record, or its exit file, has been missed (None: it has not)."""
    record, before = about.record, about.before
    if record is None or record.moved:
        return _gone(about)
    status = before.then(record.status)
    if not status.final:
        return status, None
    exit_file = about.exit_file(status)
    if status.state is JobState.CANCELED and about.key in about.entry.dropped:
        return before.then(about.entry.dropped[about.key]), None  # by us, when it had failed
    if status.reason is EndReason.LOST and exit_file is not None:
        status = replace(_from_exit_file(exit_file), native=status.native, nodes=status.nodes, started=status.started)
    elif status.state is JobState.COMPLETED:
        if exit_file is not None and exit_file.code:
            status = _by_script(replace(status, state=JobState.FAILED, exit_code=exit_file.code), exit_file)
        elif exit_file is None and about.scheduler.zero_may_lie and _leaves_exit_file(about):
            return _ended_with_zero(about, status)
    elif status.state is JobState.FAILED and not status.reason:
        status = _by_log(about, _explained_by_script(about, status, exit_file))
    elif status.reason is EndReason.OUT_OF_MEMORY and not status.message:
        status = replace(status, message=_reason_in_log(about)[1])
    if exit_file is not None and status.ended is not None and status.ended - exit_file.ended > _LATE_S:
        status = replace(status, ended=exit_file.ended)  # the manager was away, and tells when it came back
    return _canceled_if_asked(about, status), None


def _gone(about: Inquiry) -> tuple[JobStatus, float | None]:
    """A job that is not in the manager's books, or no longer its own."""
    entry, key, before = about.entry, about.key, about.before
    exit_file = about.exit_file(before)
    if exit_file is not None:
        return _canceled_if_asked(about, _by_log(about, before.then(_from_exit_file(exit_file)))), None
    if key in entry.dropped:
        return before.then(entry.dropped[key]), None
    if about.record is not None:  # moved: where it is now, it may wait and run for long
        return replace(before, message=about.record.status.message or "moved to another server"), None
    if not about.heard:
        return before, about.missing_since
    if entry.cancel_asked(key) and not entry.cancel_unsent(key):
        return _ended(about, JobState.CANCELED, None, "gone after it was asked to be cancelled"), None
    since = about.now if about.missing_since is None else about.missing_since
    started = before.state >= JobState.ACTIVE or _claimed(about)
    if not started and (name := about.unmet()):
        message = f"{entry.platform} removed it: {name} did not end as required"
        return _ended(about, JobState.CANCELED, EndReason.DEPENDENCY, message), None
    if started and (logged := _reason_in_log(about, before))[0]:
        return _ended(about, JobState.FAILED, *logged), None
    if about.now - since < about.grace_s * (_CLAIMED if started and before.state < JobState.ACTIVE else 1.0):
        return replace(before, message=f"{entry.platform} does not know it any more; looking again"), since
    forgotten = (UNSTARTED, UNSTARTED_ELEMENTS) if key else (UNSTARTED,)
    if not started and about.scheduler.forgets in forgotten and about.witness():
        message = f"somebody cancelled it before it started; {entry.platform} keeps no record of that"
        return _ended(about, JobState.CANCELED, None, message), None
    message = f"{entry.platform} has not known it for {about.now - since:.0f} s, and it left no exit file"
    if not started:
        message += "; it never started"
    return _ended(about, JobState.FAILED, EndReason.LOST, message), since


def _ended(about: Inquiry, state: JobState, reason: EndReason | None, message: str) -> JobStatus:
    return replace(about.before, state=state, reason=reason, message=message, ended=about.now, held=False)


def _claimed(about: Inquiry) -> bool:
    """Whether its script has begun. The folder is listed anew, for NFS hides new names for up to a minute."""
    folder = about.entry.element_folder(about.key)
    try:
        return "claim" in os.listdir(folder)
    except OSError:
        return False


def _leaves_exit_file(about: Inquiry) -> bool:
    return not about.entry.attached and bool(claimed_by(about.entry.element_folder(about.key)))


def _ended_with_zero(about: Inquiry, status: JobStatus) -> tuple[JobStatus, float | None]:
    """The end of a job whose manager says 0 of every job at times: our script always leaves an exit file."""
    since = about.now if about.missing_since is None else about.missing_since
    if about.now - since < about.scheduler.exit_lag_s:
        waiting = f"{about.entry.platform} says that it ended; waiting for its exit file"
        return replace(about.before, message=waiting), since
    return _canceled_if_asked(about, replace(status, message="no exit file seen")), None


def _explained_by_script(about: Inquiry, status: JobStatus, exit_file: ExitFile | None) -> JobStatus:
    """A failure that our own script explains, where the manager only knows the exit code."""
    if exit_file is None:
        return status
    if exit_file.code in about.scheduler.own_codes and status.exit_code is not None:
        return replace(status, exit_code=exit_file.code)  # what went out was another one
    if status.exit_code == exit_file.code:
        return _by_script(status, exit_file)
    if status.exit_code is not None and exit_file.code % 128 == status.exit_code:
        return replace(status, exit_code=exit_file.code)  # accounting says 9 where the script ended with 137
    return status


def _by_script(status: JobStatus, exit_file: ExitFile) -> JobStatus:
    """A failure of which our script told at which stage it came."""
    if exit_file.stage not in STAGES:
        return status
    reason = EndReason.DEPENDENCY if exit_file.stage == "dependency" else EndReason.LAUNCH_FAILED
    return replace(
        status, reason=reason, message=": ".join(filter(None, (STAGES[exit_file.stage], exit_file.detail)))
    )


def _by_log(about: Inquiry, status: JobStatus) -> JobStatus:
    """A job that was killed, as the manager's own log says why."""
    killed = bool(status.signal) or status.exit_code is None or status.exit_code in _KILLED
    if about.record is None and status.exit_code:
        killed = (
            True  # the manager has no word of its own about it, and a command may end as it likes when it is told
        )
    if status.reason or not killed:
        return status
    reason, line = _reason_in_log(about, status)
    return replace(status, reason=reason, message=line) if reason else status


def _reason_in_log(about: Inquiry, status: JobStatus | None = None) -> tuple[EndReason | None, str]:
    """Why the manager ended a job, and the line of its log that says so; of an earlier attempt nothing is taken."""
    path = manager_log(about.entry, about.key)
    if not about.scheduler.log_signs or about.entry.attached:
        return None, ""
    if status is not None and status.attempt and status.started:
        try:
            if path.stat().st_mtime < status.started:
                return None, ""
        except OSError:
            return None, ""
    for line in reversed(end_of_log(path).splitlines()):
        for pattern, reason in about.scheduler.log_signs:
            if match := re.search(pattern, line):
                return reason, (match["text"] if "text" in match.groupdict() else line).strip()
    return None, ""


def _from_exit_file(exit_file: ExitFile) -> JobStatus:
    state = JobState.FAILED if exit_file.code else JobState.COMPLETED
    status = JobStatus(
        state, "", exit_file.code, None, None, "as its exit file says", "", exit_file.attempt, None, exit_file.ended
    )
    return _by_script(status, exit_file)


def _canceled_if_asked(about: Inquiry, status: JobStatus) -> JobStatus:
    """A job that we were asked to cancel and that a signal ended was cancelled, whatever the manager calls it."""
    if not about.entry.cancel_asked(about.key):
        return status
    if status.state is JobState.CANCELED and status.reason is EndReason.DEPENDENCY:
        return replace(status, reason=None, message="")  # it waited for another job: that is not why it ended
    by_signal = status.signal in (2, 9, 15) or status.exit_code in _KILLED
    if status.state is JobState.FAILED and not status.reason and by_signal:
        return replace(status, state=JobState.CANCELED)
    return status
