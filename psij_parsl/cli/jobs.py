"""`status` and `list`: jobs as tables."""

from __future__ import annotations

import time
from functools import partial
from operator import ne
from typing import Annotated

import typer

from ..errors import InvalidRequest
from ..signals import registered, should_exit
from .arguments import Json, Selectors, age
from .desk import Desk, Found, Row
from .output import Column, Renderer, length

COLUMNS = (
    Column("id", "ID"), Column("name", "NAME"), Column("where", "WHERE"), Column("state", "STATE"),
    Column("native_id", "NATIVE ID"), Column("queue_s", "WAIT", length), Column("run_s", "RUN", length),
    Column("why", "REASON"),
)  # fmt: skip
_WATCH_S = 1.0


def status(
    ctx: typer.Context,
    jobs: Selectors = None,
    elements: Annotated[bool, typer.Option("--elements", help="Each element of an array on its own line.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until all have ended, or Ctrl-C.")] = False,
    json: Json = False,
) -> int:
    """Show the state of jobs: those named, or all open ones."""
    out: Renderer = ctx.obj
    desk = Desk()
    found = desk.find(jobs or ["all"], elements=elements)
    if watch:
        return _watch(desk, out, found)
    _show(out, desk, desk.look(found, urgent=True))
    return 0


def list_jobs(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("-a", "--all", help="Ended jobs too.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="AGE", help="Jobs of the last 2d, 12h, ...; ended ones too.", show_default=False
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option("-n", "--count", metavar="COUNT", help="The newest COUNT only.", show_default=False)
    ] = None,
    json: Json = False,
) -> int:
    """List jobs on record: open ones, or all with -a."""
    out: Renderer = ctx.obj
    if count is not None and count < 1:
        raise InvalidRequest(f"-n {count} asks for no jobs at all", hint="-n takes a whole number above 0")
    desk = Desk()
    after = time.time() - age(since, "--since") if since else 0.0
    recorded = desk.journal.entries() if everything or since else desk.journal.open_entries()
    chosen = [entry for entry in recorded.values() if entry.intended >= after]
    found = [(entry, "*" if entry.array else "") for entry in chosen[-count if count else 0 :]]
    _show(out, desk, desk.look(found))
    return 0


def _show(out: Renderer, desk: Desk, rows: list[Row]) -> None:
    now = time.time()
    for note in desk.notes:
        out.note(note)
    new = not desk.journal.path.exists()
    empty = "no jobs yet; `psij-run submit -- hostname` would be one" if new else "no open jobs"
    out.table(COLUMNS, [row.data(now) for row in rows], empty=empty)


def _watch(desk: Desk, out: Renderer, found: Found) -> int:
    """On a terminal one table that is drawn anew; elsewhere the rows that have changed."""
    screen = out.out.isatty() and not out.json
    last: dict[str, tuple[str, str]] = {}
    with registered():
        while True:
            rows = desk.look(found)
            if screen:
                out.out.write("\x1b[H\x1b[2J")
            changed = [row for row in rows if screen or last.get(row.id) != (row.status.state.name, row.why)]
            if changed:
                _show(out, desk, changed)
                out.out.flush()
            last = {row.id: (row.status.state.name, row.why) for row in rows}
            if all(row.status.final for row in rows):
                return 0
            open_ = [(row.entry, row.key) for row in rows if not row.status.final]
            groups = desk.groups(open_, strict=False)
            for executor, group in groups:  # a wait that also looks early at signs of an end
                executor.watch(group, partial(ne, executor.statuses(group)), timeout=_WATCH_S / len(groups))
            if should_exit(0.0 if groups else _WATCH_S):
                return 130
