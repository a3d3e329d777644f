"""The operations on recorded jobs: get statuses, cancel, hold, release, wait, and call back at changes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, overload

from ..states import JobStatus
from ..system.job_names import cluster_in
from ..system.locks import hold_lock, lock
from .asking import find_part, refuse_far, statuses
from .channel import Channel
from .executor import Callback, JobExecutor, JobName, Submission, check_timeout, is_one, named, named_one
from .job_folder import outputs
from .job_places import spool_without_project
from .native_ids import native_id
from .proof import meant
from .record import JobPart, JobRecord, element_id
from .verdict import manager_log
from .watcher import EarlyPolls, StatusWatcher, wait_until

if TYPE_CHECKING:
    from ..job import Job
    from ..platforms.usage import Usage
    from .future_watch import FutureWatch

Statuses: TypeAlias = list[JobStatus]  # in the class below `list` is a method
Answers: TypeAlias = list[bool]
JobNames: TypeAlias = JobName | Sequence[JobName]


class JobTracker(JobExecutor):
    """Gets the statuses of recorded jobs, cancels, holds and releases them, through a channel to the manager.

    The methods `statuses`, `poll`, `cancel_found` and `wait_until` take records of the journal, each with the key of
    an element, in place of ids. They are for callers that have looked for the jobs already.
    """

    def __init__(self, channel: Channel, *, site: str, spool: Path | None) -> None:
        self.channel, self.site, self.spool = channel, site, spool
        self.journal, self.scheduler = channel.journal, channel.scheduler
        self.snapshot, self.cluster = channel.snapshot, channel.cluster
        self._polls = EarlyPolls(channel)
        self._watcher = StatusWatcher(self._polls, self._statuses, self._handle)

    @abstractmethod
    def at(self, cluster: str) -> JobTracker:
        """The executor for the cluster of that name, with the same settings and journal; '' is the usual cluster."""

    @cached_property
    def futures(self) -> FutureWatch:
        """What follows jobs for their handles."""
        from .future_watch import FutureWatch, RecordedLook

        return FutureWatch(RecordedLook(self.channel, self.poll))

    # ---- asking --------------------------------------------------------------------------------------------

    @overload
    def status(self, ids: JobName, *, urgent: bool = False) -> JobStatus: ...  # type: ignore[overload-overlap]  # a str is a Sequence
    @overload
    def status(self, ids: Sequence[JobName], *, urgent: bool = False) -> Statuses: ...
    def status(self, ids: JobNames, *, urgent: bool = False) -> JobStatus | Statuses:
        """The statuses of jobs, in order, or that of one job.

        `urgent`: ask the manager now, if the shared budget has a token left.
        """
        found = self._statuses(self._find(ids), urgent=urgent)
        return found[0] if is_one(ids) else found

    def statuses(self, parts: Sequence[JobPart], *, urgent: bool = False) -> Statuses:
        """Like `status`, for records of the journal."""
        return self._statuses(parts, urgent=urgent)

    def usage(self, job: JobName) -> Usage:
        """As in the base class. What it has used at its end is kept in the journal: the manager is asked once."""
        from .usage import usages

        part = find_part(self.channel, named_one(job))
        return usages(_by_cluster(self, [part])[0][0].channel, [part])[0]

    def poll(self, parts: Sequence[JobPart], before: Sequence[JobStatus], *, known_s: float = 0.0) -> Statuses:
        """Like `statuses`; the manager is asked early if a job's folder shows a start or an end that is new.

        `before` are the last statuses, which do not show it. If there is none, a snapshot that is younger than
        `known_s` seconds is used as it is.
        """
        tracker = _one_cluster(self, parts)
        if tracker is not self and tracker is not None:
            return tracker.poll(parts, before, known_s=known_s)
        return self._statuses(parts, urgent=self._polls.priority(parts, before), known_s=known_s)

    def list(self) -> Sequence[Submission]:
        """Handles of the jobs of this platform and cluster that have not ended; one for a whole array."""
        return [self._handle(entry, "") for entry in self.journal.open_entries().values() if self.channel.has(entry)]

    def submission(self, job_id: str) -> Submission:
        """The handle of a recorded job, by our id or the manager's. Raises `UnknownJob`."""
        entry, key = find_part(self.channel, named_one(job_id))
        return self._handle(entry, "" if key == "*" else key)

    def elements(self, job: JobName) -> Sequence[Submission]:
        """Handles of an array's elements, in the order of their indices; none of a job that is no array."""
        entry, key = find_part(self.channel, named_one(job))
        return [self._handle(entry, element_key) for element_key in entry.keys] if key == "*" else []

    def attach(self, native_id: str) -> Submission:
        """A handle for any job of the user that the manager knows; for a job of ours, its own handle.

        If the manager has given the id of a job of ours to another job since, the id means that other job.
        """
        native_id = named_one(native_id)
        cluster = self.scheduler.named_cluster(native_id)
        if cluster and cluster != self.scheduler.cluster_name:
            return self.at(cluster).attach(native_id)
        with hold_lock(lock(self.journal.home / "attach.lock")):  # else two processes could make two records of it
            part = meant(self.channel, native_id)
            if part is None:
                from .attaching import attach

                part, is_new = attach(
                    self.channel, native_id, site=self.site, spool=spool_without_project(self.spool)
                )
                if is_new:
                    self._watcher.add(part[0].id)
            entry, key = part
            return self._handle(entry, "" if key == "*" else key)

    # ---- acting --------------------------------------------------------------------------------------------

    @overload
    def cancel(self, ids: JobName) -> bool: ...  # type: ignore[overload-overlap]  # a str is a Sequence of str
    @overload
    def cancel(self, ids: Sequence[JobName]) -> Answers: ...
    def cancel(self, ids: JobNames) -> bool | Answers:
        """Cancel jobs, with one command for all; False for a job that has ended already.

        Raises `Unavailable` if the manager cannot be reached.
        """
        found = self.cancel_found(self._find(ids))
        return found[0] if is_one(ids) else found

    def cancel_found(self, parts: Sequence[JobPart]) -> Answers:
        """Like `cancel`, for records of the journal."""
        from .actions import cancel

        going = [(entry, key) for entry, key in parts if not entry.over(key)]
        cancelled = {
            (entry.id, key)
            for tracker, group in _by_cluster(self, going)
            for entry, key in cancel(tracker.channel, group)
        }
        return [(entry.id, key) in cancelled for entry, key in parts]

    def hold(self, ids: JobNames) -> None:
        """Keep queued jobs from starting. Raises `Unsupported` where the manager cannot.

        Of an array, the elements that have not started are held; a warning names those that run.
        """
        from .actions import ids_to_hold

        groups = _by_cluster(self, self._find(ids))
        for tracker, natives in [(tracker, ids_to_hold(tracker.channel, group)) for tracker, group in groups]:
            tracker.scheduler.hold(natives)

    def release(self, ids: JobNames) -> None:
        """Let held jobs start; of an array, the elements that have not ended."""
        from .actions import ids_to_release

        groups = _by_cluster(self, self._find(ids))
        for tracker, natives in [(tracker, ids_to_release(tracker.channel, group)) for tracker, group in groups]:
            tracker.scheduler.release(natives)

    # ---- waiting -------------------------------------------------------------------------------------------

    def wait(self, ids: JobNames, timeout: float | None = None) -> bool:
        """Wait until all jobs have ended. An end is noticed early by the exit file in the job's folder."""
        check_timeout(timeout)
        return self.wait_until(
            self._find(ids), lambda statuses: all(status.final for status in statuses), timeout=timeout
        )

    def wait_until(
        self, parts: Sequence[JobPart], done: Callable[[Statuses], bool], *, timeout: float | None = None
    ) -> bool:
        """Poll jobs until `done(statuses)` is true; False when the time is up or a signal asks this process to end.

        While the manager does not answer, a warning tells once how old the statuses are.
        """
        tracker = _one_cluster(self, parts)
        if tracker is not self and tracker is not None:
            return tracker.wait_until(parts, done, timeout=timeout)
        return wait_until(parts, done, self._polls, self._statuses, timeout)

    def on_status(self, callback: Callback) -> Callable[[], None]:
        """Call `callback(submission, status)` whenever the status of a job of this platform and cluster changes.

        Returns a function that stops that. One thread calls back; it runs while there are callbacks. The end of every
        job is reported, however soon it comes.
        """
        return self._watcher.listen(callback)

    # ---- records, clusters, handles ------------------------------------------------------------------------

    def _find(self, ids: JobNames) -> Sequence[JobPart]:
        return [find_part(self.channel, job_id) for job_id in named(ids)]

    def _statuses(self, parts: Sequence[JobPart], *, urgent: float = 0.0, known_s: float = 0.0) -> Statuses:
        groups = _by_cluster(self, parts)
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

    def _handle(self, entry: JobRecord, key: str, job: Job | None = None) -> Submission:
        job = job or self.journal.job(entry, key)
        folder = entry.element_folder(key)
        stdout, stderr = outputs(folder, key, job) if job is not None and (key or not entry.array) else (None, None)
        native = native_id(self.scheduler, entry, key) if entry.native else ""
        executor = self.at(cluster_in(entry.cluster)) if self.scheduler.names_clusters else self
        log = None if entry.attached or (entry.array and not key) else manager_log(entry, key)
        array = () if key else entry.array
        return Submission(element_id(entry, key), native, folder, entry.name, stdout, stderr, executor, log, array)


def _one_cluster(tracker: JobTracker, parts: Sequence[JobPart]) -> JobTracker | None:
    """The tracker for the cluster of all these jobs; None if they are on several clusters."""
    groups = _by_cluster(tracker, parts)
    return groups[0][0] if len(groups) == 1 else None


def _by_cluster(tracker: JobTracker, parts: Sequence[JobPart]) -> Sequence[tuple[JobTracker, Sequence[JobPart]]]:
    """Group records by the tracker for their cluster, if the manager has several clusters with names.

    Raises `InvalidRequest` for an open job of another manager, or of a cluster that cannot be asked from here:
    there its id would be that of another job.
    """
    by_name: dict[str, list[JobPart]] = {}
    for entry, key in parts:
        name = cluster_in(entry.cluster) if tracker.scheduler.names_clusters else tracker.scheduler.cluster_name
        by_name.setdefault(name, []).append((entry, key))
    groups = [(tracker.at(name), group) for name, group in by_name.items()]
    for at, group in groups:
        refuse_far(at.channel, group)
    return groups
