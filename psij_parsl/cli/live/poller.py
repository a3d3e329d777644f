"""The thread of the live view that asks how the jobs are, and cancels, while the view answers keys."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from ...errors import Error
from ...jobs.record import JobRecord
from ..job_row import JobKey, JobRow
from ..job_table import JobTable, Selection

_SHARE = 0.02  # of a core that it uses at most
_LEAST_S = 0.25
_LEAVE_S = 2.0  # for a question that is on its way when we leave


class Poller(threading.Thread):
    """Keeps rows up to date. The manager is asked as seldom as by any other command: see `jobs.snapshot`.

    `find` gives the jobs to show besides those shown already. `tell` is called when something has changed.
    """

    def __init__(
        self, table: JobTable, rows: Sequence[JobRow], find: Callable[[], Selection], tell: Callable[[], None]
    ) -> None:
        super().__init__(name="psij-live", daemon=True)
        self.rows, self.trouble, self.message = rows, "", ""
        self.error: Exception | None = None
        self._table, self._find, self._tell = table, find, tell
        self._to_cancel: queue.SimpleQueue[JobRow] = queue.SimpleQueue()
        self._unfolded: Mapping[str, JobRecord] = {}  # arrays of which each element is a row, by id
        self._elements: set[JobKey] = set()  # these rows
        self._called, self._leaving = threading.Event(), False

    def cancel(self, row: JobRow) -> None:
        """Cancel a job, soon; `message` then tells."""
        self._to_cancel.put(row)
        self._called.set()

    def unfold(self, entry: JobRecord, *, shown: bool) -> None:
        """Have rows for the elements of an array, too; or no more."""
        others = {job_id: other for job_id, other in self._unfolded.items() if job_id != entry.id}
        self._unfolded = {**others, entry.id: entry} if shown else others
        self._called.set()

    def leave(self) -> None:
        """End the thread; a manager that does not answer is not waited for."""
        self._leaving = True
        self._called.set()
        self.join(_LEAVE_S)

    def run(self) -> None:
        try:
            while not self._leaving:
                began = time.thread_time()
                self._called.clear()
                while not self._to_cancel.empty():
                    self._cancel(self._to_cancel.get())
                self._look()
                self._called.wait(max(_LEAST_S, (time.thread_time() - began) / _SHARE))
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            self.error = error
            self._tell()

    def _look(self) -> None:
        unfolded = self._unfolded
        known = {
            row.place: (row.entry, row.key)
            for row in self.rows
            if row.place not in self._elements or row.entry.id in unfolded
        }
        elements = {(entry.id, key): (entry, key) for entry in unfolded.values() for key in entry.keys}
        self._elements = (self._elements & known.keys()) | (elements.keys() - known.keys())
        known = {**elements, **known}
        known |= {(entry.id, key): (entry, key) for entry, key in self._find() if (entry.id, key) not in known}
        rows = self._table.poll([*known.values()], before={row.place: row.status for row in self.rows})
        trouble = "; ".join(dict.fromkeys(self._table.notes))
        self._table.notes.clear()
        if rows != self.rows or trouble != self.trouble:
            self.rows, self.trouble = rows, trouble
            self._tell()

    def _cancel(self, row: JobRow) -> None:
        try:
            jobs = [(row.entry, row.key)]
            asked = [any(executor.cancel_found(group)) for executor, group in self._table.groups(jobs)]
            self._table.raise_first_error()
            self.message = f"asked to cancel {row.id}" if any(asked) else f"job {row.id} has ended already"
        except Error as error:
            self.message = f"{row.id} was not cancelled: {error.message}{f' ({error.hint})' if error.hint else ''}"
        self._tell()
