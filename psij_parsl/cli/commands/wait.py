"""`wait`: until jobs have ended."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ...signals import received_signal, registered, should_exit, until
from ...validators import duration, unambiguous
from ..command import TIMED_OUT, Command, Invocation
from ..flags import JSON, Flag
from ..job_outcome import all_final, exit_status, failure_errors
from ..job_row import JobRow
from ..job_table import JobTable
from ..output import Renderer
from ..selectors import NAMED_OPEN_JOBS, required, some_ids


def _wait(out: Renderer, invocation: Invocation) -> int:
    selectors = required(invocation.arguments, "wait")
    return wait_for(out, JobTable(), selectors, invocation.values().get("timeout"))


def wait_for(out: Renderer, table: JobTable, selectors: Sequence[str], timeout_s: float | None = None) -> int:
    """Wait until these jobs have ended; returns the exit code of `wait`."""
    jobs = table.find(selectors, elements=True)
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    complete = True
    with registered(), until(deadline):
        for executor, group in table.groups(jobs):
            executor.statuses(group, urgent=True)  # a person waits: ask the manager now
            time_left = None if deadline is None else max(0.0, deadline - time.monotonic())
            complete = executor.wait_until(group, all_final, timeout=time_left) and complete
            if should_exit():
                open_ids = [row.id for row in table.poll(jobs) if not row.status.final]
                if open_ids:
                    out.note(f"not ended yet: {some_ids(open_ids)}")
                return 128 + (received_signal() or 2)
    table.raise_first_error()
    return _report(out, table.poll(jobs), timed_out=not complete)


def _report(out: Renderer, rows: Sequence[JobRow], *, timed_out: bool) -> int:
    """Print how jobs ended; returns the highest exit code."""
    now = time.time()
    if out.json:
        out.table((), [row.data(now) for row in rows])
    for error in () if out.json else failure_errors(rows):
        out.error(error)
    if timed_out:
        still_open = [row for row in rows if not row.status.final]
        out.note(f"timeout: {', '.join(f'{row.id} is {row.status.state.name}' for row in still_open[:5])}")
        return TIMED_OUT
    return max((exit_status(row.status) for row in rows), default=0)


WAIT = Command(
    "wait",
    "Wait until the jobs have ended, and exit with their exit code.",
    _wait,
    (
        Flag(
            "timeout",
            ("--timeout",),
            "TIME",
            "Longest time to wait: 30s, 5m, 2h, ... (a number without a unit is minutes).",
            unambiguous(duration),
        ),
        JSON,
    ),
    NAMED_OPEN_JOBS,
    details="With several jobs the exit code is the highest of theirs. It is 143 for a cancelled job, and 124 if --timeout expires.",
    examples=("psij-run wait --timeout 2h all",),
    foreground=True,
)
