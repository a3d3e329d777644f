"""How a job has ended: as an exit code of ours, and as an error with its cause."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..errors import Error
from ..states import JobState, JobStatus
from .job_row import JobRow

_LOG_LINES = 10  # of the manager's log, in the error
_LOG_BEGINS = "\n--- "


def all_final(statuses: Sequence[JobStatus]) -> bool:
    """Whether all jobs have ended."""
    return all(status.final for status in statuses)


def exit_status(status: JobStatus) -> int:
    """The exit code of a command that stands for a job: the job's own; 128 + n for a signal.

    Without a code of its own: 143 (128 + TERM) when it was cancelled, 5 when it is lost, else 1.
    """
    from ..states import EndReason

    if status.state is JobState.COMPLETED:
        return 0
    if status.state is JobState.CANCELED:
        return 143
    return status.exit_status or (5 if status.reason is EndReason.LOST else 1)


def failure_errors(rows: Iterable[JobRow]) -> Iterator[Error]:
    """The errors for those of the jobs that have ended, and not well; what the manager wrote of several once."""
    told: set[str] = set()
    for row in rows:
        if not row.status.final or row.status.state is JobState.COMPLETED:
            continue
        error = failure_error(row)
        said, _, log = error.message.partition(_LOG_BEGINS)
        yield Error(said, hint=error.hint) if log in told else error
        told.add(log)


def failure_error(row: JobRow) -> Error:
    """The error for a job that did not end well, with the last lines of the manager's own log if there is one."""
    status = row.status
    log = "" if row.entry.attached or (row.entry.array and row.key in ("", "*")) else _log_tail(row)
    if status.reason:
        hint = status.reason.hint
    elif status.state is JobState.CANCELED:
        hint = ""
    else:
        hint = f"`psij-run logs --stderr {row.id}` shows its error output; `psij-run info {row.id}` shows everything about it"
    return Error(f"job {row.id} ({row.entry.name}) ended {status.describe()}{log}", hint=hint)


def _log_tail(row: JobRow) -> str:
    from ..jobs.verdict import manager_log
    from ..system.files import end_of_log

    last = end_of_log(manager_log(row.entry, row.key if row.key != "*" else ""), _LOG_LINES)
    return f"{_LOG_BEGINS}{row.entry.platform} wrote\n{last}" if last else ""
