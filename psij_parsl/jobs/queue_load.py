"""How many of the user's jobs are in a queue, by our own records, files and the shared snapshot: nobody is asked."""

from __future__ import annotations

from .batch import BatchSchedulerExecutor
from .record import element_id


def jobs_in_queue(executor: BatchSchedulerExecutor, queue: str) -> int:
    """The number of jobs, each element of an array being one, that the executor's site has in a queue.

    Those that have ended count no more as soon as the snapshot says so, or an exit file.
    """
    view = executor.snapshot.view()
    open_parts = (
        (entry, key)
        for entry in executor.journal.open_entries().values()
        if entry.site == executor.site and entry.queue == queue
        for key in entry.keys
        if not entry.over(key)
    )
    number = 0
    for entry, key in open_parts:
        status = view.status(element_id(entry, key))
        ended = (status is not None and status.final) or (entry.element_folder(key) / "exit").exists()
        number += not ended
    return number
