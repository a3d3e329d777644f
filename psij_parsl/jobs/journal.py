"""The journal: the records of all jobs of a user, in one log and its segments, shared by all processes.

The log `journal.jsonl` holds one event on each line; the record of a job is the sum of its events. Writers append
under a file lock. Readers take no lock: a line that is not complete is skipped, so a line that a killed writer left
incomplete damages no other line. From time to time, when that at least halves the log, a writer moves the records of
ended jobs into segments (see `segments`), which are never changed, and replaces the log by a new one with the rest.
It prepares all of that before it takes the lock; under the lock it only copies what others have written meanwhile,
and renames the new log. The first line of a log names the valid segments, so the rename is the commit: what a killed
writer had prepared is not read, and a later writer removes it.

A submission has these steps, so that `kill -9` at any instruction neither loses a job nor submits it twice: make the
folder, write the files that the job needs, `intend` (on disk before anything is sent), the manager's submit command,
`commit`. A script that the command has on its input is written into the folder, for people, while it works. A job
that has an intent and no commit is looked for by its tag in the manager's answers. If it is not there, it is given
up: we take the claim without which its script cannot start.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import JournalError
from ..states import JobStatus
from ..system.files import write_new
from ..system.processes import process_identity
from .fault_points import fault_point
from .journal_reader import JournalReader
from .record import JobRecord
from .record_lines import plain, plain_status

if TYPE_CHECKING:
    from ..job import Job
    from .job_places import JobPlaces

log = logging.getLogger(__name__)


class Journal(JournalReader):
    """The journal under one state directory. Safe for threads, processes and hosts that share the directory."""

    def __init__(self, home: Path | None = None) -> None:
        super().__init__(home)
        self._last_failure = ""  # the last reason why events could not be written

    # ---- folders -------------------------------------------------------------------------------------------

    @cached_property
    def _places(self) -> JobPlaces:
        from .job_places import JobPlaces

        return JobPlaces(self.home)

    @property
    def identity(self) -> str:
        """The identity of this state directory, which the folders of its jobs name. A copy of it has another one."""
        return self._places.identity

    def prepare(self, spool: Path | None = None) -> tuple[str, Path]:
        """A new job id and the path of its folder. Nothing is written yet."""
        return self._places.prepare(spool)

    def make_folder(self, folder: Path) -> bool:
        """Make the folder of a job; False if another process has just taken that id."""
        return self._places.make_folder(folder)

    def new_folder(self, spool: Path | None = None) -> tuple[str, Path]:
        """Make a new job id and its folder, which no other process has."""
        while True:  # two processes may choose one id in the same second
            job_id, folder = self.prepare(spool)
            if self.make_folder(folder):
                return job_id, folder

    def briefly(self) -> AbstractContextManager[None]:
        """Wait only briefly for the lock inside the `with` block: for processes that only ask for statuses.

        What such a process could not write is learnt and written again by a later one.
        """
        return self._log.briefly()

    # ---- writing -------------------------------------------------------------------------------------------

    def intend(self, entry: JobRecord, job: Job | None = None, elements: Sequence[Job] = ()) -> JobRecord:
        """Record, durably, that a submission is about to be sent."""
        if job is not None:
            data = {
                "job": job.to_dict(),
                **({"elements": [element.to_dict() for element in elements]} if elements else {}),
            }
            write_new(f"{entry.place}/job.json", json.dumps(data))
        fault_point("written")
        entry = replace(entry, intended=time.time(), owner=process_identity())
        self._log.append([{"e": "job", **plain(entry)}], durable=True)
        fault_point("intended")
        return entry

    def commit(
        self, entry: JobRecord, native: str, *, sure: bool = False, elements: Sequence[str] = (), cluster: str = ""
    ) -> JobRecord:
        """Record the id that the manager gave, and what else its answer tells about the job."""
        fault_point("submitted")
        now = time.time()
        details = {"sure": sure, "elements": list(elements), "cluster": cluster}
        details = {name: value for name, value in details.items() if value}
        try:
            self._log.append([{"e": "native", "id": entry.id, "native": native, "t": now, **details}])
        except JournalError as error:
            raise JournalError(
                f"{entry.platform} has taken job {entry.id} as {native}, but that could not be written down:"
                f" {error.message}",
                hint=f"do not submit it again: `psij-run status {entry.id}` finds it by its tag. {error.hint}",
            ) from error
        fault_point("committed")
        return replace(
            entry, native=native, committed=now, sure=sure, elements=tuple(elements), cluster=cluster or entry.cluster
        )

    def left(self, entry: JobRecord) -> None:
        """Record that the process that submits no longer waits for the manager's answer, whatever it may be.

        If that cannot be written there is a warning and no error, as in `end`.
        """
        self._append_or_warn([{"e": "left", "id": entry.id, "t": time.time()}])

    def born(self, times: Mapping[str, float]) -> None:
        """Record the manager's own submission times of jobs, by our ids.

        If they cannot be written there is a warning and no error, as in `end`.
        """
        self._append_or_warn([{"e": "born", "id": job_id, "t": born} for job_id, born in times.items()])

    def dropping(self, entry: JobRecord, key: str, status: JobStatus) -> None:
        """Record, durably, the final status of a failed job that is about to be removed from the manager."""
        self._log.append([{"e": "drop", "id": entry.id, "k": key, "s": plain_status(status)}], durable=True)

    def forget(self, ids: Iterable[str]) -> None:
        """Remove records: of a submission that the manager refused, or of a job that is cleaned up."""
        self._log.append([{"e": "gone", "id": job_id} for job_id in ids])

    def cancel_asked(self, keys: Iterable[tuple[str, str]], *, sent: bool = True) -> None:
        """Record that a user asked to cancel these (id, element key); the key '*' means every element.

        With `sent` False the cancel command is sent later, when the manager shows the job.
        """
        unsent = {} if sent else {"unsent": True}
        self._log.append(
            [{"e": "cancel", "id": job_id, "k": key, "t": time.time(), **unsent} for job_id, key in keys]
        )

    def cancel_failed(self, keys: Iterable[tuple[str, str]]) -> None:
        """Undo `cancel_asked`: the cancel command failed, so if these jobs end, that has another reason."""
        self._log.append([{"e": "uncancel", "id": job_id, "k": key} for job_id, key in keys])

    def twins(self, entry: JobRecord, natives: Sequence[str]) -> None:
        """Record duplicate submissions of a job, by the manager's ids. They were cancelled, or had ended."""
        if entry.open:
            self._log.append([{"e": "twin", "id": entry.id, "natives": list(natives)}])
        else:  # its record may be in a segment, which is never changed: a new record replaces it
            self._log.append([{"e": "again", **plain(replace(entry, twins=(*entry.twins, *natives)))}])

    def used(self, entry: JobRecord, figures: Mapping[str, Mapping[str, Any]]) -> None:
        """Record what elements that have ended have used, by their keys, as data of `Usage`.

        If that cannot be written there is a warning and no error, as in `end`.
        """
        if entry.open:
            self._append_or_warn([{"e": "used", "id": entry.id, "u": figures}])
        else:  # its record may be in a segment, as in `twins`
            self._append_or_warn([{"e": "again", **plain(replace(entry, used={**entry.used, **figures}))}])

    def end(
        self,
        ends: Mapping[tuple[str, str], JobStatus],
        used: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
    ) -> None:
        """Record final statuses by (id, element key). A status that is recorded already is not replaced.

        `used` has what these have used, where the same answer told it, as data of `Usage`.

        If they cannot be written (a full disk, a lock that another process holds), there is a warning and no error:
        the next query learns them again.
        """
        recorded = self.some({job_id for job_id, _ in ends})
        events = [
            {"e": "end", "id": job_id, "k": key, "s": plain_status(status)}
            | ({"u": used[job_id, key]} if used and (job_id, key) in used else {})
            for (job_id, key), status in ends.items()
            if job_id in recorded and key not in recorded[job_id].ended
        ]
        self._append_or_warn(events)

    def _append_or_warn(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Append events that a later query would learn again. A failure is a warning, given once for each reason."""
        try:
            self._log.append(events)
            self._last_failure = ""
        except JournalError as error:
            if self._last_failure != error.message:
                self._last_failure = error.message
                log.warning("what the manager answered could not be recorded, a later query will do that: %s", error)
