"""`status` and `list`: jobs as tables."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated

import typer

from ...jobs.record import JobRecord
from ...platforms.templates.validators import positive_int
from ..arguments import JsonRenderer, Selectors, age, count
from ..job_table import JobTable
from ..output import Renderer
from . import overview


def status(
    ctx: typer.Context,
    jobs: Selectors = None,
    elements: Annotated[bool, typer.Option("--elements", help="Each element of an array on its own line.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until all have ended, or Ctrl-C.")] = False,
    json: JsonRenderer = False,
) -> int:
    """Show the state of jobs: those named, or all open ones.

    Among the open ones are, once, those that have ended since the last look.
    """
    return overview.status(ctx.obj, jobs or (), elements=elements, watch=watch)


def list_jobs(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("-a", "--all", help="Ended jobs too.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="AGE", help="Jobs of the last 2d, 12h, ...; ended ones too.", show_default=False
        ),
    ] = None,
    newest: Annotated[
        str | None, typer.Option("-n", "--count", metavar="COUNT", help="The newest COUNT only.", show_default=False)
    ] = None,
    json: JsonRenderer = False,
) -> int:
    """List jobs on record: open ones, or all with -a.

    Among the open ones are, once, those that have ended since the last look.
    """
    out: Renderer = ctx.obj
    most = count(newest, "-n", positive_int) or 0
    table = JobTable()
    journal = table.journal
    going: Iterable[JobRecord] = journal.open_entries().values()
    chosen: Iterable[JobRecord]
    if since is not None or (everything and most):
        after = time.time() - age(since, "--since") if since is not None else 0.0
        chosen = journal.recent(after=after, count=most).values()
        going = [entry for entry in chosen if entry.open]
    elif everything:
        chosen = journal.entries().values()
    else:
        chosen = going = list(going)[-most:]
    overview.show(out, table, table.rows(chosen, going))
    return 0
