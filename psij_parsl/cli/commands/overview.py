"""The table of jobs, as `status` and `list` show it.

`status` is what people and their scripts type most, so nothing here needs typer, which takes longer to load than all
the rest of an answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from operator import ne
from signal import SIGINT

from ...signals import received_signal, registered, should_exit
from ..job_table import Found, JobRow, JobTable
from ..output import Column, Renderer, length

COLUMNS = (
    Column("id", "ID"),
    Column("name", "NAME"),
    Column("where", "WHERE"),
    Column("state", "STATE"),
    Column("native_id", "NATIVE ID"),
    Column("queue_s", "WAIT", length),
    Column("run_s", "RUN", length),
    Column("why", "REASON"),
)
_FLAGS = ("--elements", "--watch", "--json")
_WATCH_S = 1.0


def status(out: Renderer, selectors: Sequence[str], *, elements: bool = False, watch: bool = False) -> int:
    """Show the state of the jobs that selectors name, or of all open ones."""
    table = JobTable()
    found = table.find(selectors or ["all"], elements=elements)
    if watch:
        return _watch(table, out, found)
    rows = table.poll(found, urgent=True)
    show(out, table, rows)
    return 0


def direct(out: Renderer, words: Sequence[str]) -> int | None:
    """`status` for words as they were typed; None if typer is to look at them, which has the help and the faults."""
    if any(word.startswith("-") and word not in _FLAGS for word in words):
        return None
    selectors = [word for word in words if word not in _FLAGS]
    return status(out, selectors, elements="--elements" in words, watch="--watch" in words)


def show(out: Renderer, table: JobTable, rows: Iterable[JobRow]) -> None:
    """These jobs as a table, and what is to be said beside it."""
    now = time.time()
    for note in table.notes:
        out.note(note)
    new = table.journal.new
    empty = "no jobs yet; `psij-run submit -- hostname` would be one" if new else "no open jobs"
    out.table(COLUMNS, (row.data(now) for row in rows), empty=empty)


def _watch(table: JobTable, out: Renderer, found: Found) -> int:
    """On a terminal one table that is drawn anew; elsewhere the rows that have changed."""
    screen = out.out.isatty() and not out.json
    last: dict[str, tuple[str, str]] = {}
    with registered():
        while True:
            rows = table.poll(found)
            if screen:
                out.out.write("\x1b[H\x1b[2J")
            changed = [row for row in rows if screen or last.get(row.id) != (row.status.state.name, row.why)]
            if changed:
                show(out, table, changed)
                out.out.flush()
            last = {row.id: (row.status.state.name, row.why) for row in rows}
            if all(row.status.final for row in rows):
                return 0
            open_ = [(row.entry, row.key) for row in rows if not row.status.final]
            groups = table.groups(open_)
            for executor, group in groups:  # a wait that also looks early at signs of an end
                executor.wait_until(group, partial(ne, executor.statuses(group)), timeout=_WATCH_S / len(groups))
            if should_exit(0.0 if groups else _WATCH_S):
                return 128 + (received_signal() or SIGINT)
