"""`wait`, `cancel`, `hold` and `release`: what is done to jobs that there are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

import typer

from ...errors import InvalidRequest
from ...jobs.record import element_id
from ...platforms.templates.validators import duration
from ...signals import received_signal, registered, should_exit, until
from ...states import JobState, JobStatus
from ..arguments import JsonRenderer, Selectors, needed
from ..flag_types import unambiguous
from ..flags import is_empty
from ..job_table import JobRow, JobTable, exit_status, failure_error
from ..output import Column, Renderer

TIMED_OUT = 124  # as timeout(1)
_STATES = (Column("id", "ID"), Column("name", "NAME"), Column("state", "STATE"), Column("why", "REASON"))


def wait(
    ctx: typer.Context,
    jobs: Selectors = None,
    timeout: Annotated[
        str | None,
        typer.Option(
            "--timeout",
            metavar="TIME",
            help="Wait no longer than 30s, 5m, 2h, ... (a bare number: minutes).",
            show_default=False,
        ),
    ] = None,
    json: JsonRenderer = False,
) -> int:
    """Wait for jobs to end; exit with their code.

    The highest code of several; 143 for one that was cancelled, 124 when --timeout is over.
    """
    return wait_for(ctx.obj, JobTable(), needed(jobs, "wait"), _seconds(timeout))


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    if not text:
        raise is_empty("--timeout")
    try:
        return unambiguous(duration)(text)
    except ValueError as error:
        raise InvalidRequest(f"--timeout {text}: it {error}", hint="for example 30s, 5m or 2h") from error


def wait_for(out: Renderer, table: JobTable, selectors: Sequence[str], timeout_s: float | None = None) -> int:
    """Wait until these jobs have ended; returns the exit code of `wait`."""
    found = table.find(selectors, elements=True)
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    complete = True
    with registered(), until(deadline):
        for executor, group in table.groups(found):
            executor.statuses(group, urgent=True)  # somebody wants to know now
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            complete = executor.wait_until(group, all_final, timeout=left) and complete
            if should_exit():
                going = [row.id for row in table.poll(found) if not row.status.final]
                if going:
                    out.note(f"still going on: {_some(going)}")
                return 128 + (received_signal() or 2)
    table.complain()
    rows = table.poll(found)
    return report(out, rows, timed_out=not complete)


def all_final(statuses: Sequence[JobStatus]) -> bool:
    """Whether all have ended."""
    return all(status.final for status in statuses)


def report(out: Renderer, rows: Sequence[JobRow], *, timed_out: bool = False) -> int:
    """Tell how jobs ended; returns the worst exit code."""
    now = time.time()
    if out.json:
        out.table((), [row.data(now) for row in rows])
    for row in rows:
        if row.status.final and row.status.state is not JobState.COMPLETED and not out.json:
            out.error(failure_error(row))
    if timed_out:
        still = [row for row in rows if not row.status.final]
        out.note(f"time is up: {', '.join(f'{row.id} is {row.status.state.name}' for row in still[:5])}")
        return TIMED_OUT
    return max((exit_status(row.status) for row in rows), default=0)


def cancel(
    ctx: typer.Context,
    jobs: Selectors = None,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="Those of workflows that are gone: Parsl's blocks after a kill -9.")
    ] = False,
    json: JsonRenderer = False,
) -> int:
    """Cancel jobs. `all` means all that have not ended."""
    out: Renderer = ctx.obj
    table = JobTable()
    found = [] if orphans and not jobs else list(table.find(needed(jobs, "cancel")))
    if orphans:
        found += [(entry, "") for entry in table.journal.open_entries().values() if entry.orphaned]
    rows = []
    for executor, group in table.groups(found):
        for (entry, key), asked in zip(group, executor.cancel_found(group), strict=True):
            name = element_id(entry, key)
            rows.append({"id": name, "name": entry.name, "asked": asked})
            if not asked and not out.json:
                out.note(f"job {name} has ended already")
    if out.json:
        out.table((), rows)
    elif not found:
        out.note("no open jobs")
    elif asked_for := [str(row["id"]) for row in rows if row["asked"]]:
        out.note(f"asked to cancel {_some(asked_for)}")
    table.complain()
    return 0


def hold(ctx: typer.Context, jobs: Selectors = None, json: JsonRenderer = False) -> int:
    """Keep queued jobs from starting."""
    return _change(ctx.obj, needed(jobs, "hold"), hold=True)


def release(ctx: typer.Context, jobs: Selectors = None, json: JsonRenderer = False) -> int:
    """Let held jobs start."""
    return _change(ctx.obj, needed(jobs, "release"), hold=False)


def _change(out: Renderer, selectors: Sequence[str], *, hold: bool) -> int:
    table = JobTable()
    found = table.find(selectors)
    for entry, key in found:
        if not entry.open or key in entry.ended:
            raise InvalidRequest(f"job {entry.id} has ended", hint="only a job that waits can be held or released")
        if not entry.native:
            raise InvalidRequest(f"job {entry.id} is still being submitted", hint="try again in a moment")
    for executor, group in table.groups(found):
        ids = [element_id(entry, key) for entry, key in group]
        (executor.hold if hold else executor.release)(ids)
    table.complain()
    if out.json:
        out.table((), [row.data(time.time()) for row in table.poll(found, urgent=True)])
    return 0


def _some(ids: Sequence[str]) -> str:
    """Ids for a remark: five of them at most."""
    return f"{', '.join(ids[:5])}{' and more' if len(ids) > 5 else ''}"
