"""`cancel`: ask the resource manager to end jobs."""

from __future__ import annotations

from ...jobs.record import element_id
from ..command import Command, Invocation
from ..flags import JSON, Flag
from ..job_table import JobTable
from ..output import Renderer
from ..selectors import OPEN_JOBS, required, some_ids


def _cancel(out: Renderer, invocation: Invocation) -> int:
    orphans = "orphans" in invocation.texts
    table = JobTable()
    jobs = [] if orphans and not invocation.arguments else list(table.find(required(invocation.arguments, "cancel")))
    if orphans:
        jobs += [(entry, "") for entry in table.journal.open_entries().values() if entry.orphaned]
    rows = []
    for executor, group in table.groups(jobs):
        for (entry, key), asked in zip(group, executor.cancel_found(group), strict=True):
            job_id = element_id(entry, key)
            rows.append({"id": job_id, "name": entry.name, "asked": asked})
            if not asked and not out.json:
                out.note(f"job {job_id} has ended already")
    if out.json:
        out.table((), rows)
    elif not jobs:
        out.note("no open jobs")
    elif cancelled := [str(row["id"]) for row in rows if row["asked"]]:
        out.note(f"asked to cancel {some_ids(cancelled)}")
    table.raise_first_error()
    return 0


CANCEL = Command(
    "cancel",
    "Cancel jobs.",
    _cancel,
    (
        Flag(
            "orphans",
            ("--orphans",),
            "",
            "Cancel jobs whose workflow has stopped without cancelling them, such as Parsl's blocks after a kill -9.",
            switch=True,
        ),
        JSON,
    ),
    OPEN_JOBS,
    details="`all` means all jobs that have not ended.",
    examples=("psij-run cancel last", "psij-run cancel 3kq0v5d2mp_7", "psij-run cancel --orphans"),
)
