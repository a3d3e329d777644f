"""How many of the user's jobs are in a queue, by our own records, files and the shared snapshot: nobody is asked."""

from __future__ import annotations

from collections.abc import Iterator

from .batch import BatchSchedulerExecutor
from .record import JobRecord, element_id


def jobs_in_queue(executor: BatchSchedulerExecutor, queue: str) -> int:
    """The number of jobs, each element of an array being one, that the executor's site has in a queue.

    A job in several queues counts in each. Those that have ended count no more as soon as the snapshot says so, or an
    exit file.
    """
    view = executor.snapshot.view()
    number = 0
    for entry, key in _open_parts(executor, queue):
        status = view.status(element_id(entry, key))
        ended = (status is not None and status.final) or (entry.element_folder(key) / "exit").exists()
        number += not ended
    return number


def jobs_still_in_queue(executor: BatchSchedulerExecutor, queue: str) -> int:
    """The same after a look at the manager, if the snapshot is due for one: before a job is refused for the others."""
    executor.statuses([*_open_parts(executor, queue)])
    return jobs_in_queue(executor, queue)


def _open_parts(executor: BatchSchedulerExecutor, queue: str) -> Iterator[tuple[JobRecord, str]]:
    for entry in executor.journal.open_entries().values():
        if entry.site == executor.site and queue in (entry.queue, *entry.queue.split(",")):
            yield from ((entry, key) for key in entry.keys if not entry.over(key))
