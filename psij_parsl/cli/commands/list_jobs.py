"""`list`: the jobs on record as a table."""

from __future__ import annotations

import time
from collections.abc import Iterable

from ...jobs.record import JobRecord
from ...validators import positive_int
from ..command import Command, Invocation
from ..flag_types import age
from ..flags import JSON, Flag
from ..job_table import JobTable
from ..output import Renderer
from .status import show_jobs


def _list(out: Renderer, invocation: Invocation) -> int:
    values = invocation.values()
    since, count, with_ended = values.get("since"), values.get("count", 0), "all" in values
    table = JobTable()
    journal = table.journal
    open_jobs: Iterable[JobRecord] = journal.open_entries().values()
    jobs: Iterable[JobRecord]
    if since is not None or (with_ended and count):
        jobs = journal.recent(after=time.time() - since if since is not None else 0.0, count=count).values()
        open_jobs = [job for job in jobs if job.open]
    elif with_ended:
        jobs = journal.entries().values()
    else:
        jobs = open_jobs = list(open_jobs)[-count:]
    show_jobs(out, table, table.rows(jobs, open_jobs))
    return 0


LIST = Command(
    "list",
    "List the recorded jobs that have not ended, or all with -a.",
    _list,
    (
        Flag("all", ("-a", "--all"), "", "Show ended jobs too.", switch=True),
        Flag("since", ("--since",), "AGE", "Show jobs of the last 2d, 12h, ..., ended ones too.", age),
        Flag("count", ("-n", "--count"), "COUNT", "Show only the newest COUNT jobs.", positive_int),
        JSON,
    ),
    details="A job that has ended since you last asked is shown one more time.",
    examples=("psij-run list --all --since 2d",),
)
