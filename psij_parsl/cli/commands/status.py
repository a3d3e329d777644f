"""`status`: the state of jobs as a table."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import ne
from signal import SIGINT
from typing import TYPE_CHECKING

from ...jobs.record_filter import EVERY, RecordFilter
from ...signals import received_signal, registered, should_exit
from ..command import Command, Invocation
from ..flags import JSON, Flag
from ..job_choice import CHOICE, SORT, wants
from ..job_row import JobRow
from ..job_table import JobTable, Selection
from ..output import Column, Renderer, length, short_moment
from ..selectors import OPEN_JOBS

if TYPE_CHECKING:
    from ..ordering import Order

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
    values = invocation.values()
    wanted = RecordFilter(
        names=values.get("name", ()), sites=values.get("site", ()), states=values.get("state", EVERY.states)
    )
    table, elements = JobTable(), "elements" in values

    def find() -> Selection:
        found = table.find(invocation.arguments or ["all"], elements=elements)
        return [(entry, key) for entry, key in found if wanted.matches_open(entry)]

    jobs = find()
    if "watch" in values and jobs and _is_screen(out):
        later = find if list(invocation.arguments) in ([], ["all"]) else tuple  # those that were named are named
        return _watch_screen(out, table, jobs, later, wanted, values.get("sort", ()))
    if "watch" in values:
        return _watch(table, out, jobs, wanted)
    rows = [row for row in table.poll(jobs, urgent=True) if wants(wanted, row)]
    empty = "no open job matches" if wanted != EVERY else ""
    show_jobs(out, table, rows, order=values.get("sort", ()), empty=empty)
    return 0


def show_jobs(out: Renderer, table: JobTable, rows: Iterable[JobRow], *, order: Order = (), empty: str = "") -> None:
    """Print these jobs as a table, and the notes on them; `empty` is for people if there are none."""
    now = time.time()
    for note in table.notes:
        out.note(note)
    new = table.journal.new
    empty = "no jobs yet; `psij-run submit -- hostname` submits one" if new else empty or "no open jobs"
    data = (row.data(now) if out.json else row.shown(now) for row in rows)
    out.table(COLUMNS, data, order=order, empty=empty)


def _is_screen(out: Renderer) -> bool:
    """Whether our stdout is a terminal that a screen can be drawn on, and that is ours to draw on."""
    if out.json or not out.out.isatty() or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        return False
    try:
        return os.tcgetpgrp(out.out.fileno()) == os.getpgrp()
    except OSError:  # it is not the terminal that controls us
        return True


def _watch_screen(
    out: Renderer, table: JobTable, jobs: Selection, find: Callable[[], Selection], wanted: RecordFilter, order: Order
) -> int:
    rows: Sequence[JobRow] = table.poll(jobs, urgent=True)
    ended, code = all(row.status.final for row in rows), 0
    if not ended:
        from ..live.watch import watch

        code, rows, ended = watch(out, table, rows, find, partial(wants, wanted), order)
    if ended:
        show_jobs(out, table, [row for row in rows if wants(wanted, row)], order=order)
    return code


def _watch(table: JobTable, out: Renderer, jobs: Selection, wanted: RecordFilter) -> int:
    """Print the rows that have changed, until all jobs have ended."""
    last: dict[str, tuple[str, str]] = {}
    with registered():
        while True:
            rows = table.poll(jobs)
            shown = [row for row in rows if wants(wanted, row)]
            changed = [row for row in shown if last.get(row.id) != (row.status.state.name, row.why)]
            if changed or not (jobs or out.json):
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
        *CHOICE,
        SORT,
        Flag("watch", ("--watch",), "", "Follow the jobs until all have ended or you leave.", switch=True),
        JSON,
    ),
    OPEN_JOBS,
    details=(
        "A job that has ended since you last asked is shown one more time.\n\nOn a terminal, --watch is a live view,"
        " which also shows jobs that are submitted meanwhile if no job is named: choose one with the arrow keys, filter"
        " (/), sort (s), see its output grow (t), unfold an array (u), cancel (c), leave (q); ? tells all keys. Elsewhere"
        " it prints rows as they change. It exits with 0 when all jobs have ended, however they ended, and after q; with 128 + the"
        " signal after Ctrl-C or another signal. `psij-run wait` gives the jobs' own exit code."
    ),
    examples=(
        "psij-run status last",
        "psij-run status --watch",
        "psij-run status --watch --name 'train-*' --sort -run",
    ),
)
