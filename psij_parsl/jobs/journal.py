"""The record of every job: one log and the segments beside it for all processes of a user, one folder per job.

The log `journal.jsonl` holds one event a line; what a job is, is what its lines add up to. Writers append under
a file lock; readers take none, for a line is there whole or is passed over. A line that a killed writer left torn
harms nothing but itself. Now and then, when that at least halves the log, a writer moves the records of jobs that have
ended into segments (see `segments`), which are never changed, and swaps in a log of what is left. All of that is made
ready before the lock is taken; under it only what others have written meanwhile is copied, and the new log renamed.
Its first line names the segments that count, so the rename is the commit: what a killed writer had prepared is not
looked at, and removed by a later one.

Order of a submission, so that `kill -9` at any instruction loses no job and doubles none: the folder, the script,
`intend` (on disk before anything is sent), the manager, `commit`. An intent without a commit is looked for by its
tag in the manager's own answers, or given up by taking the claim that its script would need to start.
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
from ..job import Job
from ..states import JobStatus
from ..system.files import write_new
from ..system.processes import process_identity
from .fault_points import fault_point
from .journal_reader import JournalReader
from .record import JobRecord
from .record_lines import plain, plain_status

if TYPE_CHECKING:
    from .job_places import JobPlaces

log = logging.getLogger(__name__)


class Journal(JournalReader):
    """The journal under one state directory. Safe for threads, processes and hosts that share the directory."""

    def __init__(self, home: Path | None = None) -> None:
        super().__init__(home)
        self._complaint = ""  # the last one about what could not be written down

    # ---- folders -------------------------------------------------------------------------------------------

    @cached_property
    def _places(self) -> JobPlaces:
        from .job_places import JobPlaces

        return JobPlaces(self.home)

    @property
    def identity(self) -> str:
        """What this state directory is known by in the folders of its jobs. A copy of it is another one."""
        return self._places.identity

    def prepare(self, spool: Path | None = None) -> tuple[str, Path]:
        """A new id, and where its folder is to be made. Nothing is written yet."""
        return self._places.prepare(spool)

    def make_folder(self, folder: Path) -> bool:
        """Make a job's folder; False if another process has just taken that id."""
        return self._places.make_folder(folder)

    def new_folder(self, spool: Path | None = None) -> tuple[str, Path]:
        """A new id and its folder, made: no other process has either."""
        while True:  # two ids of one second may meet
            job_id, folder = self.prepare(spool)
            if self.make_folder(folder):
                return job_id, folder

    def briefly(self) -> AbstractContextManager[None]:
        """For who only looks: what it learns is written down if the lock is to be had soon, else by a later look."""
        return self._log.briefly()

    # ---- writing -------------------------------------------------------------------------------------------

    def intend(self, entry: JobRecord, job: Job | None = None, elements: Sequence[Job] = ()) -> JobRecord:
        """Record, durably, that a submission is about to be sent."""
        if job is not None:
            data = {"job": job.to_dict(), **({"elements": [each.to_dict() for each in elements]} if elements else {})}
            write_new(entry.folder / "job.json", json.dumps(data))
        fault_point("written")
        entry = replace(entry, intended=time.time(), owner=process_identity())
        self._log.append([{"e": "job", **plain(entry)}], durable=True)
        fault_point("intended")
        return entry

    def commit(
        self, entry: JobRecord, native: str, *, sure: bool = False, elements: Sequence[str] = (), cluster: str = ""
    ) -> JobRecord:
        """Record the id that the manager gave, and what else is known of the job with it."""
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

    def born(self, times: Mapping[str, float]) -> None:
        """Record the manager's own time of submission of these jobs, by our ids; as `end` where that cannot be."""
        self._learnt([{"e": "born", "id": job_id, "t": born} for job_id, born in times.items()])

    def dropping(self, entry: JobRecord, key: str, status: JobStatus) -> None:
        """Record that the manager is about to be told to forget a failed job, which ended with that status."""
        self._log.append([{"e": "drop", "id": entry.id, "k": key, "s": plain_status(status)}], durable=True)

    def forget(self, ids: Iterable[str]) -> None:
        """Take records away: a submission that the manager refused, or one that is cleaned up."""
        self._log.append([{"e": "gone", "id": job_id} for job_id in ids])

    def cancel_asked(self, keys: Iterable[tuple[str, str]], *, sent: bool = True) -> None:
        """Record that these (id, element key) were asked to be cancelled; '*' means every element.

        With `sent` False the manager will be told once it shows the job.
        """
        unsent = {} if sent else {"unsent": True}
        self._log.append(
            [{"e": "cancel", "id": job_id, "k": key, "t": time.time(), **unsent} for job_id, key in keys]
        )

    def cancel_failed(self, keys: Iterable[tuple[str, str]]) -> None:
        """Take back `cancel_asked`: the manager was not told, and how they end has another reason."""
        self._log.append([{"e": "uncancel", "id": job_id, "k": key} for job_id, key in keys])

    def twins(self, entry: JobRecord, natives: Sequence[str]) -> None:
        """Record second copies of a submission, which were ended."""
        if entry.open:
            self._log.append([{"e": "twin", "id": entry.id, "natives": list(natives)}])
        else:  # its record may be in a segment, which is never changed: a new one takes its place
            self._log.append([{"e": "again", **plain(replace(entry, twins=(*entry.twins, *natives)))}])

    def end(self, ends: Mapping[tuple[str, str], JobStatus]) -> None:
        """Record final statuses by (id, element key). One that is recorded already stays.

        Where they cannot be written down (a full disk, a lock that is not to be had), that is said and no error: the
        next look learns them again.
        """
        known = self.some({job_id for job_id, _ in ends})
        events = [
            {"e": "end", "id": job_id, "k": key, "s": plain_status(status)}
            for (job_id, key), status in ends.items()
            if job_id in known and key not in known[job_id].ended
        ]
        self._learnt(events)

    def _learnt(self, events: Sequence[Mapping[str, Any]]) -> None:
        try:
            self._log.append(events)
            self._complaint = ""
        except JournalError as error:
            if self._complaint != error.message:
                self._complaint = error.message
                log.warning("what was learnt could not be written down, a later look will do that: %s", error)
