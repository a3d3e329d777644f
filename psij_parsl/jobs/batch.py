"""BatchSchedulerExecutor: the way of a job through template, scheduler, journal and snapshot."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AllocationError, Ambiguous, Error, InvalidRequest, SchedulerError, Unavailable, UnknownJob
from ..job import Job
from ..platforms.platform import Platform
from ..platforms.products import refuse_foreign
from ..platforms.registry import platform as find_platform
from ..signals import should_exit
from ..states import JobState, JobStatus
from ..system.commands import RunningCommand
from ..system.locks import hold_lock, lock
from .executor import Callback, JobExecutor, JobName, Submission, a_job, named, named_one
from .identity import Whose, bearers_of, whose
from .journal import Journal
from .reconcile import handles, merely_held, native_of, reconcile, whole_of
from .record import JobRecord, cluster_in, element_id
from .snapshot import CAPACITY, QueueSnapshot, View
from .submission import dependencies, submit_once
from .verdict import manager_log

if TYPE_CHECKING:
    from ..platforms.scheduler import Answer
    from ..sites.launch_options import LaunchOptions

log = logging.getLogger(__name__)

_SURE_S = 60.0  # how long an id that stood alone in the answer to a submit is proof
_PROOF_S = 600.0  # likewise a record that was proved to be ours
_TICK_S = (0.02, 0.25)  # how often a wait looks at files, at first and later
_START_TOKENS = CAPACITY / 2  # that a start is seen early is worth less than that ends are
_HINTS_A_TICK = 64
_SOME = 5  # ids in a sentence
_WAITING_ONLY = "only a job that waits can be held or released"
_Found = Sequence[tuple[JobRecord, str]]  # records of the journal, each with an element's key
_Statuses = list[JobStatus]
_Answers = list[bool]


class BatchSchedulerExecutor(JobExecutor):
    """Runs jobs through one platform's template and scheduler, and keeps the journal.

    `home` is the state directory; `spool` where jobs' folders lie, which compute nodes must see (default: below
    `home`). `poll_s` is the least time between two status queries, `grace_s` how long the manager may not know a
    job before that is LOST (default: the platform's), `settle_s` how long an ambiguous submission is looked for
    before it is sent again, `patience_s` how long a submit may take in all. All in seconds. `query_memory_mb` is the
    memory that one query may take, in MB (default: the platform's). `launch` is how a site's launcher starts runs,
    `site_file` the path of the site's file if somebody named it, `node_environment` patterns of variables that its
    nodes set for jobs, beside those that the platform tells, `cluster` the name of another of the manager's
    clusters. Raises `InvalidRequest` for one that the platform cannot name.
    """

    def __init__(
        self,
        platform: str | Platform,
        *,
        home: Path | None = None,
        spool: Path | None = None,
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
    ) -> None:
        self.platform = find_platform(platform) if isinstance(platform, str) else platform
        self.journal = Journal(home)
        self._settings: dict[str, Any] = {
            "home": home,
            "spool": spool,
            "site": site,
            "launcher": launcher,
            "poll_s": poll_s,
            "grace_s": grace_s,
            "settle_s": settle_s,
            "patience_s": patience_s,
            "run": run,
            "launch": launch,
            "site_file": site_file,
            "node_environment": node_environment,
            "query_memory_mb": query_memory_mb,
        }
        self._others: dict[str, BatchSchedulerExecutor] = {}  # for other clusters, by their names
        scheduler = self.platform.scheduler_class
        if cluster and not scheduler.names_clusters:
            raise InvalidRequest(
                f"{self.platform.name} has no clusters to choose from, and {cluster!r} was named",
                hint="leave out the parameter cluster",
            )
        named: dict[str, Any] = {"cluster": cluster} if cluster else {}
        self.scheduler = scheduler(home=self.journal.home, **named)
        if query_memory_mb is not None:
            self.scheduler.query_memory_mb = query_memory_mb
        self.spool, self.site, self.run = spool, site, run
        self.launcher = launcher or self.platform.launcher
        self.launch = launch
        self.site_file = site_file
        self.node_settings = (*self.scheduler.node_env, *node_environment)
        self.grace_s = self.scheduler.grace_s if grace_s is None else grace_s
        self.settle_s, self.patience_s = settle_s, patience_s
        self.cluster = self.scheduler.cluster_key(os.environ)
        interval = self.scheduler.poll_s if poll_s is None else poll_s
        if not interval > 0:
            raise InvalidRequest(f"poll_s={poll_s} is no time between two queries", hint="seconds, more than 0")
        self.snapshot = QueueSnapshot(self.journal.home, self.platform.name, self.cluster, interval)
        self._signs: dict[tuple[str, str, str], float] = {}  # when each was first seen
        self._turn = 0
        self._callbacks: list[Callback] = []
        self._fresh: set[str] = set()  # our ids of jobs that were made since somebody listens, not looked at yet
        self._telling = False
        self._watching = threading.Lock()

    def __repr__(self) -> str:
        return f"BatchSchedulerExecutor({self.platform.name!r})"

    def at(self, cluster: str) -> BatchSchedulerExecutor:
        """The executor for the cluster of that name, with the same settings and journal; '' for the usual one."""
        if cluster == self.scheduler.cluster_name:
            return self
        if cluster not in self._others:
            other = BatchSchedulerExecutor(self.platform, cluster=cluster, **self._settings)
            other.journal, other._others = self.journal, self._others
            self._others.setdefault(self.scheduler.cluster_name, self)
            self._others[cluster] = other
        return self._others[cluster]

    def _for(self, job: Job) -> tuple[BatchSchedulerExecutor, Job]:
        """The executor for the cluster that a job's parameter `cluster` names, and the job without it."""
        if "cluster" not in job.parameters or "cluster" not in self.platform.template_class.places:
            return self, job
        name = self.platform.template_class.params["cluster"].convert(job.parameters["cluster"])
        rest = {key: value for key, value in job.parameters.items() if key != "cluster"}
        return self.at(name) if name else self, job.with_(parameters=rest)

    # ---- submitting ----------------------------------------------------------------------------------------

    def submit(self, job: Job) -> Submission:
        """Submit a job, or a job array. Raises `InvalidRequest` or `Rejected`, and then nothing is left behind."""
        return self._submit(a_job(job))

    def submit_many(self, jobs: Sequence[Job]) -> list[Submission]:
        """Submit jobs; those that differ only in command, files, environment and name go as one job array."""
        if isinstance(jobs, Job) or not isinstance(jobs, Sequence):
            raise InvalidRequest(
                f"a {type(jobs).__name__} is no list of jobs", hint="pass a list: submit_many([job])"
            )
        jobs = [a_job(job) for job in jobs]
        if "array" not in self.platform.template_class.uses:
            return [self._submit(job) for job in jobs]
        groups: dict[str, list[int]] = {}
        for position, job in enumerate(jobs):
            groups.setdefault(_alike(job) if not job.array else f"array {position}", []).append(position)
        made: dict[int, Submission] = {}
        for positions in groups.values():
            for start in range(0, len(positions), self.scheduler.array_max):
                part = positions[start : start + self.scheduler.array_max]
                if len(part) == 1:
                    made[part[0]] = self._submit(jobs[part[0]])
                    continue
                alike = [jobs[position] for position in part]
                first = replace(alike[0], array=tuple(range(len(part))), environment={}, stdout=None, stderr=None)
                whole = self._submit(first, alike)
                entry = self.journal.get(whole.id)
                for index, position in enumerate(part):
                    made[position] = self._handle(entry, str(index), alike[index])
        return [made[position] for position in range(len(jobs))]

    def render(self, job: Job) -> str:
        """The script that `submit` would send, with an id and a folder that stand for the real ones."""
        folder = (self.spool or self.journal.home / "jobs") / "JOB"
        executor, job = self._for(a_job(job))
        return executor._script(job, "JOB", folder)

    def _script(self, job: Job, job_id: str, folder: Path, elements: bool = False) -> str:
        from .job_files import render

        after = dependencies(self, job)
        return render(
            self.platform.template_class,
            job,
            job_id=job_id,
            tag=self.scheduler.tag(job_id),
            folder=folder,
            after=after.told,
            guards=after.guards,
            exit_lag_s=self.scheduler.exit_lag_s,
            own_codes=self.scheduler.own_codes,
            default_launcher=self.launcher,
            launch=self.launch,
            elements=elements,
            node_settings=self.node_settings,
            stopgaps=self.scheduler.stopgaps,
        )

    def _submit(self, job: Job, elements: Sequence[Job] = ()) -> Submission:
        """Submit; `elements` are the jobs of an array that differ in what they run."""
        executor, job = self._for(job)
        refuse_foreign(executor.scheduler, executor.journal.home)
        elements = [executor._for(each)[1] for each in elements]
        while True:
            job_id, folder = executor.journal.prepare(executor.spool)
            waiting = executor.scheduler.waiting(executor.scheduler.tag(job_id))
            try:
                made = executor._submit_as(job_id, folder, waiting, job, elements)
            finally:
                if waiting is not None:
                    waiting.abandon()
            if made is not None:
                return made

    def _submit_as(
        self, job_id: str, folder: Path, waiting: RunningCommand | None, job: Job, elements: Sequence[Job]
    ) -> Submission | None:
        """Submit under that id of ours; None if another process has just taken it."""
        from .job_files import write

        entry = JobRecord(
            job_id,
            self.platform.name,
            str(folder),
            self.site,
            self.cluster,
            job.display_name,
            job.command_line[:200],
            tuple(sorted(job.array)),
            run=self.run,
        )
        # Whatever is wrong with the job is said by the rendering, before anything is written.
        text = self._script(job, job_id, folder, bool(elements))
        if not self.journal.make_folder(folder):
            return None
        try:
            script = write(
                folder,
                text,
                job,
                drop=self.scheduler.drop_env,
                keep=self.scheduler.wish_env,
                cluster=self.cluster,
                elements=elements,
                environ=os.environ,
                executable=self.scheduler.executable_script,
                site=self.site,
                site_file=self.site_file,
                given=self.scheduler.given(os.environ),
                look=bool(self.node_settings),
            )
            entry = self.journal.intend(entry, job, elements)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._made(job_id)
        return self._handle(submit_once(self, entry, script, waiting), "", job)

    # ---- asking --------------------------------------------------------------------------------------------

    def status(self, ids: Sequence[JobName], *, urgent: bool = False) -> _Statuses:
        """The status of each; `urgent` asks the manager now, if the shared budget has a query to spare."""
        return self._statuses(self._found(ids), urgent=urgent)

    def _found(self, ids: Sequence[JobName]) -> _Found:
        return [self._find(job_id) for job_id in named(ids)]

    def _find(self, job_id: str) -> tuple[JobRecord, str]:
        if job_id == "all":
            raise InvalidRequest("'all' is not the name of one job", hint="`list()` gives all")
        return self.journal.find([job_id], elements=False, of=(self.platform.name, self.cluster))[0]

    def _refresh(self, old: View) -> View:
        with self.journal.briefly():  # who asks how a job is gets an answer, also while nothing can be written down
            return reconcile(
                self.journal,
                self.scheduler,
                old,
                platform=self.platform.name,
                cluster=self.cluster,
                grace_s=self.grace_s,
                settle_s=self.settle_s * 4,
            )

    def _statuses(self, found: _Found, *, urgent: float = 0.0, known_s: float = 0.0) -> _Statuses:
        groups = self._by_cluster(found)
        if len(groups) == 1:
            return groups[0][0]._statuses_here(found, urgent=urgent, known_s=known_s)
        told = {
            (entry.id, key): status
            for executor, group in groups
            for (entry, key), status in zip(
                group, executor._statuses_here(group, urgent=urgent, known_s=known_s), strict=True
            )
        }
        return [told[entry.id, key] for entry, key in found]

    def _statuses_here(self, found: _Found, *, urgent: float = 0.0, known_s: float = 0.0) -> _Statuses:
        ids = {entry.id for entry, _ in found}
        known = self.journal.some(ids)
        if all(not known.get(entry.id, entry).open for entry, _ in found):
            view = View()
        else:
            view = self.snapshot.view()
            if urgent or not 0 <= time.time() - view.asked < known_s:
                view = self.snapshot.read(self._refresh, urgent=urgent)
            known = self.journal.some(ids)  # after the snapshot: what it no longer holds, the journal has
        return [self._status_of(known.get(entry.id, entry), key, view) for entry, key in found]

    def _status_of(self, entry: JobRecord, key: str, view: View) -> JobStatus:
        if key == "*" or (not key and entry.array):
            return summary([self._status_of(entry, each, view) for each in entry.keys])
        if key in entry.ended:
            return entry.ended[key]
        if not entry.native:
            return JobStatus(JobState.NEW, message="being submitted")
        status = view.status(element_id(entry, key))
        if status is None:  # submitted after the manager was last asked
            return JobStatus(JobState.QUEUED, message="submitted")
        return status

    def _by_cluster(self, found: _Found) -> list[tuple[BatchSchedulerExecutor, list[tuple[JobRecord, str]]]]:
        """Records by the executor for their cluster, where the manager has several that are named.

        Raises `InvalidRequest` for an open job of which this manager, or this cluster of it, cannot be asked: there its
        id is another job's.
        """
        groups: dict[str, list[tuple[JobRecord, str]]] = {}
        for entry, key in found:
            name = cluster_in(entry.cluster) if self.scheduler.names_clusters else self.scheduler.cluster_name
            groups.setdefault(name, []).append((entry, key))
        told = [(self.at(name), group) for name, group in groups.items()]
        for executor, group in told:
            here = executor.platform.name, executor.cluster
            far = next((entry for entry, _ in group if entry.open and (entry.platform, entry.cluster) != here), None)
            if far is not None and far.platform != here[0]:
                raise InvalidRequest(
                    f"job {far.id} is a job of {far.platform}, and {here[0]} cannot be asked about it",
                    hint=f'BatchSchedulerExecutor("{far.platform}") can',
                )
            if far is not None:
                raise InvalidRequest(
                    f"job {far.id} is on another cluster of {far.platform} ({far.cluster or 'the default one'})",
                    hint="set the environment as it was when the job was submitted",
                )
        return told

    def statuses(self, found: _Found, *, urgent: bool = False) -> _Statuses:
        """As `status`, for records of the journal that were found already."""
        return self._statuses(found, urgent=urgent)

    def poll(self, found: _Found, before: Sequence[JobStatus], *, known_s: float = 0.0) -> _Statuses:
        """As `statuses`; asked early where a job's folder shows a start or an end that `before` does not know.

        Else an answer that is no older than `known_s` seconds will do.
        """
        groups = self._by_cluster(found)
        if len(groups) == 1 and groups[0][0] is not self:
            return groups[0][0].poll(found, before, known_s=known_s)
        return self._statuses(found, urgent=self._early_poll_priority(found, before), known_s=known_s)

    def list(self) -> Sequence[Submission]:
        """The jobs of this platform and cluster that have not ended; arrays as a whole."""
        return [
            self._handle(entry, "")
            for entry in self.journal.open_entries().values()
            if entry.platform == self.platform.name and entry.cluster == self.cluster
        ]

    def submission(self, job_id: str) -> Submission:
        """The handle of a job in the journal, by our id or the manager's. Raises `UnknownJob`."""
        entry, key = self._find(named_one(job_id))
        return self._handle(entry, "" if key == "*" else key)

    def elements(self, job: JobName) -> Sequence[Submission]:
        """Handles of an array's elements, in the order of their indices; none of a job that is no array."""
        entry, key = self._find(named_one(job))
        return [self._handle(entry, each) for each in entry.keys] if key == "*" else []

    def attach(self, native_id: str) -> Submission:
        """A handle for any job of the user that the manager knows; of ours the one that we have.

        Where the manager has another job by now under the id of one of ours, it is that other one.
        """
        native_id = named_one(native_id)
        named = self.scheduler.named_cluster(native_id)
        if named and named != self.scheduler.cluster_name:
            return self.at(named).attach(native_id)
        with hold_lock(lock(self.journal.home / "attach.lock")):  # else two at one instant make two records
            meant = self.meant(native_id)
            if meant is None:
                return self._attach(native_id)
            entry, key = meant
            return self._handle(entry, "" if key == "*" else key)

    def meant(self, name: str) -> tuple[JobRecord, str] | None:
        """The job of ours that an id of ours or the manager's means, and its key; None if it is none of ours.

        An id of the manager's may have been ours, and be another job's by now: so it is asked, unless the last answer
        showed ours. Raises `Unavailable` where it does not answer, and ours has ended.
        """
        try:
            entry, key = self._find(name)
        except UnknownJob:
            return None
        here = (entry.platform, entry.cluster) == (self.platform.name, self.cluster)
        native = native_of(self.scheduler, entry, "" if key == "*" else key) if here and entry.native else ""
        if not native or not self.scheduler.same_id(native, name):
            return entry, key
        going = not entry.over(key)
        view = self.snapshot.view()
        first = entry.keys_of(key)[0]
        first_id = element_id(entry, first)
        recent = 0 <= time.time() - view.proved(first_id) < _PROOF_S and first_id not in view.unproved
        if going and recent and first_id not in view.strangers:
            return entry, key
        try:
            answer = self._asked(name)
        except Unavailable:
            if not going:
                raise
            return entry, key
        found = answer.of(name)
        if found is None:
            return entry, key
        known = entry.ended.get(first) or view.status(first_id) or JobStatus()
        other = whose(
            self.scheduler,
            entry,
            found,
            attempt=known.attempt,
            clock=view.clock,
            tagged=view.tagged,
            past=self.scheduler.plain_id(name) in answer.past,
        )
        return None if other is Whose.STRANGER else (entry, key)

    def _asked(self, native_id: str) -> Answer:
        """What the manager tells of that id, also of its past."""
        plain = self.scheduler.plain_id(native_id)
        answer = self.scheduler.qstat(lambda live: [] if plain in live else [native_id])
        self.snapshot.answered()
        return answer

    def _attach(self, native_id: str) -> Submission:
        answer = self._asked(native_id)
        found = answer.of(native_id)
        if found is None:
            hint = "psij-run list --all"
            same = (each.id for each in answer.records.values() if whole_of(self.scheduler, each) == native_id)
            if (element := next(same, "")) != "":
                hint = f"it is an array: attach its elements, as {element}"
            raise UnknownJob(f"{self.platform.name} knows no job {native_id!r} of yours", hint=hint)
        if found.leftover:
            found = merely_held(found)
        known = self.journal.some(bearers_of(self.scheduler, found))
        if known:  # ours: an element of an array, or one whose id we have not been told
            entry = next(iter(known.values()))
            same_id = self.scheduler.same_id
            keys = entry.keys if entry.array and entry.native else ()
            return self._handle(
                entry, next((key for key in keys if same_id(native_of(self.scheduler, entry, key), native_id)), "")
            )
        job_id, folder = self.journal.new_folder(self.spool)
        entry = JobRecord(
            job_id, self.platform.name, str(folder), self.site, self.cluster, f"attached {native_id}", attached=True
        )
        entry = self.journal.commit(self.journal.intend(entry), native_id, sure=True)
        if found.submitted is not None:
            self.journal.born({entry.id: found.submitted})
        if found.status.final:
            self.journal.end({(entry.id, ""): found.status})
        else:
            self.snapshot.put(entry.id, found.status)
        self._made(entry.id)
        return self._handle(self.journal.get(entry.id), "")

    def _handle(self, entry: JobRecord, key: str, job: Job | None = None) -> Submission:
        job = job or self.journal.job(entry, key)
        folder = entry.element_folder(key)
        stdout, stderr = outputs(folder, key, job) if job is not None and (key or not entry.array) else (None, None)
        job_id = element_id(entry, key)
        native = native_of(self.scheduler, entry, key) if entry.native else ""
        named = cluster_in(entry.cluster)
        executor = self.at(named) if self.scheduler.names_clusters else self
        log = None if entry.attached or (entry.array and not key) else manager_log(entry, key)
        return Submission(job_id, native, folder, entry.name, stdout, stderr, executor, log)

    # ---- acting --------------------------------------------------------------------------------------------

    def cancel(self, ids: Sequence[JobName]) -> _Answers:
        """Cancel jobs with one command for all. Raises `Unavailable` when the manager cannot be asked."""
        return self.cancel_found(self._found(ids))

    def cancel_found(self, found: _Found) -> _Answers:
        """As `cancel`, for records of the journal that were found already."""
        before = [not entry.over(key) for entry, key in found]
        for executor, group in self._by_cluster([pair for pair, going in zip(found, before, strict=True) if going]):
            executor._cancel_here(group)
        return before

    def _cancel_here(self, found: _Found) -> None:
        proved, others = self._proved(found)
        sent = {self._cancel_key(entry, key): handles(self.scheduler, entry, key) for entry, key in proved}
        self.journal.cancel_asked(sent)
        self.journal.cancel_asked([self._cancel_key(entry, key) for entry, key in others], sent=False)
        for entry, _ in others:
            if entry.native:
                log.warning(
                    "%s does not show job %s (%s): nothing was cancelled; it will be if it shows up",
                    self.platform.name,
                    entry.id,
                    entry.native,
                )
        if sent:
            try:
                self.scheduler.qdel([native for natives in sent.values() for native in natives])
                self.snapshot.answered()
            except Ambiguous:  # it may have been heard
                raise
            except SchedulerError:
                self.journal.cancel_failed(sent)
                raise

    @staticmethod
    def _cancel_key(entry: JobRecord, key: str) -> tuple[str, str]:
        return entry.id, "*" if key in ("", "*") else key

    def _proved(self, found: _Found) -> tuple[_Found, _Found]:
        """Those that the manager is proved to have, under the ids that we know; and the others.

        An id is not a job: by now it may be another one's. So the manager is asked first. Where its answer shows no job
        of that id, or none is to be had, an id that it gave alone a minute ago at most is proof, and a record of ours
        that it has shown in the last ten; without an answer an older one.
        """
        if not any(entry.native for entry, _ in found):
            return [], found
        now = time.time()
        silent = False
        try:
            view = self.snapshot.ask(self._refresh, since=now)
        except Unavailable as error:
            silent, view = True, self.snapshot.view()
            log.warning("%s; what is cancelled was seen %s", error.message, _seen(view))
        fresh = self.journal.some({entry.id for entry, _ in found})
        found = [(fresh.get(entry.id, entry), key) for entry, key in found]
        found = [(entry, key) for entry, key in found if not entry.over(key)]
        proved = []
        for entry, key in found:
            keys = [each for each in entry.keys_of(key) if each not in entry.ended]
            seen = max((view.proved(element_id(entry, each)) for each in keys), default=0.0)
            sure = entry.sure and 0 <= now - entry.committed < _SURE_S
            known = seen >= now - _PROOF_S or sure or (silent and seen > 0)
            if entry.native and known and not any(element_id(entry, each) in view.strangers for each in keys):
                proved.append((entry, key))
        return proved, [pair for pair in found if pair not in proved]

    def hold(self, ids: Sequence[JobName]) -> None:
        """Keep queued jobs from starting. Raises `Unsupported` where the manager cannot.

        Of an array those elements are held that have not started; a warning names those that run.
        """
        for executor, natives in self._natives(ids, starting=False):
            executor.scheduler.hold(natives)

    def release(self, ids: Sequence[JobName]) -> None:
        """Let held jobs start; of an array what has not ended."""
        for executor, natives in self._natives(ids):
            executor.scheduler.release(natives)

    def _natives(
        self, ids: Sequence[JobName], *, starting: bool = True
    ) -> Sequence[tuple[BatchSchedulerExecutor, Sequence[str]]]:
        """The manager's ids of those jobs, by the executor for their cluster."""
        return [
            (executor, executor._natives_here(group, starting))
            for executor, group in self._by_cluster(self._found(ids))
        ]

    def _natives_here(self, found: _Found, starting: bool) -> Sequence[str]:
        proved, others = self._proved(found)
        for entry, _ in others:
            raise UnknownJob(
                f"{self.platform.name} does not show job {entry.id} as {entry.native or 'yet'}",
                hint=f"`psij-run status {entry.id}` tells what is known",
            )
        going = {(entry.id, key) for entry, key in proved}
        for entry, key in found:
            if (entry.id, key) not in going:
                raise InvalidRequest(f"job {element_id(entry, key)} has ended", hint=_WAITING_ONLY)
        return [native for entry, key in proved for native in self._turned(entry, key, starting)]

    def _turned(self, entry: JobRecord, key: str, starting: bool) -> Sequence[str]:
        """The ids by which a job is held (or, `starting`, released); of an array what that can be done to."""
        whole = handles(self.scheduler, entry, key)
        if not entry.array or key not in ("", "*"):
            return whole
        left = [each for each in entry.keys if each not in entry.ended]
        view = self.snapshot.view()
        running = [each for each in left if self._status_of(entry, each, view).state is JobState.ACTIVE]
        if running and not starting:
            names = ", ".join(element_id(entry, each) for each in running[:_SOME])
            more = f" and {len(running) - _SOME} more" if len(running) > _SOME else ""
            if len(running) == len(left):
                raise InvalidRequest(f"{names}{more}: all that is left of array {entry.id} runs", hint=_WAITING_ONLY)
            log.warning("of array %s these run, and are not held: %s%s", entry.id, names, more)
            left = [each for each in left if each not in running]
        known = [native for each in left if (native := native_of(self.scheduler, entry, each))]
        part = len(left) < len(entry.keys) and (self.scheduler.holds_elements or any(entry.elements))
        return known if part else whole

    # ---- waiting -------------------------------------------------------------------------------------------

    def wait(self, ids: Sequence[JobName], timeout: float | None = None) -> bool:
        """Wait until all have ended; a start or an end is noticed early by the files that it leaves."""
        found = self._found(ids)
        return self.wait_until(found, lambda statuses: all(status.final for status in statuses), timeout=timeout)

    def wait_until(self, found: _Found, done: Callable[[_Statuses], bool], *, timeout: float | None = None) -> bool:
        """Look at jobs until `done(statuses)`; False when time is up or a signal asks us to leave.

        While the manager does not answer, it is said once how old the news is.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        groups = self._by_cluster(found)
        if len(groups) == 1 and groups[0][0] is not self:
            return groups[0][0].wait_until(found, done, timeout=timeout)
        pause, most = _TICK_S
        statuses = self._statuses(found)
        while not done(statuses):
            left = most if deadline is None else deadline - time.monotonic()
            if left <= 0 or should_exit(max(0.0, min(pause, left))):
                return False
            self.snapshot.complain(self.snapshot.view())
            pause = min(most, pause * 1.5)
            statuses = self._statuses(found, urgent=self._early_poll_priority(found, statuses))
        return True

    def _early_poll_priority(self, found: _Found, statuses: Sequence[JobStatus]) -> float:
        """How many tokens must be left for an early refresh, as a job's folder shows something new; 0: it does not.

        A sign is worth a query some moments after it, and again later, while no query since has told of it.
        """
        now, asked = time.time(), self.snapshot.view().asked
        unsettled = [
            (entry, each, status)
            for (entry, key), status in zip(found, statuses, strict=True)
            if not status.final
            for each in entry.keys_of(key)
        ]
        needed: set[float] = set()
        for turn in range(min(_HINTS_A_TICK, len(unsettled))):
            entry, key, status = unsettled[(self._turn + turn) % len(unsettled)]
            folder = entry.element_folder(key)
            sign = "end" if os.path.exists(folder / "exit") else "cancel" if entry.cancel_asked(key) else ""
            if not sign and status.state < JobState.ACTIVE and os.path.lexists(folder / "claim"):
                sign = "start"
            if not sign:
                continue
            seen = self._signs.setdefault((entry.id, key, sign), now)
            after = next((delay for delay in self.scheduler.early_poll_delays_s if asked < seen + delay), None)
            if after is not None and now >= seen + after:
                needed.add(_START_TOKENS if sign == "start" else 1.0)
        self._turn += _HINTS_A_TICK
        return min(needed, default=0.0)

    def on_status(self, callback: Callback) -> Callable[[], None]:
        """Call back at each change of a job of this platform, from one thread that runs while anyone listens.

        The end of each job is told, however soon it comes.
        """
        with self._watching:
            self._callbacks.append(callback)
            if not self._telling:
                self._telling = True
                ended = self.journal.listen()  # before we return: what is submitted from then on is told
                name = f"psij-{self.platform.name}"
                threading.Thread(target=self._tell, args=(ended,), name=name, daemon=True).start()

        def stop() -> None:
            with self._watching:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

        return stop

    def _made(self, job_id: str) -> None:
        """A record was made here: it is told of, even if it has ended before anybody looks."""
        with self._watching:
            if self._telling:
                self._fresh.add(job_id)

    def _tell(self, ended: set[str]) -> None:
        """Tell all changes; `ended` is filled by the journal with what has ended, whoever saw it."""
        told, trouble = _Told(), ""
        while True:
            with self._watching:
                callbacks = list(self._callbacks)
                told.going |= self._fresh
                self._fresh = set()
                if not callbacks:
                    self._telling = False
                    break
            try:
                self._tell_once(told, ended, callbacks)
                trouble = ""
            except (Error, OSError) as error:  # our records cannot be read just now
                if trouble != str(error):
                    log.warning("what changes is told later: %s", error)
                trouble = str(error)
            time.sleep(_TICK_S[1])
        self.journal.unlisten(ended)

    def _tell_once(self, told: _Told, ended: set[str], callbacks: Sequence[Callback]) -> None:
        told.going |= self.journal.heard(ended) - told.over
        watched = self.journal.open_entries() | self.journal.some(told.going)
        mine = [
            entry
            for entry in watched.values()
            if entry.platform == self.platform.name and entry.cluster == self.cluster and entry.id not in told.over
        ]
        for changed, key, new in self._news([(entry, key) for entry in mine for key in entry.keys], told.last):
            told.last[changed.id, key] = new
            for callback in callbacks:
                self._call(callback, self._handle(changed, key), new)
        told.going = {entry.id for entry in mine}
        for entry in mine:
            if all(told.last.get((entry.id, key), JobStatus()).final for key in entry.keys):
                told.is_over(entry)

    def _news(
        self, mine: _Found, last: Mapping[tuple[str, str], JobStatus]
    ) -> Iterator[tuple[JobRecord, str, JobStatus]]:
        """What has changed since those statuses. What is open is looked at early where its folder shows something."""
        before = [last.get((entry.id, key), JobStatus()) for entry, key in mine]
        open_ = [(pair, old) for pair, old in zip(mine, before, strict=True) if pair[0].open]
        urgent = self._early_poll_priority([pair for pair, _ in open_], [old for _, old in open_])
        for (entry, key), old, new in zip(mine, before, self._statuses(mine, urgent=urgent), strict=True):
            if old.then(new) != old:
                yield entry, key, old.then(new)

    def _call(self, callback: Callback, submission: Submission, status: JobStatus) -> None:
        try:
            callback(submission, status)
        except Exception:  # the listener's own fault: it must not cost the others their news
            log.exception("a status callback failed for job %s", submission.id)


@dataclass
class _Told:
    """What callbacks were told: the last status of each element, by our ids, until the job's end was told."""

    last: dict[tuple[str, str], JobStatus] = field(default_factory=dict)
    going: set[str] = field(default_factory=set)  # those whose end is still to be told
    over: set[str] = field(default_factory=set)

    def is_over(self, entry: JobRecord) -> None:
        self.over.add(entry.id)
        self.going.discard(entry.id)
        for key in entry.keys:
            del self.last[entry.id, key]


def _seen(view: View) -> str:
    return f"{time.time() - view.asked:.0f} s ago" if view.asked else "when it was submitted"


def outputs(folder: Path, key: str, job: Job) -> tuple[Path, Path]:
    """Where an element's stdout and stderr go."""
    if not job.stdout and not job.stderr:
        return folder / "stdout", folder / "stderr"
    part = f".{key}" if key and job.array else ""
    stdout = Path(f"{job.stdout}{part}") if job.stdout else folder / "stdout"
    stderr = Path(f"{job.stderr}{part}") if job.stderr else (stdout if job.stdout else folder / "stderr")
    return stdout, stderr


def summary(statuses: Sequence[JobStatus]) -> JobStatus:
    """The status of an array as a whole: its least advanced element's while it runs, its worst one's at the end.

    It began with the first of them, ends with the last, and has the nodes of all.
    """
    counts: dict[str, int] = {}
    for status in statuses:
        counts[status.state.name] = counts.get(status.state.name, 0) + 1
    text = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
    running = [status for status in statuses if not status.final]
    starts = [status.started for status in statuses if status.started is not None]
    whole = JobStatus(
        message=text,
        started=min(starts, default=None),
        nodes=_all_nodes(statuses),
        attempt=max(status.attempt for status in statuses),
    )
    if running:
        active = any(status.state is JobState.ACTIVE or status.final for status in statuses)
        state = JobState.ACTIVE if active else max(status.state for status in statuses)
        return replace(whole, state=state, held=not active and all(status.held for status in statuses))
    worst = next((s for s in statuses if s.state is JobState.FAILED), None)
    worst = worst or next((s for s in statuses if s.state is JobState.CANCELED), None) or statuses[0]
    ends = [status.ended for status in statuses if status.ended is not None]
    return replace(
        worst,
        message=text,
        started=whole.started,
        ended=max(ends, default=None),
        nodes=whole.nodes,
        attempt=whole.attempt,
    )


def _all_nodes(statuses: Sequence[JobStatus]) -> str:
    """The nodes of all of them, each once, as a host list."""
    told = dict.fromkeys(status.nodes for status in statuses if status.nodes)
    if len(told) < 2:
        return next(iter(told), "")
    from ..resources.hostlist import compress, expand

    try:
        return compress(sorted({name for text in told for name in expand(text)}))
    except AllocationError:  # no host list: as they were told
        return ",".join(told)


def _alike(job: Job) -> str:
    return repr(
        replace(
            job, command=("x",), name="", directory=Path("/"), environment={}, stdin=None, stdout=None, stderr=None
        )
    )
