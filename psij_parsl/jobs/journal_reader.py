"""Reads the journal: the records of all jobs, and of those that a user names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidRequest, UnknownJob
from ..system.files import home as default_home
from ..system.files import read_json
from .log import Log
from .log_records import DAMAGE
from .record import JobPart, JobRecord
from .record_filter import EVERY, RecordFilter
from .record_lines import is_open, record_of, repeats
from .shelf import AllRecords, Shelf

if TYPE_CHECKING:
    from ..job import Job


class JournalReader:
    """Reads the journal of one state directory. Safe for threads, and while other processes write to it."""

    def __init__(self, home: Path | None = None) -> None:
        self.home = home or default_home()
        self._log = Log(self.home)
        self.path = self._log.path

    @property
    def new(self) -> bool:
        """Whether no job was ever recorded here."""
        return not self.path.exists()

    def entries(self) -> AllRecords:
        """All records by id, oldest first, as of now. They are read from disk on access, and not kept in memory."""
        with self._log.current():
            return AllRecords(dict(self._log.contents.records), self._log.contents.shelf())

    def open_entries(self) -> dict[str, JobRecord]:
        """The records of jobs that have not ended, by id. The others are not read."""
        with self._log.current():
            records = self._log.contents.records
            ids = [job_id for job_id, record in records.items() if is_open(record)]
            return {job_id: record_of(records, job_id) for job_id in ids}

    def some(self, ids: Iterable[str]) -> dict[str, JobRecord]:
        """The records with these ids. Ids without a record are left out."""
        wanted = list(dict.fromkeys(ids))
        with self._log.current():
            records = self._log.contents.records
            entries = {job_id: record_of(records, job_id) for job_id in wanted if job_id in records}
            if len(entries) == len(wanted):
                return entries
            shelf = self._log.contents.shelf()
        entries |= shelf.some(job_id for job_id in wanted if job_id not in entries)
        return {job_id: entries[job_id] for job_id in wanted if job_id in entries}

    def recent(self, count: int, wanted: RecordFilter = EVERY) -> dict[str, JobRecord]:
        """The newest `count` of the wanted records by id, oldest first."""
        live, shelf = self._all()
        both = sorted([*shelf.recent(count, wanted), *filter(wanted.matches, live)], key=attrgetter("intended"))
        return {entry.id: entry for entry in both[-count:]}

    def wanted(self, wanted: RecordFilter) -> Iterator[JobRecord]:
        """The wanted records, oldest first, each of them made only when it is reached."""
        with self._log.current():
            records, shelf = dict(self._log.contents.records), self._log.contents.shelf()
        live = (record_of(records, job_id) for job_id in records)
        if not shelf.segments:
            return filter(wanted.matches, live)
        return shelf.merged(list(filter(wanted.matches, live)), wanted)

    def aged(self, before: float) -> Iterator[JobRecord]:
        """The records submitted before that time, in no order."""
        live, shelf = self._all()
        yield from (entry for entry in live if entry.intended <= before)
        yield from shelf.aged(before)

    def places(self) -> tuple[set[str], set[str]]:
        """All ids, and the parent directories of all jobs' folders."""
        live, shelf = self._all()
        ids, roots = shelf.places()
        return ids | {entry.id for entry in live}, roots | {os.path.dirname(entry.place) for entry in live}

    def _all(self) -> tuple[list[JobRecord], Shelf]:
        """The records in the log, and those in segments."""
        with self._log.current():
            records = self._log.contents.records
            return [record_of(records, job_id) for job_id in records], self._log.contents.shelf()

    def damage(self) -> int:
        """How many lines of the log and its segments cannot be read."""
        with self._log.current():
            bad, shelf = self._log.contents.damaged, self._log.contents.shelf()
        return bad + shelf.damage()

    def listen(self) -> set[str]:
        """Start to collect the ids of jobs that end, from now on: returns the set to which they are added.

        A job is added when the end of its last element is read in the log. `heard` reads the set, `unlisten` stops.
        """
        ended: set[str] = set()
        with self._log.current():
            self._log.contents.listeners.append(ended)
        return ended

    def heard(self, ended: set[str]) -> set[str]:
        """Take all ids out of a set that `listen` returned, and return them. No segment is read for that."""
        with self._log.current():
            taken = set(ended)
            ended.clear()
        return taken

    def unlisten(self, ended: set[str]) -> None:
        """Stop adding ids to a set that `listen` returned."""
        self._log.unlisten(ended)

    def get(self, job_id: str) -> JobRecord:
        """The record with that id. Raises `UnknownJob`."""
        entry = self.some([job_id]).get(job_id)
        if entry is None:
            raise UnknownJob(f"there is no job {job_id!r} in the journal", hint="`psij-run list --all` shows all")
        return entry

    def job(self, entry: JobRecord, key: str = "") -> Job | None:
        """The specification that was submitted; None for a job that was attached, or whose folder is gone."""
        data = read_json(entry.folder / "job.json")
        if not isinstance(data, dict):
            return None
        from ..job import Job

        try:
            elements = data.get("elements")
            if key and elements:
                return Job.from_dict(elements[data["job"]["array"].index(int(key))])
            return Job.from_dict(data["job"])
        except (*DAMAGE, IndexError, InvalidRequest):  # damaged
            return None

    def jobs(self, entry: JobRecord) -> tuple[Job, tuple[Job, ...]] | None:
        """The same, and the jobs of an array's elements, in the order of their indices, if their commands differ."""
        job = self.job(entry)
        data = read_json(entry.folder / "job.json") if job is not None and job.array else None
        if job is None or data is None or not data.get("elements"):
            return None if job is None else (job, ())
        from ..job import Job

        try:
            elements = tuple(map(Job.from_dict, data["elements"]))
        except (*DAMAGE, InvalidRequest):  # damaged
            return None
        return (job, elements) if len(elements) == len(job.array) else None

    def resubmissions(self, entry: JobRecord) -> list[JobRecord]:
        """The records of submissions that repeat that one, oldest first."""
        with self._log.current():
            records, shelf = self._log.contents.records, self._log.contents.shelf()
            found = [record_of(records, job_id) for job_id in records if repeats(records[job_id], entry.id)]
        later = (one for one in (*shelf.resubmissions(entry), *found) if one.intended > entry.intended)
        return sorted(later, key=attrgetter("intended"))

    def attempts(self, entry: JobRecord) -> list[JobRecord]:
        """The records of all attempts at a job, this one among them, oldest first."""
        first = entry
        while first.resubmitted_from:
            before = self.some([first.resubmitted_from]).get(first.resubmitted_from)
            if before is None or before.intended >= first.intended:  # cleaned, or damaged
                break
            first = before
        found, unseen = [first], [first]
        while unseen:
            later = self.resubmissions(unseen.pop())
            found += later
            unseen += later
        return sorted(found, key=attrgetter("intended"))

    def find(
        self, selectors: Sequence[str], *, elements: bool = True, of: tuple[str, str] | None = None
    ) -> list[JobPart]:
        """The (entry, element key) that selectors name: ids of ours or the manager's, `last`, `all`, ID_3, last_3.

        A whole array gives a pair for each element, or with `elements=False` one pair with the key '*'.
        `all` means the jobs that have not ended. An id of the manager is looked for among all jobs, or among those
        `of` one (platform, cluster). If several jobs have it, an open job is preferred to an ended one, and a later
        job to an earlier. Raises `UnknownJob` for a selector that names no job, `InvalidRequest` for one that could
        mean several.
        """
        from .selectors import find

        with self._log.current():
            contents = self._log.contents
            records, shelf, last = dict(contents.records), contents.shelf(), contents.latest
        return find(selectors, records, shelf, last, elements=elements, of=of)
