"""Looks jobs up in the journal, and gets the executor of each job's platform and site."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import Error, InvalidRequest, PluginError, SiteError
from ..jobs.journal import Journal
from ..jobs.record import JobRecord, element_id
from ..states import JobState, JobStatus
from ..system.job_names import cluster_in
from .job_row import JobKey, JobRow, of_all, recorded, recorded_row

if TYPE_CHECKING:
    from ..jobs.batch import BatchSchedulerExecutor
    from ..jobs.record_filter import RecordFilter
    from ..jobs.snapshot import View
    from ..platforms.usage import Usage
    from ..sites import Site

Selection = Sequence[tuple[JobRecord, str]]
"""Jobs, each with the index of an array element: '' for a job that is no array, '*' for a whole array."""


class Target(NamedTuple):
    """Where a job goes: the executor, and the site if there is one."""

    executor: BatchSchedulerExecutor
    site: Site | None = None


class JobTable:
    """The journal, and executors as they are needed."""

    def __init__(self) -> None:
        self.journal = Journal()
        self._executors: dict[tuple[str, str], BatchSchedulerExecutor] = {}
        self.notes: list[str] = []  # remarks to print next to the answer
        self._errors: list[Error] = []

    # ---- where a new job goes ------------------------------------------------------------------------------

    def target(self, values: Mapping[str, Any], *, placing: bool = True, submits: bool = True) -> Target:
        """The executor that `--platform`, or `--site`, `--config`, $PSIJ_SITE or the detected site lead to.

        `placing`: a job goes there, so a note tells if it runs on this host although there is a resource manager.
        Without `submits`, a script is only shown, and the site's spool may be unknown on this host.
        """
        platform, site_name, file = values.get("platform"), values.get("site"), values.get("config")
        from ..jobs.batch import BatchSchedulerExecutor

        if platform and not site_name and not file:
            return Target(BatchSchedulerExecutor(platform, journal=self.journal))
        from ..jobs.site_executor import executor_of
        from ..sites import find

        site = find(site_name, Path(file) if file else None, placing=placing)
        if platform and site.platform != platform:
            raise InvalidRequest(
                f"the site {site.name} runs {site.platform}, not {platform}", hint="leave out --platform or --site"
            )
        return Target(executor_of(site, submits=submits, journal=self.journal), site)

    # ---- jobs on record ------------------------------------------------------------------------------------

    def find(self, selectors: Sequence[str], *, elements: bool = False) -> Selection:
        """The jobs that selectors name; arrays as a whole unless `elements`. Raises `UnknownJob`."""
        if list(selectors) == ["all"]:  # without reading those that have ended
            return [
                (entry, key)
                for entry in self.journal.open_entries().values()
                for key in (entry.keys if elements or not entry.array else ["*"])
            ]
        return self.journal.find(selectors, elements=elements)

    def executor(self, entry: JobRecord) -> BatchSchedulerExecutor:
        """The executor of a job's platform, site and cluster. Raises `PluginError` if the platform is gone."""
        key = entry.platform, entry.site
        if key not in self._executors:
            self._executors[key] = self._make_executor(entry)
        executor = self._executors[key]
        return executor.at(named) if (named := cluster_in(entry.cluster)) else executor

    def _make_executor(self, entry: JobRecord) -> BatchSchedulerExecutor:
        if entry.site:
            from ..jobs.site_executor import executor_of
            from ..sites import find

            try:
                executor = executor_of(find(entry.site), journal=self.journal)
                if executor.platform.name == entry.platform:
                    return executor
            except SiteError as error:
                self.notes.append(f"{error.message}; job {entry.id} is handled without it")
        from ..jobs.batch import BatchSchedulerExecutor

        return BatchSchedulerExecutor(entry.platform, site=entry.site, journal=self.journal)

    def groups(self, jobs: Selection) -> list[tuple[BatchSchedulerExecutor, Selection]]:
        """Jobs by the executor that can be asked about them.

        `raise_first_error` then reports the jobs for which there is none.
        """
        groups: dict[tuple[str, str, str], list[tuple[JobRecord, str]]] = {}
        for entry, key in jobs:
            groups.setdefault((entry.platform, entry.site, cluster_in(entry.cluster)), []).append((entry, key))
        by_executor: list[tuple[BatchSchedulerExecutor, Selection]] = []
        for group in groups.values():
            try:
                executor = self.executor(group[0][0])
            except PluginError as error:
                ids = ", ".join(dict.fromkeys(entry.id for entry, _ in group))
                self._errors.append(PluginError(f"{error.message}: nothing was done about {ids}", hint=error.hint))
                continue
            reachable = [(entry, key) for entry, key in group if not entry.open or entry.cluster == executor.cluster]
            elsewhere = next((entry for entry, _ in group if entry.open and entry.cluster != executor.cluster), None)
            if elsewhere is not None:
                self._errors.append(
                    InvalidRequest(
                        f"job {elsewhere.id} is on another cluster of {elsewhere.platform}"
                        f" ({elsewhere.cluster or 'the default one'})",
                        hint="set the environment as it was when the job was submitted",
                    )
                )
            if reachable:
                by_executor.append((executor, reachable))
        return by_executor

    def raise_first_error(self) -> None:
        """Raise the first error of `groups`; to be called after everything possible was done."""
        errors, self._errors = self._errors, []
        if errors:
            raise errors[0]

    def poll(
        self, jobs: Selection, *, urgent: bool = False, before: Mapping[JobKey, JobStatus] | None = None
    ) -> list[JobRow]:
        """Each job as it is now, in the same order; `urgent` asks the managers if the shared budget allows.

        With `before`, the statuses so far, they are asked early where a job's folder shows a start or an end that is
        not among these.
        """
        groups: dict[tuple[str, str, str], list[tuple[JobRecord, str]]] = {}
        for entry, key in jobs:
            groups.setdefault((entry.platform, entry.site, entry.cluster), []).append((entry, key))
        rows: dict[JobKey, JobRow] = {}
        for group in groups.values():
            for row in self._poll_group(group, urgent, before):
                rows[row.place] = row
        return [rows[entry.id, key] for entry, key in jobs]

    def usages(self, rows: Sequence[JobRow]) -> list[Usage]:
        """What each job has used of what it holds: their managers are asked, once each."""
        from ..jobs.usage import usages
        from ..platforms.usage import Usage

        groups: dict[tuple[str, str, str], list[tuple[JobRecord, str]]] = {}
        for row in rows:
            groups.setdefault((row.entry.platform, row.entry.site, row.entry.cluster), []).append(
                (row.entry, row.key)
            )
        found: dict[tuple[str, str], Usage] = {}
        for parts in groups.values():
            with suppress(PluginError):
                figures = usages(self.executor(parts[0][0]).channel, parts)
                found |= {(entry.id, key): usage for (entry, key), usage in zip(parts, figures, strict=True)}
        return [found.get((row.entry.id, row.key), Usage()) for row in rows]

    def chosen(self, wanted: RecordFilter, *, ended: bool, count: int = 0) -> Iterator[JobRow]:
        """The wanted jobs as they are now, oldest first, an array as a whole; of these the newest `count` (0: all).

        `ended`: those that have ended too. Their rows are made one at a time.
        """
        going = [entry for entry in self.journal.open_entries().values() if wanted.matches_open(entry)]
        if not wanted.states:
            going = going[-count:]
        polled = self.poll([(entry, "*" if entry.array else "") for entry in going]) if going else []
        rows = {row.entry.id: row for row in polled if wanted.has_state(row.status, row.entry)}
        if not ended:
            return iter(list(rows.values())[-count:])
        wanted = replace(wanted, going=rows)
        entries = self.journal.recent(count, wanted).values() if count else self.journal.wanted(wanted)
        return (rows.get(entry.id) or recorded_row(entry) for entry in entries)

    def elements(self, row: JobRow) -> list[JobRow]:
        """The rows of an array's elements; of a job that is no array, its own."""
        if row.key != "*":
            return [row]
        return self.poll([(row.entry, key) for key in row.entry.keys])

    def _poll_group(self, group: Selection, urgent: bool, before: Mapping[JobKey, JobStatus] | None) -> list[JobRow]:
        first = group[0][0]
        ended = {(entry.id, key) for entry, key in group if not entry.open and key in ("", "*")}
        if ended:  # the journal has everything about them
            others = [(entry, key) for entry, key in group if (entry.id, key) not in ended]
            rows = {row.place: row for row in self._poll_group(others, urgent, before)} if others else {}
            return [
                rows.get((entry.id, key)) or JobRow(entry, key, recorded(entry, key), entry.native)
                for entry, key in group
            ]
        try:
            executor = self.executor(first)
        except PluginError as error:
            note = f"last known: {error.message}"
            return [JobRow(entry, key, recorded(entry, key), entry.native, note) for entry, key in group]
        if executor.cluster == first.cluster:
            statuses, note = _statuses(executor, group, urgent, before), ""
            view = executor.snapshot.view()
            if view.failure and not all(status.final for status in statuses):
                self.notes.append(f"{view.failure}; {view.age()}")
        else:  # the environment selects another cluster: this one cannot be asked
            from ..jobs.snapshot import QueueSnapshot

            snapshot = QueueSnapshot(self.journal.home, first.platform, first.cluster, executor.snapshot.interval_s)
            view = snapshot.view()
            statuses = [_last_known(view, entry, key) for entry, key in group]
            note = f"last known; it is on another cluster ({first.cluster or 'the default one'})"
        fresh = self.journal.some({entry.id for entry, _ in group})
        found = []
        for (entry, key), status in zip(group, statuses, strict=True):
            pending = _pending(executor, entry, key, status)
            words = executor.scheduler.in_words(pending) if pending else ""
            native, remark = _native(executor, entry, key), "" if status.final else note
            as_of = None if status.final else view.asked or None
            found.append(JobRow(fresh.get(entry.id, entry), key, status, native, remark, pending, words, as_of))
        return found


