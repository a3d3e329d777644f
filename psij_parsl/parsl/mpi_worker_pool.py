"""Parsl's worker pool for MPI tasks, in which a task that finds no room waits: `python -m psij_parsl.parsl.mpi_worker_pool`.

When nodes become free, Parsl's own (2026.10.26, its issue 3829) tries a task that does not fit for ever: the result
that was just in hand is lost, and with it those that wait.
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
    for task in waiting:  # the narrowest first; what still finds no room is put back
        scheduler.put_task(task.task)


if __name__ == "__main__":
    MPITaskScheduler._schedule_backlog_tasks = _try_each_once  # type: ignore[method-assign]  # it has no other seam
    runpy.run_module("parsl.executors.high_throughput.process_worker_pool", run_name="__main__", alter_sys=True)
