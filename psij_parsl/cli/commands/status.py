"""`status`: the state of jobs as a table."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from operator import ne
from signal import SIGINT

from ...signals import received_signal, registered, should_exit
from ..command import Command, Invocation
from ..flags import JSON, Flag
from ..job_row import JobRow
from ..job_table import JobTable, Selection
from ..output import Column, Renderer, length, short_moment
from ..selectors import OPEN_JOBS

COLUMNS = (
    Column("id", "ID"),
    Column("name", "NAME", wraps=True, most=16),
    Column("where", "WHERE", yields=3),
    Column("state", "STATE"),
    Column("native_id", "NATIVE ID", yields=5),
    Column("submitted", "SUBMITTED", short_moment, yields=1),
    Column("queue_s", "WAIT", length, yields=4),
    Column("run_s", "RUN", length, yields=2),
    Column("why", "REASON", wraps=True),
)
_WATCH_S = 1.0


def _status(out: Renderer, invocation: Invocation) -> int:
    table = JobTable()
    jobs = table.find(invocation.arguments or ["all"], elements="elements" in invocation.texts)
    if "watch" in invocation.texts:
        return _watch(table, out, jobs)
    rows = table.poll(jobs, urgent=True)
    show_jobs(out, table, rows)
    return 0


def show_jobs(out: Renderer, table: JobTable, rows: Iterable[JobRow], *, empty: str = "") -> None:
    """Print these jobs as a table, and the notes on them; `empty` is for people if there are none."""
    now = time.time()
    for note in table.notes:
        out.note(note)
    new = table.journal.new
    empty = "no jobs yet; `psij-run submit -- hostname` submits one" if new else empty or "no open jobs"
    out.table(COLUMNS, (row.data(now) for row in rows), empty=empty)


def _watch(table: JobTable, out: Renderer, jobs: Selection) -> int:
    """On a terminal one table that is redrawn; elsewhere the rows that have changed."""
    screen = out.out.isatty() and not out.json
    last: dict[str, tuple[str, str]] = {}
    with registered():
        while True:
            rows = table.poll(jobs)
            if screen:
                out.out.write("\x1b[H\x1b[2J")
            changed = [row for row in rows if screen or last.get(row.id) != (row.status.state.name, row.why)]
            if changed:
                show_jobs(out, table, changed)
                out.out.flush()
            last = {row.id: (row.status.state.name, row.why) for row in rows}
            if all(row.status.final for row in rows):
                return 0
            open_jobs = [(row.entry, row.key) for row in rows if not row.status.final]
            groups = table.groups(open_jobs)
            for executor, group in groups:  # this wait also looks early at hints that a job has ended
                executor.wait_until(group, partial(ne, executor.statuses(group)), timeout=_WATCH_S / len(groups))
            if should_exit(0.0 if groups else _WATCH_S):
                return 128 + (received_signal() or SIGINT)


STATUS = Command(
    "status",
    "Show the state of the named jobs, or of all jobs that have not ended.",
    _status,
    (
        Flag("elements", ("--elements",), "", "Show each element of an array on its own line.", switch=True),
        Flag("watch", ("--watch",), "", "Refresh until all jobs have ended or you press Ctrl-C.", switch=True),
        JSON,
    ),
    OPEN_JOBS,
    details="A job that has ended since you last asked is shown one more time.",
    examples=("psij-run status last", "psij-run status --watch"),
)
