"""Submits the jobs of an acceptance, waits for them, and cancels what is left over."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ...errors import Ambiguous, Error, Rejected
from ...jobs.queue_load import jobs_in_queue
from ...signals import received_signal, registered, should_exit
from ...states import JobState, JobStatus
from ..job_table import JobTable, Selection
from ..output import Renderer, length
from ..output_stream import Spinner
from .results import Result, Verdict
from .trials import OF_QUEUE, Trial

if TYPE_CHECKING:
    from ...jobs.batch import BatchSchedulerExecutor

_END_S = 60.0  # that jobs which were cancelled at the end may take to be gone


class Session:
    """Runs trials, all at once as far as the queues take them, and keeps their results."""

    def __init__(
        self, out: Renderer, table: JobTable, executor: BatchSchedulerExecutor, trials: Sequence[Trial]
    ) -> None:
        self.out, self.table, self.executor = out, table, executor
        self.waiting, self.open = list(trials), list[Trial]()
        self._results: dict[Trial, list[Result]] = {trial: [] for trial in trials}
        self.signal: int | None = None
        self._full: set[str] = set()  # queues that take no more of our jobs until one ends
        self._closed: set[str] = set()  # queues, or node types in them, that were refused to the smallest job
        self._unknown: list[str] = []  # jobs that the manager may have
        self._spinner = Spinner(sys.stderr, quiet=out.json)

    def run(self, timeout_s: float) -> None:
        """Until all trials have ended, the time is up, or a signal comes. Nothing is left over."""
        try:
            with registered(on_second=self._leave):
                self._run(time.monotonic() + timeout_s)
                self.signal = received_signal() if should_exit() else None
            why = "when it was interrupted" if self.signal else f"after {length(timeout_s)}"
            for trial in [*self.open, *self.waiting]:
                self._keep(trial, trial.unfinished(why))
        finally:
            self._spinner.clear()
            self._clear_up()

    @property
    def results(self) -> list[Result]:
        """Those that are known, in the order of the trials."""
        return [result for results in self._results.values() for result in results]

    def _run(self, deadline: float) -> None:
        while (self.waiting or self.open) and not should_exit() and time.monotonic() < deadline:
            self._submit()
            self._cancel([trial for trial in self.open if trial.to_cancel and not trial.cancel_sent])
            if self.open:
                self._wait(self._news, max(0.0, deadline - time.monotonic()))
            self._collect()

    # ---- submitting ----------------------------------------------------------------------------------------

    def _submit(self) -> None:
        """Submit what the queues take."""
        for trial in list(self.waiting):
            if should_exit():
                return
            if not self._closed.isdisjoint((trial.target.name, trial.target.where)):
                self._end(trial, trial.not_asked_for())
                continue
            if not self._has_room(trial):
                continue
            self._draw(f"submitting {trial.job.name}")
            trial.began = time.monotonic()
            try:
                trial.submission = self.executor.submit(trial.job)
            except Rejected as error:
                if error.limit == "account limits" and self._ours(trial.target.name):
                    self._full.add(trial.target.name)
                    continue
                if trial.smallest:
                    self._closed.add(trial.target.name if error.limit in OF_QUEUE else trial.target.where)
                self._refused(trial, error)
            except Error as error:
                if isinstance(error, Ambiguous) and error.job_id:
                    self._unknown.append(error.job_id)
                self._refused(trial, error)
            else:
                self.waiting.remove(trial)
                self.open.append(trial)

    def _refused(self, trial: Trial, error: Error) -> None:
        self._end(trial, trial.refused(error))

    def _end(self, trial: Trial, verdicts: Iterator[Verdict]) -> None:
        """A trial without a job."""
        self.waiting.remove(trial)
        trial.ended = time.monotonic()
        self._keep(trial, verdicts)

    def _has_room(self, trial: Trial) -> bool:
        """Whether the queue takes one more job; where none of ours is there, the manager is to say so."""
        name, queue = trial.target.name, trial.target.queue
        if not self._ours(name):
            return True
        cap = queue.jobs.queued if queue is not None else None
        return name not in self._full and (cap is None or jobs_in_queue(self.executor, name) < cap)

    def _ours(self, queue: str) -> list[Trial]:
        return [trial for trial in self.open if trial.target.name == queue]

    # ---- waiting -------------------------------------------------------------------------------------------

    def _wait(self, done: Callable[[Sequence[JobStatus]], bool], timeout_s: float) -> bool:
        return self.executor.wait_until(self._parts(self.open), done, timeout=timeout_s)

    def _parts(self, trials: Sequence[Trial]) -> Selection:
        return self.table.find([trial.submission.id for trial in trials if trial.submission is not None])

    def _news(self, statuses: Sequence[JobStatus]) -> bool:
        """Note the statuses; whether there is something to do."""
        for trial, status in zip(self.open, statuses, strict=True):
            trial.status = status
        queued = sum(status.state < JobState.ACTIVE for status in statuses)
        running = sum(status.state is JobState.ACTIVE for status in statuses)
        self._draw(f"{queued} jobs queued, {running} running, {len(self.results)} results")
        return any(trial.status.final or (trial.to_cancel and not trial.cancel_sent) for trial in self.open)

    def _collect(self) -> None:
        for trial in [trial for trial in self.open if trial.status.final]:
            self.open.remove(trial)
            self._full.discard(trial.target.name)
            trial.ended = time.monotonic()
            if trial.submission is not None:
                self._keep(trial, trial.verdicts(trial.submission))

    def _keep(self, trial: Trial, verdicts: Iterator[Verdict]) -> None:
        job = trial.submission
        ids = (job.id, job.native_id) if job is not None else ("", "")
        seconds = round(trial.seconds, 1)
        self._results[trial] += [Result(verdict, trial.where, seconds, *ids) for verdict in verdicts]

    def _draw(self, text: str) -> None:
        self._spinner.draw(text)

    # ---- cancelling ----------------------------------------------------------------------------------------

    def _cancel(self, trials: Sequence[Trial]) -> None:
        """Cancel jobs, with one command. If the manager does not answer, it is tried again at the next news."""
        if not trials:
            return
        try:
            self.executor.cancel_found(self._parts(trials))
        except Error as error:
            self.out.note(f"{error.message}: it is tried again")
            should_exit(1.0)
            return
        for trial in trials:
            trial.cancel_sent = True

    def _clear_up(self) -> None:
        """Cancel all jobs that have not ended, and wait until they are gone."""
        ids = [trial.submission.id for trial in self.open if trial.submission is not None] + self._unknown
        if not ids:
            return
        self.out.note(f"cancelling {len(ids)} {'job' if len(ids) == 1 else 'jobs'} that have not ended")
        with registered(on_second=self._leave):
            try:
                self.executor.cancel(ids)
                gone = not self.open or self._wait(lambda statuses: all(status.final for status in statuses), _END_S)
            except Error as error:
                self.out.note(error.message)
                gone = False
        if not gone or self._unknown:
            self.out.note(
                f"not seen to end: {', '.join(ids)}; `psij-run status` shows them, `psij-run cancel` ends them"
            )

    def _leave(self) -> None:
        """Before a second Ctrl-C ends us at once: tell what is left behind."""
        ids = [trial.submission.id for trial in self.open if trial.submission is not None]
        with suppress(OSError):
            sys.stderr.write(f"psij-run: still there: {' '.join(ids)}; `psij-run cancel` ends them\n")
