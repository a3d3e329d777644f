"""BatchSchedulerExecutor: submits jobs to a resource manager, and follows them until they end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack
from weakref import WeakValueDictionary

from ..errors import InvalidRequest, Rejected
from ..platforms.command_owners import refuse_foreign
from ..platforms.platform import Platform
from ..platforms.registry import platform as find_platform
from ..system.commands import RunningCommand
from ..system.files import LastWritten
from ..system.job_names import cluster_in
from .alike import alike_jobs
from .executor import Command, JobName, Submission
from .executor_settings import ExecutorSettings, file_settings, open_channel
from .job_places import spool_of
from .journal import Journal
from .record import JobRecord
from .tracker import JobTracker

if TYPE_CHECKING:
    from ..job import Job
    from ..job_texts import JobOptions
    from ..platforms.queries import EarlyCommand
    from ..sites.launch_options import LaunchOptions
    from .attempt import Attempt
    from .file_settings import FileSettings
    from .job_dependencies import Dependencies
    from .job_files import SubmissionRequest
    from .site_defaults import SiteDefaults


Submissions: TypeAlias = list[Submission]  # in the class below `list` is a method


class BatchSchedulerExecutor(JobTracker):
    """Submits jobs with the template and the scheduler of one platform, and records them in the journal.

    A job's dependencies are looked up first; then one request is made, with its script, its environment and its
    elements; then come its folder, the request's files, the record in the journal, and the manager.

    `home` is the state directory; `spool` where jobs' folders lie, which compute nodes must see (default: below
    `home`), with `{project}` for the job's project, and `spool_on_nodes` what these call it (default: the same). `poll_s` is the least time between two status queries, `grace_s` how long the manager may not know a
    job before that is LOST (default: the platform's), `settle_s` how long an ambiguous submission is looked for
    before it is sent again, `patience_s` how long a submit may take in all. All in seconds. `query_memory_mb` is the
    memory that one query may take, in MB (default: the platform's). `launch` is how a site's launcher starts runs,
    `site_file` the path of the site's file if somebody named it, `node_environment` patterns of variables that its
    nodes set for jobs, in addition to those that the platform names, `cluster` the name of another of the manager's
    clusters, `defaults` what a site gives to jobs that are described by a command, `journal` one that is open already. Raises `InvalidRequest` for a cluster that the platform cannot name.
    """

    def __init__(
        self,
        platform: str | Platform,
        *,
        home: Path | None = None,
        spool: Path | None = None,
        spool_on_nodes: Path | None = None,
        site: str = "",
        launcher: str = "",
        poll_s: float | None = None,
        grace_s: float | None = None,
        settle_s: float = 30.0,
        patience_s: float = 600.0,
        run: str = "",
        launch: LaunchOptions | None = None,
        cluster: str = "",
        site_file: str = "",
        node_environment: Sequence[str] = (),
        query_memory_mb: int | None = None,
        defaults: SiteDefaults | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.platform = find_platform(platform) if isinstance(platform, str) else platform
        journal = journal or Journal(home)
        self._settings = ExecutorSettings(
            spool,
            spool_on_nodes,
            site,
            launcher,
            poll_s,
            grace_s,
            settle_s,
            patience_s,
            run,
            launch,
            site_file,
            tuple(node_environment),
            query_memory_mb,
            defaults,
        )
        channel = open_channel(self.platform, self._settings, journal, cluster, lambda name: self.at(name).cluster)
        super().__init__(channel, site=site, spool=spool)
        self.run, self.spool_on_nodes, self._last_written = run, spool_on_nodes, LastWritten()
        self.launcher = launcher or self.platform.launcher
        self._others: dict[str, BatchSchedulerExecutor] = {}  # for other clusters, by their names

    def __repr__(self) -> str:
        return f"BatchSchedulerExecutor({self.platform.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        settings = self._settings._asdict()
        return restored, (self.platform, self.journal.home, self.scheduler.cluster_name, settings)

    def at(self, cluster: str) -> BatchSchedulerExecutor:
        """The executor for the cluster of that name, with the same settings and journal; '' is the usual cluster."""
        if cluster == self.scheduler.cluster_name:
            return self
        if cluster not in self._others:
            other = BatchSchedulerExecutor(
                self.platform, cluster=cluster, journal=self.journal, **self._settings._asdict()
            )
            other._others = self._others
            self._others.setdefault(self.scheduler.cluster_name, self)
            self._others[cluster] = other
        return self._others[cluster]

    def submit(self, job: Job | Command, *, elements: Sequence[Job] = (), **fields: Unpack[JobOptions]) -> Submission:
        """Submit a job, or a job array: a `Job`, or the words of a command. The fields are those of `Job`.

        A job that is given as a command has the defaults of the site of this executor, if it is one's; a `Job` is
        submitted as it is, with the fields changed. `elements` are those of an array that have commands and files of
        their own. Raises `InvalidRequest` or `Rejected`, and then nothing is left behind.
        """
        return self._submit(self._job(job, fields), elements)

    def submit_many(self, jobs: Sequence[Job | Command], **fields: Unpack[JobOptions]) -> Submissions:
        """Submit jobs; those that differ only in command, files, environment and name go as one job array."""
        if isinstance(jobs, str) or not isinstance(jobs, Sequence):
            raise InvalidRequest(
                f"a {type(jobs).__name__} is no list of jobs", hint="pass a list: submit_many([job])"
            )
        return self._submit_many([self._job(job, fields) for job in jobs])

    def _job(self, job: Any, fields: Mapping[str, Any]) -> Job:
        from .described import a_job

        defaults = self._settings.defaults
        return a_job(job, fields, defaults.complete if defaults is not None else dict)

    def _submit_many(self, jobs: Sequence[Job]) -> Submissions:
        if "array" not in self.platform.template_class.uses:
            return [self._submit(job) for job in jobs]
        submissions: dict[int, Submission] = {}
        for positions in alike_jobs(jobs, self.scheduler.array_max):
            if len(positions) == 1:
                submissions[positions[0]] = self._submit(jobs[positions[0]])
                continue
            alike = [jobs[position] for position in positions]
            first = replace(alike[0], array=tuple(range(len(alike))), environment={}, stdout=None, stderr=None)
            whole = self._submit(first, alike)
            entry = self.journal.get(whole.id)
            for index, position in enumerate(positions):
                submissions[position] = self._handle(entry, str(index), alike[index])
        return [submissions[position] for position in range(len(jobs))]

    def resubmit(self, job: JobName, *, failed_only: bool = False, **changes: Unpack[JobOptions]) -> Submission:
        from .attempts import FAILED, attempt_at

        attempt = attempt_at(self.channel, self.site, job, FAILED if failed_only else (), changes)
        attempt.check(self.spool, self.spool_on_nodes)
        return self.at(cluster_in(attempt.entry.cluster) or self.scheduler.cluster_name).submit_attempt(attempt)

    def submit_attempt(self, attempt: Attempt) -> Submission:
        """Submit one more attempt at a job of this site and cluster."""
        return self._submit(attempt.job, attempt.elements, attempt)

    def render(self, job: Job | Command, *, elements: bool = False, **fields: Unpack[JobOptions]) -> str:
        """The script that `submit` would send, with an id and a folder that stand for the real ones."""
        from .file_settings import JobPlace
        from .job_files import render

        executor, job = _split_cluster(self, self._job(job, fields))
        folder = (spool_of(self.spool, job.project_name or job.project) or self.journal.home / "jobs") / "JOB"
        place = JobPlace("JOB", executor.scheduler.tag("JOB"), folder, _on_nodes(executor, job, "JOB"))
        return render(executor._file_settings, job, place, _dependencies(executor, job), elements=elements)

    def _submit(self, job: Job, elements: Sequence[Job] = (), attempt: Attempt | None = None) -> Submission:
        """Submit a job; `elements` are the jobs of an array whose elements have different commands.

        With `attempt` it repeats an earlier one.
        """
        executor, job = _split_cluster(self, job)
        refuse_foreign(executor.scheduler, executor.journal.home)
        spool = spool_of(self.spool, job.project_name or job.project)
        elements = [_split_cluster(executor, element)[1] for element in elements]
        dependencies = _dependencies(executor, job)
        while True:
            job_id, folder = executor.journal.prepare(spool)
            waiting = executor.scheduler.waiting(executor.scheduler.tag(job_id))
            try:
                submission = executor._submit_as(job_id, folder, waiting, job, elements, dependencies, attempt)
            finally:
                if waiting is not None:
                    waiting.abandon()
            if submission is not None:
                return submission

    def _submit_as(
        self,
        job_id: str,
        folder: Path,
        waiting: RunningCommand | None,
        job: Job,
        elements: Sequence[Job],
        dependencies: Dependencies | None,
        attempt: Attempt | None,
    ) -> Submission | None:
        """Submit with that id of ours; None if another process has just taken the id."""
        from .file_settings import JobPlace
        from .job_files import SubmissionRequest

        place = JobPlace(job_id, self.scheduler.tag(job_id), folder, _on_nodes(self, job, job_id))
        client = waiting.environment if waiting is not None else self.scheduler.given(os.environ)
        environ = os.environ if attempt is None else attempt.environ
        # This raises all errors of the request, before anything is written.
        request = SubmissionRequest.make(
            self._file_settings, job, place, dependencies, elements=elements, environ=environ, client=client
        )
        if not self.journal.make_folder(folder):
            return None
        try:
            early = request.early(waiting)
            script = request.write(self._last_written, script_too=early is None)
            entry = self.journal.intend(_record(self, request, attempt), job, elements)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._watcher.add(job_id)
        return self._handle(_sent(self, entry, script, early, job), "", job)

    @cached_property
    def _file_settings(self) -> FileSettings:
        return file_settings(self.platform, self.scheduler, self._settings, self.launcher, self.cluster)


_restored: WeakValueDictionary[str, BatchSchedulerExecutor] = WeakValueDictionary()


def restored(platform: Platform, home: Path, cluster: str, settings: dict[str, Any]) -> BatchSchedulerExecutor:
    """The executor that was pickled. Handles that are unpickled one by one have the same one."""
    key = repr((platform.name, home, cluster, settings))
    executor = _restored.get(key)
    if executor is None:
        journal = Journal(home)
        executor = _restored[key] = BatchSchedulerExecutor(platform, cluster=cluster, journal=journal, **settings)
    return executor


def _split_cluster(executor: BatchSchedulerExecutor, job: Job) -> tuple[BatchSchedulerExecutor, Job]:
    """The executor for the cluster that a job's parameter `cluster` names, and the job without it."""
    if "cluster" not in job.parameters or "cluster" not in executor.platform.template_class.places:
        return executor, job
    name = executor.platform.template_class.params["cluster"].convert(job.parameters["cluster"])
    rest = {key: value for key, value in job.parameters.items() if key != "cluster"}
    return executor.at(name) if name else executor, job.with_(parameters=rest)


def _on_nodes(executor: BatchSchedulerExecutor, job: Job, job_id: str) -> Path | None:
    """The path of a job's folder on compute nodes; None if it is the same there."""
    spool = spool_of(executor.spool_on_nodes, job.project_name or job.project)
    return spool / job_id if spool is not None else None


def _dependencies(executor: BatchSchedulerExecutor, job: Job) -> Dependencies | None:
    if not job.after:
        return None
    from .dependency_resolution import resolve_dependencies

    return resolve_dependencies(executor.channel, job)


def _sent(
    executor: BatchSchedulerExecutor, entry: JobRecord, script: Path, early: EarlyCommand | None, job: Job
) -> JobRecord:
    """Send the script to the manager. Raises `UnknownJob` if it is refused for a job that is to come before it."""
    from .submission import submit_once

    try:
        return submit_once(executor.channel, entry, script, early)
    except Rejected as error:
        if error.limit == "after":
            from .dependency_resolution import check_known

            check_known(executor.channel, job, error.output)
        raise


def _record(executor: BatchSchedulerExecutor, request: SubmissionRequest, attempt: Attempt | None) -> JobRecord:
    """Make the record of a submission that is not sent yet."""
    job = request.job
    return JobRecord(
        request.place.id,
        executor.platform.name,
        str(request.place.folder),
        executor.site,
        executor.cluster,
        job.display_name,
        job.command_line[:200],
        tuple(sorted(job.array)),
        run=executor.run,
        queue=job.queue_name or job.queue or "",
        resubmitted_from=attempt.entry.id if attempt is not None else "",
    )
