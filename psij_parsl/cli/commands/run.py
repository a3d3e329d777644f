"""`run`: a job in the foreground. Its output and its end are ours, and Ctrl-C cancels it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

from ...errors import Ambiguous, Error
from ...jobs.executor import Submission
from ...jobs.job_folder import outputs
from ...signals import kept, received_signal, registered, should_exit
from ...states import JobState, JobStatus
from ..command import OWN_ERROR, Command, Invocation
from ..job_flags import JOB_COMMAND, JOB_FLAGS
from ..job_input import stdin_waits
from ..job_outcome import all_final, exit_status, failure_error
from ..job_request import JobRequest, job_request
from ..job_row import JobRow
from ..job_table import JobTable, Selection
from ..output import Renderer
from ..output_stream import Pump, Sink, Spinner, Tail
from ..stdio import unwritten

_MOST_ERRORS = 5  # reported of an array
_POLL_AFTER_S = (0.2, 1.0, 3.0, None)  # seconds between polls of a job that is being cancelled


def _run(out: Renderer, invocation: Invocation) -> int:
    table = JobTable()
    request = job_request(out, table, invocation)
    request.take_input(out)
    return _Foreground(out, table, request, verbose="verbose" in invocation.texts).run()


class _Foreground:
    """One job in the foreground."""

    def __init__(self, out: Renderer, table: JobTable, request: JobRequest, *, verbose: bool) -> None:
        self.out, self.table, self.request, self.verbose = out, table, request, verbose
        self.executor = request.target.executor
        self.submission: Submission | None = None
        self.jobs: Selection = ()
        self.statuses: Sequence[JobStatus] = ()
        self.reported_streams = 0  # of our own that cannot be written
        self.spinner = Spinner(sys.stderr, quiet=out.json)
        self.pump = Pump((), self.spinner)

    def run(self) -> int:
        with registered(on_first=self._first_signal, on_second=self._report_leaving):
            job = self.request.job
            existing = [Tail(path) for path in (job.stdout, job.stderr) if path is not None and not job.array]
            if self.spinner.active:
                self.spinner.draw(f"submitting {job.display_name}")
            try:
                self.submission = self.request.submit()
            except Ambiguous as error:
                if not should_exit() or not error.job_id:
                    raise
                return self._cancel_unknown(error.job_id)
            finally:
                self.spinner.clear()
            if self.verbose:
                self.out.note(
                    f"job {self.submission.id}; {self.executor.platform.name} id {self.submission.native_id};"
                    f" folder {self.submission.folder}"
                )
            if job.stdin is None and stdin_waits():
                self.out.note(
                    "what waits on stdin is not read: -i - hands it on to the job, and </dev/null says that it is not for it"
                )
            self.jobs = self.table.find([self.submission.id], elements=True)
            self.pump = Pump(self._pairs({tail.path: tail for tail in existing}), self.spinner)
            self.pump.start()
            try:
                if not self.executor.wait_until(self.jobs, self._done) or self.pump.error:
                    self._cancel()
            finally:
                self.pump.waiting = None
                self.pump.finish()
            if self.pump.error:
                raise self.pump.error
            self._report_lost_streams()
            return self._report_end() or (OWN_ERROR if self.pump.lost else 0)

    def _pairs(self, existing: dict[os.PathLike[str], Tail]) -> list[tuple[Tail, Sink]]:
        pairs = []
        for entry, key in self.jobs:
            stdout, stderr = outputs(entry.element_folder(key), key, self.request.element(key))
            label = f"[{key}] " if key else ""
            pairs.append((existing.get(stdout) or Tail(stdout), Sink(sys.stdout, label)))
            if stderr != stdout:
                pairs.append((existing.get(stderr) or Tail(stderr), Sink(sys.stderr, label)))
        return pairs

    def _done(self, statuses: Sequence[JobStatus]) -> bool:
        self.statuses = statuses
        waiting = [status for status in statuses if status.state < JobState.ACTIVE]
        self.pump.waiting = self._waiting_text(waiting[0]) if len(waiting) == len(statuses) else None
        if self.pump.waiting is None:
            self.spinner.clear()
        self._report_lost_streams()
        return all_final(statuses) or self.pump.error is not None

    def _report_lost_streams(self) -> None:
        """Report each stream of ours that cannot be written, once. The job goes on: its files hold the output."""
        for sink, error in self.pump.lost[self.reported_streams :]:
            self.reported_streams += 1
            job = self.submission.id if self.submission else ""
            ended = all_final(self.statuses)
            option, verb = "--stderr " if sink.name == "stderr" else "", "wrote" if ended else "writes"
            self.out.error(
                unwritten(
                    error,
                    f"job {job} {'has ended' if ended else 'runs on'}",
                    f"`psij-run logs {option}{job}` shows what it {verb}",
                    stream=sink.name,
                ),
                exit_code=OWN_ERROR,
            )

    def _waiting_text(self, status: JobStatus) -> str:
        message = "held" if status.held else self.executor.scheduler.in_words(status.message)
        reason = f" ({message})" if message and message != "None" else ""
        return f"job {self.submission.id if self.submission else ''} {status.state.name}{reason}"

    # ---- leaving early -------------------------------------------------------------------------------------

    def _first_signal(self) -> None:
        """Tell at once what the first signal does: during a submission the manager may take long."""
        if self.submission is None:
            _write_stderr("the job is cancelled once it is submitted; Ctrl-C once more leaves at once")

    def _cancel_unknown(self, job_id: str) -> int:
        """It is not known whether the manager has the job: cancel it as soon as it is found there."""
        self.executor.cancel([job_id])
        name = self.executor.platform.name
        self.out.note(
            f"it is not known yet whether {name} has job {job_id}: if so, the job is cancelled when {name} shows it"
        )
        return 128 + (received_signal() or signal.SIGINT)

    def _cancel(self) -> None:
        """Cancel the job and wait for its end: after Ctrl-C, or when the reader of our output has left."""
        if self.submission is None or all_final(self.statuses):
            return
        self.pump.waiting = None
        self.spinner.clear()
        if self.pump.error is None:
            self.out.note(f"cancelling job {self.submission.id}; Ctrl-C once more leaves at once")
        with registered():  # from here on, the next signal is the second one
            signal.signal(signal.SIGINT, self._leave)
            if not kept(signal.SIGHUP):
                signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closing terminal sends it twice: its shell does too
            try:
                self.executor.cancel_found(self.table.find([self.submission.id]))
            except Error:
                self._report_leaving()
                raise
            for timeout_s in _POLL_AFTER_S:  # a job that has not started writes no exit file: poll
                if self.executor.wait_until(self.jobs, self._done_cancelling, timeout=timeout_s):
                    return
                if should_exit():
                    self._leave(received_signal() or signal.SIGTERM, None)
                self.executor.statuses(self.jobs, urgent=True)

    def _done_cancelling(self, statuses: Sequence[JobStatus]) -> bool:
        self.statuses = statuses
        return all_final(statuses)

    def _leave(self, number: int, frame: FrameType | None) -> None:
        self._report_leaving()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _report_leaving(self) -> None:
        """Tell what is still there when we leave at once."""
        if self.submission is None:
            text = "left while the job was being submitted; `psij-run list` shows whether it was"
        else:
            states = [status.state.name for status in self.statuses if not status.final] or ["QUEUED"]
            job = self.submission
            text = (
                f"job {job.id} ({self.executor.platform.name} {job.native_id}) is still {states[0]};"
                f" `psij-run cancel {job.id}` ends it"
            )
        _write_stderr(text)

    # ---- the end -------------------------------------------------------------------------------------------

    def _report_end(self) -> int:
        signalled = received_signal() if should_exit() else None
        entries = self.table.journal.some({entry.id for entry, _ in self.jobs})
        rows = [
            JobRow(entries.get(entry.id, entry), key, status, entry.native)
            for (entry, key), status in zip(self.jobs, self.statuses, strict=True)
        ]
        failed = [row for row in rows if row.status.state is not JobState.COMPLETED]
        for row in failed[:_MOST_ERRORS]:
            self.out.error(failure_error(row), exit_code=exit_status(row.status))
        if len(failed) > _MOST_ERRORS:
            self.out.note(f"and {len(failed) - _MOST_ERRORS} more of {len(rows)}")
        if signalled and all(row.status.state is JobState.CANCELED for row in failed):
            return 128 + signalled
        return max(exit_status(row.status) for row in rows)


def _write_stderr(text: str) -> None:
    """Write from within a signal handler, which may have interrupted another write."""
    with suppress(OSError):
        os.write(2, f"psij-run: {text}\n".encode())


RUN = Command(
    "run",
    "Run a job in the foreground.",
    _run,
    JOB_FLAGS,
    JOB_COMMAND,
    details=(
        "Waits for the job, shows its output while it runs, and exits with its exit code.\n\n"
        "Ctrl-C cancels the job; a second Ctrl-C ends psij-run at once."
    ),
    examples=("psij-run run -N 2 -n 8 -t 30 -- ./solver input.dat", "psij-run run -q debug job.sh 7"),
    runs_program=True,
    foreground=True,
)
