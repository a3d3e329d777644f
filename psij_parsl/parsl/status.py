"""Conversion of our job statuses to Parsl's. Each call makes new objects, because Parsl's executors change them."""

from __future__ import annotations

import os
from pathlib import Path

from parsl.jobs.states import JobState as ParslState
from parsl.jobs.states import JobStatus as ParslStatus

from ..jobs.record import JobRecord
from ..jobs.verdict import manager_log
from ..states import EndReason, JobState, JobStatus
from ..system.files import end_of_log

_LOG_LINES = 5

#: HELD and UNKNOWN are no states that Parsl's strategy counts: it would submit again every period.
_STATES = {
    JobState.UNKNOWN: ParslState.PENDING,
    JobState.NEW: ParslState.PENDING,
    JobState.QUEUED: ParslState.PENDING,
    JobState.ACTIVE: ParslState.RUNNING,
    JobState.COMPLETED: ParslState.COMPLETED,
    JobState.FAILED: ParslState.FAILED,
    JobState.CANCELED: ParslState.CANCELLED,
}
#: Ends that a block expects: Parsl must not take them for failures of the system.
_EXPECTED = (EndReason.TIMEOUT, EndReason.PREEMPTED, EndReason.DEADLINE)
_AGAIN = "with retries=1 or more Parsl runs lost tasks again"
#: What to do about an end, in the words of Parsl's users; `{}` is the block's wall time.
_HINTS = {
    EndReason.TIMEOUT: "its wall time was {} min: give blocks more (wall_time_min), let no task start so late"
    f" (drain_min); {_AGAIN}",
    EndReason.OUT_OF_MEMORY: "it used more memory than it had: ask for more (mem_per_node), or have fewer workers on a"
    " node (workers_per_node)",
    EndReason.NODE_FAILURE: f"a node died under it; {_AGAIN}",
    EndReason.PREEMPTED: f"a more urgent job took its place; {_AGAIN}",
    EndReason.LAUNCH_FAILED: "it never started: see to worker_init and the site's setup",
    EndReason.LOST: "nobody knows how it ended",
}


def parsl_state(status: JobStatus) -> ParslState:
    """The state for Parsl's strategy and error handlers."""
    if status.state is JobState.FAILED and status.reason in _EXPECTED:
        return ParslState.TIMEOUT
    return _STATES[status.state]


def parsl_status(status: JobStatus, entry: JobRecord, wall_time_min: int) -> ParslStatus:
    """The status of a block, with all details that Parsl can pass on to a task's exception."""
    folder = Path(entry.folder)
    stdout, stderr = folder / "stdout", folder / "stderr"
    log = manager_log(entry)
    if status.final and not _holds(stderr) and _holds(log):
        stderr = log
    return ParslStatus(
        parsl_state(status),
        message=_message(status, entry, wall_time_min, end_of_log(log, _LOG_LINES) if status.final else ""),
        exit_code=status.exit_status,
        stdout_path=os.fspath(stdout),
        stderr_path=os.fspath(stderr),
    )


def _holds(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _message(status: JobStatus, entry: JobRecord, wall_time_min: int, log: str) -> str | None:
    if status.state is JobState.COMPLETED:
        return None
    description = status.describe()
    if not status.final:
        return ", ".join(part for part in ("held" if status.held else "", status.message) if part) or None
    native = f", {entry.platform} job {entry.native}" if entry.native else ""
    hint = f"; {_HINTS.get(status.reason, status.reason.hint).format(wall_time_min)}" if status.reason else ""
    message = f"block {entry.name} ({entry.id}{native}): {description}{hint}; its folder is {entry.folder}"
    return f"{message}; {entry.platform} wrote: {log}" if log else message
