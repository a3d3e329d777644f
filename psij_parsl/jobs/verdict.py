"""Decides the status of one job, from the manager's record, the exit file, the manager's log and our journal.

The manager's record decides. The exit file is the second source: it decides if the manager has no record of the job,
or calls it lost, and if it has another exit code where the manager says 0.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..platforms.queries import UNSTARTED, UNSTARTED_ELEMENTS
from ..states import EndReason, JobState, JobStatus
from ..system.files import end_of_log
from ..system.job_names import MANAGER_LOG
from .job_folder import ExitFile, claimed_by
from .record import JobRecord

if TYPE_CHECKING:
    from ..platforms.queries import SchedulerRecord
    from ..platforms.scheduler import Scheduler

#: The stages at which our script may have ended before the command started, with the message for each.
STAGES = {
    "directory": "its directory cannot be entered",
    "stdin": "its input file cannot be read",
    "folder": "the directory of its output file is not there",
    "stdout": "its output file cannot be written",
    "stderr": "its error file cannot be written",
    "element": "its array has no such element",
    "setup": "its setup failed",
    "nodes": "it has other nodes than it asked for",
    "start": "its command could not be started on the node: too few processes or open files are allowed there",
    "dependency": "a job that it was to follow did not end as required",
}
_CLOCK_LAG_S = 2.0  # difference that the clocks of a node and of the manager may have
_LATE_S = 60.0  # if the manager's end time is so much later than the exit file's, the exit file's is right
_CLAIMED = 2.0  # factor of the grace time for a job whose script has started
_KILLED = (129, 130, 137, 143)  # exit codes of a command that SIGHUP (of Flux), SIGINT, SIGKILL or SIGTERM ended


def manager_log(entry: JobRecord, key: str = "") -> Path:
    """The file to which the manager writes its log of a job, or of an element of an array.

    An element's ends with its index, after a dot where we name it, after a dash where the manager does.
    """
    of_element = (entry.folder / f"{MANAGER_LOG}{separator}{key}" for separator in ".-")
    whole = Path(entry.place, MANAGER_LOG)
    return next((path for path in of_element if path.exists()), whole) if key else whole


class Inquiry(NamedTuple):
    """What is known about one job when its status is decided.

    `record` is the manager's record, proved to be ours; None if its answer had none. `before` is the last status.
    `history_answered` is False if the manager's history of the job could not be asked. `missing_since` is when the
    record, or the exit file, was first missing. `witness()` tells whether the same answer has a job of ours that was
    submitted no later than this one. `unmet()` gives the name of a job on which this one depends and that did not end
    as required, or ''.
    """

    scheduler: Scheduler
    entry: JobRecord
    key: str
    native: str
    record: SchedulerRecord | None
    before: JobStatus
    now: float
    history_answered: bool = True
    missing_since: float | None = None
    grace_s: float = 120.0
    witness: Callable[[], bool] = bool
    unmet: Callable[[], str] = str

    def exit_file(self, status: JobStatus) -> ExitFile | None:
        """The exit file of this job, if it is of the same attempt as the status."""
        exit_file = ExitFile.read(self.entry.element_folder(self.key), self.native, self.scheduler.same_id)
        if exit_file is None:
            return None
        if self.scheduler.counts_attempts:
            return exit_file if exit_file.attempt >= status.attempt else None
        return exit_file if status.started is None or exit_file.ended >= status.started - _CLOCK_LAG_S else None

    @property
    def ended_by_itself(self) -> bool:
        """Whether its exit file is enough: not if a signal ended the job, for then only the manager knows why."""
        exit_file = self.exit_file(self.before)
        return exit_file is not None and exit_file.code not in _KILLED


def resolve_status(inquiry: Inquiry) -> tuple[JobStatus, float | None]:
    """Decide the status of one job. Also returns since when its record or exit file is missing (None: it is not)."""
    record, before = inquiry.record, inquiry.before
    if record is None or record.moved:
        return _without_record(inquiry)
    status = before.then(record.status)
    if not status.final:
        return status, None
    exit_file = inquiry.exit_file(status)
    if status.state is JobState.CANCELED and inquiry.key in inquiry.entry.dropped:
        return before.then(inquiry.entry.dropped[inquiry.key]), None  # we have removed it, after it had failed
    if status.reason is EndReason.LOST and exit_file is not None:
        status = replace(_from_exit_file(exit_file), native=status.native, nodes=status.nodes, started=status.started)
    elif status.state is JobState.COMPLETED:
        if exit_file is not None and exit_file.code:
            status = _by_script(replace(status, state=JobState.FAILED, exit_code=exit_file.code), exit_file)
        elif exit_file is None and inquiry.scheduler.zero_may_lie and _leaves_exit_file(inquiry):
            return _ended_with_zero(inquiry, status)
    elif status.state is JobState.FAILED and not status.reason:
        status = _by_log(inquiry, _explained_by_script(inquiry, status, exit_file))
    elif status.reason is EndReason.OUT_OF_MEMORY and not status.message:
        sign = _sign_in_log(inquiry)
        status = replace(status, message=sign.text if sign is not None else "")
    if exit_file is not None and status.ended is not None and status.ended - exit_file.ended > _LATE_S:
        status = replace(status, ended=exit_file.ended)  # the manager was down, and gives the time of its restart
    return _canceled_if_asked(inquiry, status), None


def _without_record(inquiry: Inquiry) -> tuple[JobStatus, float | None]:
    """Decide the status of a job of which the manager has no record, or that has moved to another server."""
    entry, key, before = inquiry.entry, inquiry.key, inquiry.before
    exit_file = inquiry.exit_file(before)
    if exit_file is not None:
        return _canceled_if_asked(inquiry, _by_log(inquiry, before.then(_from_exit_file(exit_file)))), None
    if key in entry.dropped:
        return before.then(entry.dropped[key]), None
    if inquiry.record is not None:  # moved: it may wait and run there for a long time
        return replace(before, message=inquiry.record.status.message or "moved to another server"), None
    if not inquiry.history_answered:
        return before, inquiry.missing_since
    if entry.cancel_asked(key) and not entry.cancel_unsent(key):
        return _ended(inquiry, JobState.CANCELED, None, "gone after it was asked to be cancelled"), None
    since = inquiry.now if inquiry.missing_since is None else inquiry.missing_since
    started = before.state >= JobState.ACTIVE or _claimed(inquiry)
    if not started and (name := inquiry.unmet()):
        message = f"{entry.platform} removed it: {name} did not end as required"
        return _ended(inquiry, JobState.CANCELED, EndReason.DEPENDENCY, message), None
    if (sign := _sign_in_log(inquiry, before)) is not None:
        return replace(_ended(inquiry, sign.state, sign.reason, sign.text), exit_code=sign.code), None
    if inquiry.now - since < inquiry.grace_s * (_CLAIMED if started and before.state < JobState.ACTIVE else 1.0):
        return replace(before, message=f"{entry.platform} does not know it any more; looking again"), since
    forgotten = (UNSTARTED, UNSTARTED_ELEMENTS) if key else (UNSTARTED,)
    if not started and inquiry.scheduler.forgets in forgotten and inquiry.witness():
        message = f"somebody cancelled it before it started; {entry.platform} keeps no record of that"
        return _ended(inquiry, JobState.CANCELED, None, message), None
    message = f"{entry.platform} has not known it for {inquiry.now - since:.0f} s, and it left no exit file"
    if not started:
        message += "; it never started"
    return _ended(inquiry, JobState.FAILED, EndReason.LOST, message), since


def _ended(inquiry: Inquiry, state: JobState, reason: EndReason | None, message: str) -> JobStatus:
    return replace(inquiry.before, state=state, reason=reason, message=message, ended=inquiry.now, held=False)


def _claimed(inquiry: Inquiry) -> bool:
    """Whether its script has started. The folder is listed, for else NFS may hide a new file for up to a minute."""
    folder = inquiry.entry.element_folder(inquiry.key)
    try:
        return "claim" in os.listdir(folder)
    except OSError:
        return False


def _leaves_exit_file(inquiry: Inquiry) -> bool:
    return not inquiry.entry.attached and bool(claimed_by(inquiry.entry.element_folder(inquiry.key)))


def _ended_with_zero(inquiry: Inquiry, status: JobStatus) -> tuple[JobStatus, float | None]:
    """Decide about an exit code 0 of a manager that at times says 0 for any job: wait for the exit file.

    Our script always writes one.
    """
    since = inquiry.now if inquiry.missing_since is None else inquiry.missing_since
    if inquiry.now - since < inquiry.scheduler.exit_lag_s:
        waiting = f"{inquiry.entry.platform} says that it ended; waiting for its exit file"
        return replace(inquiry.before, message=waiting), since
    return _canceled_if_asked(inquiry, replace(status, message="no exit file seen")), None


def _explained_by_script(inquiry: Inquiry, status: JobStatus, exit_file: ExitFile | None) -> JobStatus:
    """Explain a failure by the exit file, if the manager only knows the exit code."""
    if exit_file is None:
        return status
    if exit_file.code in inquiry.scheduler.own_codes and status.exit_code is not None:
        return replace(status, exit_code=exit_file.code)  # the script has returned another code to the manager
    if status.exit_code == exit_file.code:
        return _by_script(status, exit_file)
    if status.exit_code is not None and exit_file.code % 128 == status.exit_code:
        return replace(status, exit_code=exit_file.code)  # accounting says 9 for a script that ended with 137
    return status


def _by_script(status: JobStatus, exit_file: ExitFile) -> JobStatus:
    """Explain a failure by the stage that the exit file names."""
    if exit_file.stage not in STAGES:
        return status
    reason = EndReason.DEPENDENCY if exit_file.stage == "dependency" else EndReason.LAUNCH_FAILED
    return replace(
        status, reason=reason, message=": ".join(filter(None, (STAGES[exit_file.stage], exit_file.detail)))
    )


def _by_log(inquiry: Inquiry, status: JobStatus) -> JobStatus:
    """Explain the end of a job that was killed by the manager's log."""
    killed = bool(status.signal) or status.exit_code is None or status.exit_code in _KILLED
    if inquiry.record is None and status.exit_code:
        killed = True  # no record of the manager says how it ended, and a killed command may exit with any code
    if status.reason or not killed:
        return status
    sign = _sign_in_log(inquiry, status)
    if sign is None or sign.code is not None:
        return status
    return replace(status, state=sign.state, reason=sign.reason, message=sign.text)


