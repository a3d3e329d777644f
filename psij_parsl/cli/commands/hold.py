"""`hold` and `release`: keep queued jobs from starting, and let them start."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ...errors import InvalidRequest
from ...jobs.record import element_id
from ..command import Command, Invocation
from ..flags import JSON
from ..job_table import JobTable
from ..output import Renderer
from ..selectors import NAMED_OPEN_JOBS, required


def _hold(out: Renderer, invocation: Invocation) -> int:
    return _change(out, required(invocation.arguments, "hold"), hold=True)


def _release(out: Renderer, invocation: Invocation) -> int:
    return _change(out, required(invocation.arguments, "release"), hold=False)


def _change(out: Renderer, selectors: Sequence[str], *, hold: bool) -> int:
    table = JobTable()
    jobs = table.find(selectors)
    for entry, key in jobs:
        if not entry.open or key in entry.ended:
            raise InvalidRequest(f"job {entry.id} has ended", hint="only a waiting job can be held or released")
        if not entry.native:
            raise InvalidRequest(f"job {entry.id} is still being submitted", hint="try again in a moment")
    for executor, group in table.groups(jobs):
        ids = [element_id(entry, key) for entry, key in group]
        (executor.hold if hold else executor.release)(ids)
    table.raise_first_error()
    if out.json:
        now = time.time()
        out.table((), [row.data(now) for row in table.poll(jobs, urgent=True)])
    return 0


HOLD = Command("hold", "Keep queued jobs from starting.", _hold, (JSON,), NAMED_OPEN_JOBS)
RELEASE = Command("release", "Let held jobs start.", _release, (JSON,), NAMED_OPEN_JOBS)