def _statuses(
    executor: BatchSchedulerExecutor, group: Selection, urgent: bool, before: Mapping[JobKey, JobStatus] | None
) -> list[JobStatus]:
    if before is None:
        return executor.statuses(group, urgent=urgent)
    return executor.poll(group, [before.get((entry.id, key)) or JobStatus() for entry, key in group])


def _pending(executor: BatchSchedulerExecutor, entry: JobRecord, key: str, status: JobStatus) -> str:
    """Why a job waits, as the manager calls it; of an array, why the first of its elements that wait does."""
    if status.final:
        return ""
    statuses: Iterable[JobStatus | None] = (status,)
    if key == "*":
        view = executor.snapshot.view()
        statuses = (view.status(element_id(entry, index)) for index in entry.keys if index not in entry.ended)
    waiting = (each for each in statuses if each is not None and each.state is JobState.QUEUED)
    return next((each.message for each in waiting if each.native), "")


def _native(executor: BatchSchedulerExecutor, entry: JobRecord, key: str) -> str:
    whole = key in ("", "*") or not entry.native
    return entry.native if whole else executor.scheduler.element(entry.native, int(key))


def _last_known(view: View, entry: JobRecord, key: str) -> JobStatus:
    keys = entry.keys_of(key)
    seen = {index: view.status(element_id(entry, index)) for index in keys if entry.native}
    return of_all([entry.ended.get(index) or seen.get(index) or recorded(entry, index) for index in keys])