class _Sign(NamedTuple):
    """What a line of the manager's log tells of a job's end: see `log_signs`."""

    reason: EndReason | None
    text: str
    code: int | None

    @property
    def state(self) -> JobState:
        if self.code == 0:
            return JobState.COMPLETED
        return JobState.FAILED if self.reason or self.code else JobState.CANCELED


def _sign_in_log(inquiry: Inquiry, status: JobStatus | None = None) -> _Sign | None:
    """The last line of the manager's log that tells how the job ended. A log of an earlier attempt is ignored."""
    path = manager_log(inquiry.entry, inquiry.key)
    if not inquiry.scheduler.log_signs or inquiry.entry.attached:
        return None
    if status is not None and status.attempt and status.started:
        try:
            if path.stat().st_mtime < status.started:
                return None
        except OSError:
            return None
    for line in reversed(end_of_log(path).splitlines()):
        for pattern, reason in inquiry.scheduler.log_signs:
            if match := re.search(pattern, line):
                groups = match.groupdict()
                code = groups.get("code")
                return _Sign(reason, (groups.get("text") or line).strip(), int(code) if code else None)
    return None


def _from_exit_file(exit_file: ExitFile) -> JobStatus:
    state = JobState.FAILED if exit_file.code else JobState.COMPLETED
    status = JobStatus(
        state, "", exit_file.code, None, None, "as its exit file says", "", exit_file.attempt, None, exit_file.ended
    )
    return _by_script(status, exit_file)


def _canceled_if_asked(inquiry: Inquiry, status: JobStatus) -> JobStatus:
    """Change FAILED to CANCELED for a job that a user asked to cancel and that a signal ended."""
    if not inquiry.entry.cancel_asked(inquiry.key):
        return status
    if status.state is JobState.CANCELED and status.reason is EndReason.DEPENDENCY:
        return replace(status, reason=None, message="")  # it waited for another job, but the user has cancelled it
    by_signal = status.signal in (1, 2, 9, 15) or status.exit_code in _KILLED
    if status.state is JobState.FAILED and not status.reason and by_signal:
        return replace(status, state=JobState.CANCELED)
    return status
