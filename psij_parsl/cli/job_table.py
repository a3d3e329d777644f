"""The desk that all commands go to: the journal, and the executor of each job's platform and site."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Error, InvalidRequest, PluginError, SiteError
from ..jobs.journal import Journal
from ..jobs.record import JobRecord, element_id
from ..states import JobState, JobStatus
from ..system.job_names import cluster_in

if TYPE_CHECKING:
    from ..jobs.batch import BatchSchedulerExecutor
    from ..jobs.snapshot import View
    from ..sites import Site

Found = Sequence[tuple[JobRecord, str]]
_LOG_LINES = 10  # of the manager's log, in what explains an end


@dataclass(frozen=True)
class Target:
    """Where a job goes: the executor, and the site if there is one."""

    executor: BatchSchedulerExecutor
    site: Site | None = None


@dataclass(frozen=True)
class JobRow:
    """One job, or array element ('*': the whole array), as it is now."""

    entry: JobRecord
    key: str
    status: JobStatus
    native: str
    note: str = ""

    @property
    def id(self) -> str:
        """The id that people use for it."""
        return element_id(self.entry, self.key)

    @property
    def why(self) -> str:
        """Why it is in its state, in a few words."""
        said = self.status.describe().partition(", ")[2] if self.status.final else self.status.message
        alone = ""
        if self.entry.orphaned:
            # A workflow that ends well cancels its blocks, and is gone before the manager has told of their ends.
            asked = self.entry.cancel_asked(self.key) and not self.entry.cancel_unsent(self.key)
            alone = "asked to be cancelled" if asked else "its workflow is gone: `psij-run cancel --orphans`"
        parts = ["held" if self.status.held else "", "" if said == "None" else said, self.note, alone]
        return "; ".join(part for part in parts if part)

    def data(self, now: float) -> dict[str, Any]:
        """Plain data for a renderer. Times are seconds since the epoch, or seconds."""
        entry, status = self.entry, self.status
        submitted = entry.committed or entry.intended
        started, ended = status.started, status.ended
        waited_till = started or ended or (None if status.final or status.state is JobState.ACTIVE else now)
        return {
            "id": self.id,
            "native_id": self.native,
            "name": entry.name,
            "state": status.state.name,
            "native_state": status.native,
            "exit_code": status.exit_code,
            "signal": status.signal,
            "reason": status.reason.name if status.reason else None,
            "hint": status.reason.hint if status.reason else "",
            "message": status.message,
            "why": self.why,
            "platform": entry.platform,
            "site": entry.site,
            "where": entry.site or entry.platform,
            "cluster": entry.cluster,
            "nodes": status.nodes,
            "attempt": status.attempt,
            "held": status.held,
            "submitted": submitted or None,
            "started": started,
            "ended": ended,
            "queue_s": waited_till - submitted if waited_till and submitted else None,
            "run_s": (ended or now) - started if started and (ended or not status.final) else None,
            "folder": f"{entry.place}/{self.key}" if self.key not in ("", "*") else entry.place,
        }


class JobTable:
    """The journal, and executors as they are needed."""

    def __init__(self) -> None:
        self.journal = Journal()
        self._executors: dict[tuple[str, str], BatchSchedulerExecutor] = {}
        self.notes: list[str] = []  # what people should be told beside the answer
        self._faults: list[Error] = []

    # ---- where a new job goes ------------------------------------------------------------------------------

    def target(self, chosen: Mapping[str, Any], *, placing: bool = True) -> Target:
        """The executor that `--platform`, or `--site`, `--config`, $PSIJ_SITE or this host's signs lead to.

        `placing`: a job goes there, so it is said if that is this host although a resource manager is here.
        """
        platform, site_name, file = chosen.get("platform"), chosen.get("site"), chosen.get("config")
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
        return Target(executor_of(site, journal=self.journal), site)

    # ---- jobs that there are -------------------------------------------------------------------------------

    def find(self, selectors: Sequence[str], *, elements: bool = False) -> Found:
        """The jobs that selectors name; arrays as a whole unless `elements`. Raises `UnknownJob`."""
        if list(selectors) == ["all"]:  # without a look at those that have ended
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
            self._executors[key] = self._made(entry)
        executor = self._executors[key]
        return executor.at(named) if (named := cluster_in(entry.cluster)) else executor

    def _made(self, entry: JobRecord) -> BatchSchedulerExecutor:
        if entry.site:
            from ..jobs.site_executor import executor_of
            from ..sites import find

            try:
                executor = executor_of(find(entry.site), journal=self.journal)
                if executor.platform.name == entry.platform:
                    return executor
            except SiteError as error:
                self.notes.append(f"{error.message}; job {entry.id} is looked after without it")
        from ..jobs.batch import BatchSchedulerExecutor

        return BatchSchedulerExecutor(entry.platform, site=entry.site, journal=self.journal)

    def groups(self, found: Found) -> list[tuple[BatchSchedulerExecutor, Found]]:
        """Jobs by the executor that can be asked about them; `complain` tells of those for which there is none."""
        groups: dict[tuple[str, str, str], list[tuple[JobRecord, str]]] = {}
        for entry, key in found:
            groups.setdefault((entry.platform, entry.site, cluster_in(entry.cluster)), []).append((entry, key))
        told: list[tuple[BatchSchedulerExecutor, Found]] = []
        for group in groups.values():
            try:
                executor = self.executor(group[0][0])
            except PluginError as error:
                ids = ", ".join(dict.fromkeys(entry.id for entry, _ in group))
                self._faults.append(PluginError(f"{error.message}: nothing was done about {ids}", hint=error.hint))
                continue
            near = [(entry, key) for entry, key in group if not entry.open or entry.cluster == executor.cluster]
            far = next((entry for entry, _ in group if entry.open and entry.cluster != executor.cluster), None)
            if far is not None:
                self._faults.append(
                    InvalidRequest(
                        f"job {far.id} is on another cluster of {far.platform} ({far.cluster or 'the default one'})",
                        hint="set the environment as it was when the job was submitted",
                    )
                )
            if near:
                told.append((executor, near))
        return told

    def complain(self) -> None:
        """Raise the first error of `groups`, now that all that can be done has been done."""
        if self._faults:
            raise self._faults[0]

    def poll(self, found: Found, *, urgent: bool = False) -> list[JobRow]:
        """Each job as it is now; `urgent` asks the managers if the shared budget allows. Order is kept."""
        groups: dict[tuple[str, str, str], list[tuple[JobRecord, str]]] = {}
        for entry, key in found:
            groups.setdefault((entry.platform, entry.site, entry.cluster), []).append((entry, key))
        rows: dict[tuple[str, str], JobRow] = {}
        for group in groups.values():
            for row in self._look(group, urgent=urgent):
                rows[row.entry.id, row.key] = row
        return [rows[entry.id, key] for entry, key in found]

    def rows(self, chosen: Iterable[JobRecord], going: Iterable[JobRecord]) -> Iterator[JobRow]:
        """Each of `chosen`, an array as a whole, as it is now; of those that have ended one at a time is held.

        `going` are those among them that have not ended: they are looked at first, all together.
        """
        found = [(entry, "*" if entry.array else "") for entry in going]
        looked = {row.entry.id: row for row in self.poll(found)} if found else {}
        return (
            looked.get(entry.id) or JobRow(entry, "*" if entry.array else "", _recorded(entry, ""), entry.native)
            for entry in chosen
        )

    def _look(self, group: Found, *, urgent: bool) -> list[JobRow]:
        first = group[0][0]
        ended = {(entry.id, key) for entry, key in group if not entry.open and key in ("", "*")}
        if ended:  # the journal knows it all
            rest = [(entry, key) for entry, key in group if (entry.id, key) not in ended]
            rows = {(row.entry.id, row.key): row for row in self._look(rest, urgent=urgent)} if rest else {}
            return [
                rows.get((entry.id, key)) or JobRow(entry, key, _recorded(entry, key), entry.native)
                for entry, key in group
            ]
        try:
            executor = self.executor(first)
        except PluginError as error:
            note = f"last known: {error.message}"
            return [JobRow(entry, key, _recorded(entry, key), entry.native, note) for entry, key in group]
        if executor.cluster == first.cluster:
            statuses, note = executor.statuses(group, urgent=urgent), ""
            view = executor.snapshot.view()
            if view.failure and not all(status.final for status in statuses):
                self.notes.append(f"{view.failure}; {view.age()}")
        else:  # the client's own variables lead elsewhere: it cannot be asked
            from ..jobs.snapshot import QueueSnapshot

            snapshot = QueueSnapshot(self.journal.home, first.platform, first.cluster, executor.snapshot.interval_s)
            statuses = [_last_known(snapshot.view(), entry, key) for entry, key in group]
            note = f"last known; it is on another cluster ({first.cluster or 'the default one'})"
        fresh = self.journal.some({entry.id for entry, _ in group})
        return [
            JobRow(
                fresh.get(entry.id, entry), key, status, _native(executor, entry, key), "" if status.final else note
            )
            for (entry, key), status in zip(group, statuses, strict=True)
        ]


def _native(executor: BatchSchedulerExecutor, entry: JobRecord, key: str) -> str:
    whole = key in ("", "*") or not entry.native
    return entry.native if whole else executor.scheduler.element(entry.native, int(key))


def _recorded(entry: JobRecord, key: str) -> JobStatus:
    """What the journal alone says."""
    open_ = JobStatus(JobState.QUEUED if entry.native else JobState.NEW)
    keys = entry.keys_of(key)
    statuses = [entry.ended.get(each, open_) for each in keys]
    return _of_all(statuses)


def _of_all(statuses: Sequence[JobStatus]) -> JobStatus:
    if len(statuses) == 1:
        return statuses[0]
    from ..jobs.array_status import summary

    return summary(statuses)


def _last_known(view: View, entry: JobRecord, key: str) -> JobStatus:
    keys = entry.keys_of(key)
    seen = {each: view.status(element_id(entry, each)) for each in keys if entry.native}
    return _of_all([entry.ended.get(each) or seen.get(each) or _recorded(entry, each) for each in keys])


def exit_status(status: JobStatus) -> int:
    """What a command that stands for a job exits with: the job's own code; 128 + n for a signal.

    Without a code of its own: 143 (128 + TERM) when it was cancelled, 5 when it is lost, else 1.
    """
    from ..states import EndReason

    if status.state is JobState.COMPLETED:
        return 0
    if status.state is JobState.CANCELED:
        return 143
    return status.exit_status or (5 if status.reason is EndReason.LOST else 1)


def failure_error(row: JobRow) -> Error:
    """A bad end, as an error says it: with the end of the manager's own log, where it has written one."""
    status = row.status
    log = "" if row.entry.attached or (row.entry.array and row.key in ("", "*")) else _log_tail(row)
    if status.reason:
        hint = status.reason.hint
    elif status.state is JobState.CANCELED:
        hint = ""
    else:
        hint = f"`psij-run logs --stderr {row.id}` shows what it wrote; `psij-run info {row.id}` shows all about it"
    return Error(f"job {row.id} ({row.entry.name}) ended {status.describe()}{log}", hint=hint)


def _log_tail(row: JobRow) -> str:
    from ..jobs.verdict import manager_log
    from ..system.files import end_of_log

    last = end_of_log(manager_log(row.entry, row.key if row.key != "*" else ""), _LOG_LINES)
    return f"\n--- {row.entry.platform} wrote\n{last}" if last else ""
