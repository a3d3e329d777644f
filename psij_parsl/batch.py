"""BatchSchedulerExecutor: the way of a job through template, scheduler, journal and snapshot."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .command import Started
from .entry import Entry
from .errors import Ambiguous, SchedulerError, UnknownJob
from .executor import Callback, JobExecutor, Submission
from .job import Job
from .journal import Journal
from .platform import Platform
from .registry import platform as find_platform
from .sending import dependencies, send
from .signals import should_exit
from .snapshot import CAPACITY, QueueSnapshot, View
from .states import JobState, JobStatus
from .tracking import native_of, refresh

if TYPE_CHECKING:
    from .sites.model import Launch

log = logging.getLogger(__name__)

_TICK_S = (0.02, 0.25)  # how often a wait looks at files, at first and later
_START_TOKENS = CAPACITY / 2  # that a start is seen early is worth less than that ends are
_HINTS_A_TICK = 64
_Found = Sequence[tuple[Entry, str]]  # records of the journal, each with an element's key
_Statuses = list[JobStatus]
_Answers = list[bool]


class BatchSchedulerExecutor(JobExecutor):
    """Runs jobs through one platform's template and scheduler, and keeps the journal.

    `home` is the state directory; `spool` where jobs' folders lie, which compute nodes must see (default: below
    `home`). `poll_s` is the least time between two status queries, `grace_s` how long the manager may not know a
    job before that is LOST, `settle_s` how long an ambiguous submission is looked for before it is sent again,
    `patience_s` how long a submit may take in all. All in seconds. `launch` is what a site says of its launcher,
    `site_file` the path of the site's file if somebody named it, `node_environment` patterns of variables that its
    nodes set for jobs, beside those that the platform tells.
    """

    def __init__(
        self, platform: str | Platform, *, home: Path | None = None, spool: Path | None = None, site: str = "",
        launcher: str = "", poll_s: float | None = None, grace_s: float = 120.0, settle_s: float = 30.0,
        patience_s: float = 600.0, run: str = "", launch: Launch | None = None, site_file: str = "",
        node_environment: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.platform = find_platform(platform) if isinstance(platform, str) else platform
        self.journal = Journal(home)
        self.scheduler = self.platform.scheduler_class(home=self.journal.home)
        self.spool, self.site, self.run = spool, site, run
        self.launcher = launcher or self.platform.launcher
        self.launch = launch
        self.site_file = site_file
        self.node_settings = (*self.scheduler.node_env, *node_environment)
        self.grace_s, self.settle_s, self.patience_s = grace_s, settle_s, patience_s
        self.cluster = self.scheduler.cluster(os.environ)
        interval = self.scheduler.poll_s if poll_s is None else poll_s
        self.snapshot = QueueSnapshot(self.journal.home, self.platform.name, self.cluster, interval)
        self._signs: dict[tuple[str, str, str], float] = {}  # when each was first seen
        self._turn = 0
        self._callbacks: list[Callback] = []
        self._watching = threading.Lock()

    def __repr__(self) -> str:
        return f"BatchSchedulerExecutor({self.platform.name!r})"

    # ---- submitting ----------------------------------------------------------------------------------------

    def submit(self, job: Job) -> Submission:
        """Submit a job, or a job array. Raises `InvalidRequest` or `Rejected`, and then nothing is left behind."""
        return self._submit(job)

    def submit_many(self, jobs: Sequence[Job]) -> list[Submission]:
        """Submit jobs; those that differ only in command, files, environment and name go as one job array."""
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
        return self._script(job, "JOB", "psij:JOB", folder)

    def _script(self, job: Job, job_id: str, tag: str, folder: Path, elements: bool = False) -> str:
        from .script import render

        return render(
            self.platform.template_class, job, job_id=job_id, tag=tag, folder=folder, after=dependencies(self, job),
            default_launcher=self.launcher, launch=self.launch, elements=elements,
            node_settings=self.node_settings, stopgaps=self.scheduler.stopgaps,
        )  # fmt: skip

    def _submit(self, job: Job, elements: Sequence[Job] = ()) -> Submission:
        """Submit; `elements` are the jobs of an array that differ in what they run."""
        waiting = self.scheduler.waiting()
        try:
            return self._submit_with(waiting, job, elements)
        finally:
            if waiting is not None:
                waiting.abandon()

    def _submit_with(self, waiting: Started | None, job: Job, elements: Sequence[Job]) -> Submission:
        from .script import write

        while True:  # whatever is wrong with the job is said by the rendering, before anything is written
            job_id, folder = self.journal.prepare(self.spool)
            entry = Entry(
                job_id, self.platform.name, str(folder), self.site, self.cluster, job.display_name, job.command_line[:200],
                job.array, run=self.run,
            )  # fmt: skip
            text = self._script(job, job_id, entry.tag, folder, bool(elements))
            if self.journal.make_folder(folder):
                break
        try:
            script = write(
                folder, text, job, drop=self.scheduler.drop_env, keep=self.scheduler.wish_env, cluster=self.cluster, elements=elements,
                environ=os.environ, site=self.site, site_file=self.site_file,
                given=self.scheduler.given(os.environ), look=bool(self.node_settings),
            )  # fmt: skip
            entry = self.journal.intend(entry, job, elements)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return self._handle(send(self, entry, script, waiting), "", job)

    # ---- asking --------------------------------------------------------------------------------------------

    def status(self, ids: Sequence[str], *, urgent: bool = False) -> _Statuses:
        """The status of each; `urgent` asks the manager now, if the shared budget has a query to spare."""
        found = [self._find(job_id) for job_id in ids]
        return self._statuses(found, urgent=urgent)

    def _find(self, job_id: str) -> tuple[Entry, str]:
        return self.journal.find([job_id], elements=False, of=(self.platform.name, self.cluster))[0]

    def _refresh(self, old: View) -> View:
        return refresh(
            self.journal, self.scheduler, old, platform=self.platform.name, cluster=self.cluster,
            grace_s=self.grace_s, settle_s=self.settle_s * 4,
        )  # fmt: skip

    def _statuses(self, found: _Found, *, urgent: float = 0.0, known_s: float = 0.0) -> _Statuses:
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

    def _status_of(self, entry: Entry, key: str, view: View) -> JobStatus:
        if key == "*" or (not key and entry.array):
            return summary([self._status_of(entry, each, view) for each in entry.keys])
        if key in entry.ended:
            return entry.ended[key]
        if not entry.native:
            return JobStatus(JobState.NEW, message="being submitted")
        status = view.status(native_of(self.scheduler, entry, key))
        if status is None:  # submitted after the manager was last asked
            return JobStatus(JobState.QUEUED, message="submitted")
        return status

    def statuses(self, found: _Found, *, urgent: bool = False) -> _Statuses:
        """As `status`, for records of the journal that were found already."""
        return self._statuses(found, urgent=urgent)

    def look(self, found: _Found, before: Sequence[JobStatus], *, known_s: float = 0.0) -> _Statuses:
        """As `statuses`; asked early where a job's folder shows a start or an end that `before` does not know.

        Else an answer that is no older than `known_s` seconds will do.
        """
        return self._statuses(found, urgent=self._hinted(found, before), known_s=known_s)

    def list(self) -> Sequence[Submission]:
        """The jobs of this platform and cluster that have not ended; arrays as a whole."""
        return [
            self._handle(entry, "") for entry in self.journal.open_entries().values()
            if entry.platform == self.platform.name and entry.cluster == self.cluster
        ]  # fmt: skip

    def submission(self, job_id: str) -> Submission:
        """The handle of a job in the journal, by our id or the manager's. Raises `UnknownJob`."""
        entry, key = self._find(job_id)
        return self._handle(entry, "" if key == "*" else key)

    def attach(self, native_id: str) -> Submission:
        """A handle for any job of the user that the manager knows."""
        try:
            return self._handle(*self._find(native_id))
        except UnknownJob:
            found = self.scheduler.qstat(lambda seen: [native_id]).records.get(native_id)
        if found is None:
            raise UnknownJob(f"{self.platform.name} knows no job {native_id!r} of yours", hint="psij-run list --all")
        job_id, folder = self.journal.prepare(self.spool)
        self.journal.make_folder(folder)
        entry = Entry(job_id, self.platform.name, str(folder), self.site, self.cluster, f"attached {native_id}")
        entry = self.journal.commit(self.journal.intend(entry), native_id)
        if found.status.final:
            self.journal.end({(entry.id, ""): found.status})
        return self._handle(self.journal.get(entry.id), "")

    def _handle(self, entry: Entry, key: str, job: Job | None = None) -> Submission:
        job = job or self.journal.job(entry, key)
        folder = entry.element_folder(key)
        stdout, stderr = outputs(folder, key, job) if job is not None and (key or not entry.array) else (None, None)
        job_id = f"{entry.id}_{key}" if key else entry.id
        native = native_of(self.scheduler, entry, key) if entry.native else ""
        return Submission(job_id, native, folder, entry.name, stdout, stderr, self)

    # ---- acting --------------------------------------------------------------------------------------------

    def cancel(self, ids: Sequence[str]) -> _Answers:
        """Cancel jobs with one command for all. Raises `Unavailable` when the manager cannot be asked."""
        return self.cancel_found([self._find(job_id) for job_id in ids])

    def cancel_found(self, found: _Found) -> _Answers:
        """As `cancel`, for records of the journal that were found already."""
        asked: dict[tuple[str, str], str] = {}
        for entry, key in found:
            if not entry.over(key):
                whole = key in ("", "*")
                asked[entry.id, "*" if whole else key] = (
                    entry.native if whole else native_of(self.scheduler, entry, key)
                )
        self.journal.cancel_asked(asked)
        natives = [native for native in asked.values() if native]
        if natives:
            try:
                self.scheduler.qdel(natives)
            except Ambiguous:  # it may have been heard
                raise
            except SchedulerError:
                self.journal.cancel_failed(asked)
                raise
        return [not entry.over(key) for entry, key in found]

    def hold(self, ids: Sequence[str]) -> None:
        """Keep queued jobs from starting. Raises `Unsupported` where the manager cannot."""
        self.scheduler.hold(self._natives(ids))

    def release(self, ids: Sequence[str]) -> None:
        """Let held jobs start."""
        self.scheduler.release(self._natives(ids))

    def _natives(self, ids: Sequence[str]) -> Sequence[str]:
        found = [self._find(job_id) for job_id in ids]
        return [entry.native if key in ("", "*") else native_of(self.scheduler, entry, key) for entry, key in found]

    # ---- waiting -------------------------------------------------------------------------------------------

    def wait(self, ids: Sequence[str], timeout: float | None = None) -> bool:
        """Wait until all have ended; a start or an end is noticed early by the files that it leaves."""
        found = [self._find(job_id) for job_id in ids]
        return self.watch(found, lambda statuses: all(status.final for status in statuses), timeout=timeout)

    def watch(
        self, found: _Found, done: Callable[[_Statuses], bool], *,
        timeout: float | None = None,
    ) -> bool:  # fmt: skip
        """Look at jobs until `done(statuses)`; False when time is up or a signal asks us to leave."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause, most = _TICK_S
        statuses = self._statuses(found)
        while not done(statuses):
            left = most if deadline is None else deadline - time.monotonic()
            if left <= 0 or should_exit(max(0.0, min(pause, left))):
                return False
            pause = min(most, pause * 1.5)
            statuses = self._statuses(found, urgent=self._hinted(found, statuses))
        return True

    def _hinted(self, found: _Found, statuses: Sequence[JobStatus]) -> float:
        """How many tokens must be left for an early refresh, as a job's folder shows something new; 0: it does not.

        A sign is worth a query some moments after it, and again later, while no query since has told of it.
        """
        now, asked = time.time(), self.snapshot.view().asked
        unsettled = [
            (entry, each, status)
            for (entry, key), status in zip(found, statuses, strict=True) if not status.final
            for each in (entry.keys if key in ("", "*") else [key])
        ]  # fmt: skip
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
            after = next((delay for delay in self.scheduler.signs_s if asked < seen + delay), None)
            if after is not None and now >= seen + after:
                needed.add(_START_TOKENS if sign == "start" else 1.0)
        self._turn += _HINTS_A_TICK
        return min(needed, default=0.0)

    def on_status(self, callback: Callback) -> Callable[[], None]:
        """Call back at each change of a job of this platform, from one thread that runs while anyone listens."""
        with self._watching:
            self._callbacks.append(callback)
            if len(self._callbacks) == 1:
                threading.Thread(target=self._tell, name=f"psij-{self.platform.name}", daemon=True).start()

        def stop() -> None:
            with self._watching:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

        return stop

    def _tell(self) -> None:
        last: dict[tuple[str, str], JobStatus] = {}
        _, most = _TICK_S
        while True:
            with self._watching:
                callbacks = list(self._callbacks)
            if not callbacks:
                return
            watched = self.journal.open_entries() | self.journal.some({job_id for job_id, _ in last})
            mine = [
                (entry, key) for entry in watched.values()
                if entry.platform == self.platform.name and entry.cluster == self.cluster for key in entry.keys
            ]  # fmt: skip
            before = [last.get((entry.id, key), JobStatus()) for entry, key in mine]
            for (entry, key), old, new in zip(
                mine, before, self._statuses(mine, urgent=self._hinted(mine, before)), strict=True
            ):
                if old.then(new) != old:
                    last[entry.id, key] = old.then(new)
                    for callback in callbacks:
                        self._call(callback, self._handle(entry, key), last[entry.id, key])
            time.sleep(most)

    def _call(self, callback: Callback, submission: Submission, status: JobStatus) -> None:
        try:
            callback(submission, status)
        except Exception:  # the listener's own fault: it must not cost the others their news
            log.exception("a status callback failed for job %s", submission.id)


def outputs(folder: Path, key: str, job: Job) -> tuple[Path, Path]:
    """Where an element's stdout and stderr go."""
    if not job.stdout and not job.stderr:
        return folder / "stdout", folder / "stderr"
    part = f".{key}" if key and job.array else ""
    stdout = Path(f"{job.stdout}{part}") if job.stdout else folder / "stdout"
    stderr = Path(f"{job.stderr}{part}") if job.stderr else (stdout if job.stdout else folder / "stderr")
    return stdout, stderr


def summary(statuses: Sequence[JobStatus]) -> JobStatus:
    """The status of an array as a whole: its least advanced element's while it runs, its worst one's at the end."""
    counts: dict[str, int] = {}
    for status in statuses:
        counts[status.state.name] = counts.get(status.state.name, 0) + 1
    text = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
    running = [status for status in statuses if not status.final]
    if running:
        active = any(status.state is JobState.ACTIVE or status.final for status in statuses)
        state = JobState.ACTIVE if active else max(status.state for status in statuses)
        return JobStatus(state, message=text)
    worst = next((s for s in statuses if s.state is JobState.FAILED), None)
    worst = worst or next((s for s in statuses if s.state is JobState.CANCELED), None)
    return replace(worst or statuses[0], message=text)


def _alike(job: Job) -> str:
    return repr(
        replace(
            job, command=("x",), name="", directory=Path("/"), environment={}, stdin=None, stdout=None, stderr=None
        )
    )
