"""Everything that is done about jobs that are on record: asking, cancelling, holding, waiting, listening."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from ..errors import InvalidRequest
from ..job import Job
from ..states import JobStatus
from ..system.job_names import cluster_in
from ..system.locks import hold_lock, lock
from .asking import find_part, statuses
from .channel import Channel
from .executor import Callback, JobExecutor, JobName, Submission, named, named_one
from .job_folder import outputs
from .native_ids import native_id
from .proof import meant
from .record import JobPart, JobRecord, element_id
from .verdict import manager_log
from .watcher import EarlyPolls, StatusWatcher, wait_until

Statuses: TypeAlias = list[JobStatus]  # in the class below `list` is a method
Answers: TypeAlias = list[bool]


class JobTracker(JobExecutor):
    """Asks and acts about recorded jobs through a channel to the manager.

    Jobs that were found in the journal already are given as its records, each with an element's key, to the methods
    that say so: `statuses`, `poll`, `cancel_found`, `wait_until`.
    """

    def __init__(self, channel: Channel, *, site: str, spool: Path | None) -> None:
        self.channel, self.site, self.spool = channel, site, spool
        self.journal, self.scheduler = channel.journal, channel.scheduler
        self.snapshot, self.cluster = channel.snapshot, channel.cluster
        self._polls = EarlyPolls(channel)
        self._watcher = StatusWatcher(self._polls, self._statuses, self._handle)

    @abstractmethod
    def at(self, cluster: str) -> JobTracker:
        """The one for the cluster of that name, with the same settings and journal; '' for the usual one."""

    # ---- asking --------------------------------------------------------------------------------------------

    def status(self, ids: Sequence[JobName], *, urgent: bool = False) -> Statuses:
        """The status of each; `urgent` asks the manager now, if the shared budget has a query to spare."""
        return self._statuses(self._find(ids), urgent=urgent)

    def statuses(self, parts: Sequence[JobPart], *, urgent: bool = False) -> Statuses:
        """As `status`, for records of the journal."""
        return self._statuses(parts, urgent=urgent)

    def poll(self, parts: Sequence[JobPart], before: Sequence[JobStatus], *, known_s: float = 0.0) -> Statuses:
        """As `statuses`; asked early where a job's folder shows a start or an end that `before` does not know.

        Else an answer that is no older than `known_s` seconds will do.
        """
        one = self._one_cluster(parts)
        if one is not self and one is not None:
            return one.poll(parts, before, known_s=known_s)
        return self._statuses(parts, urgent=self._polls.priority(parts, before), known_s=known_s)

    def list(self) -> Sequence[Submission]:
        """The jobs of this platform and cluster that have not ended; arrays as a whole."""
        return [self._handle(entry, "") for entry in self.journal.open_entries().values() if self.channel.has(entry)]

    def submission(self, job_id: str) -> Submission:
        """The handle of a job in the journal, by our id or the manager's. Raises `UnknownJob`."""
        entry, key = find_part(self.channel, named_one(job_id))
        return self._handle(entry, "" if key == "*" else key)

    def elements(self, job: JobName) -> Sequence[Submission]:
        """Handles of an array's elements, in the order of their indices; none of a job that is no array."""
        entry, key = find_part(self.channel, named_one(job))
        return [self._handle(entry, element_key) for element_key in entry.keys] if key == "*" else []

    def attach(self, native_id: str) -> Submission:
        """A handle for any job of the user that the manager knows; of ours the one that we have.

        Where the manager has another job by now under the id of one of ours, it is that other one.
        """
        native_id = named_one(native_id)
        cluster = self.scheduler.named_cluster(native_id)
        if cluster and cluster != self.scheduler.cluster_name:
            return self.at(cluster).attach(native_id)
        with hold_lock(lock(self.journal.home / "attach.lock")):  # else two at one instant make two records
            part = meant(self.channel, native_id)
            if part is None:
                from .attaching import attach

                part, is_new = attach(self.channel, native_id, site=self.site, spool=self.spool)
                if is_new:
                    self._watcher.add(part[0].id)
            entry, key = part
            return self._handle(entry, "" if key == "*" else key)

    # ---- acting --------------------------------------------------------------------------------------------

    def cancel(self, ids: Sequence[JobName]) -> Answers:
        """Cancel jobs with one command for all. Raises `Unavailable` when the manager cannot be asked."""
        return self.cancel_found(self._find(ids))

    def cancel_found(self, parts: Sequence[JobPart]) -> Answers:
        """As `cancel`, for records of the journal."""
        from .actions import cancel

        before = [not entry.over(key) for entry, key in parts]
        going = [part for part, is_going in zip(parts, before, strict=True) if is_going]
        for tracker, group in self._by_cluster(going):
            cancel(tracker.channel, group)
        return before

    def hold(self, ids: Sequence[JobName]) -> None:
        """Keep queued jobs from starting. Raises `Unsupported` where the manager cannot.

        Of an array those elements are held that have not started; a warning names those that run.
        """
        from .actions import ids_to_hold

        groups = self._by_cluster(self._find(ids))
        for tracker, natives in [(each, ids_to_hold(each.channel, group)) for each, group in groups]:
            tracker.scheduler.hold(natives)

    def release(self, ids: Sequence[JobName]) -> None:
        """Let held jobs start; of an array what has not ended."""
        from .actions import ids_to_release

        groups = self._by_cluster(self._find(ids))
        for tracker, natives in [(each, ids_to_release(each.channel, group)) for each, group in groups]:
            tracker.scheduler.release(natives)

    # ---- waiting -------------------------------------------------------------------------------------------

    def wait(self, ids: Sequence[JobName], timeout: float | None = None) -> bool:
        """Wait until all have ended; a start or an end is noticed early by the files that it leaves."""
        return self.wait_until(
            self._find(ids), lambda statuses: all(status.final for status in statuses), timeout=timeout
        )

    def wait_until(
        self, parts: Sequence[JobPart], done: Callable[[Statuses], bool], *, timeout: float | None = None
    ) -> bool:
        """Look at jobs until `done(statuses)`; False when time is up or a signal asks us to leave.

        While the manager does not answer, it is said once how old the news is.
        """
        one = self._one_cluster(parts)
        if one is not self and one is not None:
            return one.wait_until(parts, done, timeout=timeout)
        return wait_until(parts, done, self._polls, self._statuses, timeout)

    def on_status(self, callback: Callback) -> Callable[[], None]:
        """Call back at each change of a job of this platform, from one thread that runs while anyone listens.

        The end of each job is told, however soon it comes.
        """
        return self._watcher.listen(callback)

    # ---- records, clusters, handles ------------------------------------------------------------------------

    def _find(self, ids: Sequence[JobName]) -> Sequence[JobPart]:
        return [find_part(self.channel, job_id) for job_id in named(ids)]

    def _statuses(self, parts: Sequence[JobPart], *, urgent: float = 0.0, known_s: float = 0.0) -> Statuses:
        groups = self._by_cluster(parts)
        if len(groups) == 1:
            return statuses(groups[0][0].channel, parts, urgent=urgent, known_s=known_s)
        by_part = {
            (entry.id, key): status
            for tracker, group in groups
            for (entry, key), status in zip(
                group, statuses(tracker.channel, group, urgent=urgent, known_s=known_s), strict=True
            )
        }
        return [by_part[entry.id, key] for entry, key in parts]

    def _one_cluster(self, parts: Sequence[JobPart]) -> JobTracker | None:
        """The one for the cluster that all of these are on; None if they are on several."""
        groups = self._by_cluster(parts)
        return groups[0][0] if len(groups) == 1 else None

    def _by_cluster(self, parts: Sequence[JobPart]) -> Sequence[tuple[JobTracker, Sequence[JobPart]]]:
        """Records by the tracker for their cluster, where the manager has several that are named.

        Raises `InvalidRequest` for an open job of which this manager, or this cluster of it, cannot be asked: there
        its id is another job's.
        """
        by_name: dict[str, list[JobPart]] = {}
        for entry, key in parts:
            name = cluster_in(entry.cluster) if self.scheduler.names_clusters else self.scheduler.cluster_name
            by_name.setdefault(name, []).append((entry, key))
        groups = [(self.at(name), group) for name, group in by_name.items()]
        for tracker, group in groups:
            channel = tracker.channel
            far = next((entry for entry, _ in group if entry.open and not channel.has(entry)), None)
            if far is not None and far.platform != channel.platform:
                raise InvalidRequest(
                    f"job {far.id} is a job of {far.platform}, and {channel.platform} cannot be asked about it",
                    hint=f'BatchSchedulerExecutor("{far.platform}") can',
                )
            if far is not None:
                raise InvalidRequest(
                    f"job {far.id} is on another cluster of {far.platform} ({far.cluster or 'the default one'})",
                    hint="set the environment as it was when the job was submitted",
                )
        return groups

    def _handle(self, entry: JobRecord, key: str, job: Job | None = None) -> Submission:
        job = job or self.journal.job(entry, key)
        folder = entry.element_folder(key)
        stdout, stderr = outputs(folder, key, job) if job is not None and (key or not entry.array) else (None, None)
        native = native_id(self.scheduler, entry, key) if entry.native else ""
        executor = self.at(cluster_in(entry.cluster)) if self.scheduler.names_clusters else self
        log = None if entry.attached or (entry.array and not key) else manager_log(entry, key)
        return Submission(element_id(entry, key), native, folder, entry.name, stdout, stderr, executor, log)
