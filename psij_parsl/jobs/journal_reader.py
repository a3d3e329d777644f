"""Reading the journal: the records of all jobs, and what people name of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path

from ..errors import InvalidRequest, UnknownJob
from ..job import Job
from ..system.files import home as default_home
from ..system.files import read_json
from .log import Log
from .log_records import DAMAGE
from .record import JobPart, JobRecord
from .record_lines import is_open, record_of
from .shelf import Recorded, Shelf


class JournalReader:
    """What the journal under one state directory says. Safe for threads, and beside processes that write to it."""

    def __init__(self, home: Path | None = None) -> None:
        self.home = home or default_home()
        self._log = Log(self.home)
        self.path = self._log.path

    @property
    def new(self) -> bool:
        """Whether nothing was ever recorded here."""
        return not self.path.exists()

    def entries(self) -> Recorded:
        """All records by id, oldest first, as of now. They are read as they are looked at, not kept."""
        with self._log.current():
            return Recorded(dict(self._log.known.records), self._log.known.shelf())

    def open_entries(self) -> dict[str, JobRecord]:
        """Those of `entries` that have not ended, without the cost of looking at the others."""
        with self._log.current():
            records = self._log.known.records
            ids = [job_id for job_id, record in records.items() if is_open(record)]
            return {job_id: record_of(records, job_id) for job_id in ids}

    def some(self, ids: Iterable[str]) -> dict[str, JobRecord]:
        """The records of these ids, as far as there are any."""
        wanted = list(dict.fromkeys(ids))
        with self._log.current():
            records = self._log.known.records
            entries = {job_id: record_of(records, job_id) for job_id in wanted if job_id in records}
            if len(entries) == len(wanted):
                return entries
            shelf = self._log.known.shelf()
        entries |= shelf.some(job_id for job_id in wanted if job_id not in entries)
        return {job_id: entries[job_id] for job_id in wanted if job_id in entries}

    def recent(self, *, after: float = 0.0, count: int = 0) -> dict[str, JobRecord]:
        """The records submitted since then (seconds since the epoch), the newest so many of them; oldest first."""
        live, shelf = self._all()
        entries = [entry for entry in live if entry.intended >= after]
        both = sorted([*shelf.recent(after, count), *entries], key=attrgetter("intended"))
        return {entry.id: entry for entry in both[-count if count else 0 :]}

    def aged(self, before: float) -> Iterator[JobRecord]:
        """The records submitted before then, in no order."""
        live, shelf = self._all()
        yield from (entry for entry in live if entry.intended <= before)
        yield from shelf.aged(before)

    def places(self) -> tuple[set[str], set[str]]:
        """All ids, and all folders in which jobs' folders lie."""
        live, shelf = self._all()
        ids, roots = shelf.places()
        return ids | {entry.id for entry in live}, roots | {os.path.dirname(entry.place) for entry in live}

    def _all(self) -> tuple[list[JobRecord], Shelf]:
        """The records in the log, and those in segments."""
        with self._log.current():
            records = self._log.known.records
            return [record_of(records, job_id) for job_id in records], self._log.known.shelf()

    def damage(self) -> int:
        """How many lines of the log and its segments cannot be read."""
        with self._log.current():
            bad, shelf = self._log.known.damaged, self._log.known.shelf()
        return bad + shelf.damage()

    def listen(self) -> set[str]:
        """A set to which the ids of jobs are added as their last end is read in the log, from now on: see `heard`."""
        ended: set[str] = set()
        with self._log.current():
            self._log.known.listeners.append(ended)
        return ended

    def heard(self, ended: set[str]) -> set[str]:
        """What is in that set by now, which is emptied. It costs no look at segments."""
        with self._log.current():
            taken = set(ended)
            ended.clear()
        return taken

    def unlisten(self, ended: set[str]) -> None:
        """No more is added to that set."""
        self._log.unlisten(ended)

    def get(self, job_id: str) -> JobRecord:
        """The record of that id. Raises `UnknownJob`."""
        entry = self.some([job_id]).get(job_id)
        if entry is None:
            raise UnknownJob(f"there is no job {job_id!r} in the journal", hint="`psij-run list --all` shows all")
        return entry

    def job(self, entry: JobRecord, key: str = "") -> Job | None:
        """The specification that was submitted; None for a job that was attached, or whose folder is gone."""
        data = read_json(entry.folder / "job.json")
        if not isinstance(data, dict):
            return None
        try:
            elements = data.get("elements")
            return Job.from_dict(elements[int(key)] if key and elements else data["job"])
        except (*DAMAGE, IndexError, InvalidRequest):  # damaged
            return None

    def find(
        self, selectors: Sequence[str], *, elements: bool = True, of: tuple[str, str] | None = None
    ) -> list[JobPart]:
        """The (entry, element key) that selectors name: ids of ours or the manager's, `last`, `all`, ID_3, last_3.

        A whole array is given as each of its elements, or with `elements=False` once, with the key '*'.
        `all` means those not ended. A manager's id is looked for among all jobs, or among those `of` one (platform,
        cluster); an open one goes before those that have ended, and a later one before an earlier. Raises
        `UnknownJob` with the selector that names nothing, `InvalidRequest` for one that could mean several.
        """
        from .selectors import find

        with self._log.current():
            known = self._log.known
            records, shelf, last = dict(known.records), known.shelf(), known.latest
        return find(selectors, records, shelf, last, elements=elements, of=of)
