"""Parsl's worker pool for MPI tasks, with a fix: a task that does not fit waits.

It is run as `python -m psij_parsl.parsl.mpi_worker_pool`. When nodes become free, Parsl's own pool (2026.10.26, its
issue 3829) tries a task that does not fit for ever. Then the result that it was handling is lost, and so are the
results that wait.
"""

from __future__ import annotations

import queue
import runpy
from typing import Any

from parsl.executors.high_throughput.mpi_resource_management import MPITaskScheduler


def _try_each_once(scheduler: Any) -> None:
    waiting = []
    while True:
        try:
            waiting.append(scheduler._backlog_queue.get(block=False))
        except queue.Empty:
            break
    for task in waiting:  # the narrowest first; a task that still does not fit is put back
        scheduler.put_task(task.task)


if __name__ == "__main__":
    MPITaskScheduler._schedule_backlog_tasks = _try_each_once  # type: ignore[method-assign]  # it has no other seam
    runpy.run_module("parsl.executors.high_throughput.process_worker_pool", run_name="__main__", alter_sys=True)
