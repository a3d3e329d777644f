"""`run`: a job in the foreground. Its output is ours, its end is ours, Ctrl-C is its cancel."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

import typer

from ...errors import Ambiguous, Error
from ...jobs.executor import Submission
from ...jobs.job_folder import outputs
from ...signals import kept, received_signal, registered, should_exit
from ...states import JobState, JobStatus
from ..app import OURS
from ..arguments import CommandWords
from ..job_table import Found, JobRow, JobTable, exit_status, failure_error
from ..options import Chosen, job_flags
from ..output import Renderer
from ..output_stream import Pump, Sink, Spinner, Tail
from ..stdio import unwritten
from .job_actions import all_final
from .submit import Order, order

_MOST_NOTES = 5
_ASK_AFTER_S = (0.2, 1.0, 3.0, None)  # seconds between looks at a job that is being cancelled


@job_flags
def run(ctx: typer.Context, chosen: Chosen, command: CommandWords = None) -> int:
    """Run a job in the foreground.

    Waits for it, shows its output as it comes, and exits with its code.

    Ctrl-C cancels the job; a second one leaves at once.
    """
    out: Renderer = ctx.obj
    table = JobTable()
    ordered = order(ctx, table, chosen, command)
    return _Foreground(out, table, ordered, verbose="verbose" in chosen).run()


class _Foreground:
    """One job that we stand for."""

    def __init__(self, out: Renderer, table: JobTable, ordered: Order, *, verbose: bool) -> None:
        self.out, self.table, self.order, self.verbose = out, table, ordered, verbose
        self.executor = ordered.target.executor
        self.submission: Submission | None = None
        self.found: Found = ()
        self.statuses: Sequence[JobStatus] = ()
        self.told_of = 0
        self.spinner = Spinner(sys.stderr, quiet=out.json)
        self.pump = Pump((), self.spinner)

    def run(self) -> int:
        with registered(on_first=self._heard, on_second=self._last_words):
            job = self.order.job
            old = [Tail(path) for path in (job.stdout, job.stderr) if path is not None and not job.array]
            if self.spinner.active:
                self.spinner.draw(f"submitting {job.display_name}")
            try:
                self.submission = self.order.submit()
            except Ambiguous as error:
                if not should_exit() or not error.job_id:
                    raise
                return self._cancel_unknown(error.job_id)
            finally:
                self.spinner.clear()
            if self.verbose:
                self.out.note(
                    f"job {self.submission.id}; {self.executor.platform.name} calls it {self.submission.native_id};"
                    f" its folder is {self.submission.folder}"
                )
            self.found = self.table.find([self.submission.id], elements=True)
            self.pump = Pump(self._pairs({tail.path: tail for tail in old}), self.spinner)
            self.pump.start()
            try:
                if not self.executor.wait_until(self.found, self._done) or self.pump.error:
                    self._cancel()
            finally:
                self.pump.waiting = None
                self.pump.finish()
            if self.pump.error:
                raise self.pump.error
            self._tell_of_lost()
            return self._ended() or (OURS if self.pump.lost else 0)

    def _pairs(self, old: dict[os.PathLike[str], Tail]) -> list[tuple[Tail, Sink]]:
        pairs = []
        for entry, key in self.found:
            stdout, stderr = outputs(entry.element_folder(key), key, self.order.job)
            label = f"[{key}] " if key else ""
            pairs.append((old.get(stdout) or Tail(stdout), Sink(sys.stdout, label)))
            if stderr != stdout:
                pairs.append((old.get(stderr) or Tail(stderr), Sink(sys.stderr, label)))
        return pairs

    def _done(self, statuses: Sequence[JobStatus]) -> bool:
        self.statuses = statuses
        waiting = [status for status in statuses if status.state < JobState.ACTIVE]
        self.pump.waiting = self._words(waiting[0]) if len(waiting) == len(statuses) else None
        if self.pump.waiting is None:
            self.spinner.clear()
        self._tell_of_lost()
        return all_final(statuses) or self.pump.error is not None

    def _tell_of_lost(self) -> None:
        """Once, of a stream of ours that takes no more: the job is not ended for that, for its files have it all."""
        for sink, error in self.pump.lost[self.told_of :]:
            self.told_of += 1
            job = self.submission.id if self.submission else ""
            ended = all_final(self.statuses)
            told = unwritten(
                error,
                f"job {job} {'has ended' if ended else 'runs on'}",
                f"`psij-run logs {'--stderr ' if sink.name == 'stderr' else ''}{job}` shows what it {'wrote' if ended else 'writes'}",
                stream=sink.name,
            )
            told.exit_status = OURS
            self.out.error(told)

    def _words(self, status: JobStatus) -> str:
        said = "held" if status.held else status.message
        reason = f" ({said})" if said and said != "None" else ""
        return f"job {self.submission.id if self.submission else ''} {status.state.name}{reason}"

    # ---- leaving early -------------------------------------------------------------------------------------

    def _heard(self) -> None:
        """The first signal: what it does is said at once where the manager may take long to let us do it."""
        if self.submission is None:
            _say("the job is cancelled once it is submitted; Ctrl-C once more leaves at once")

    def _cancel_unknown(self, job_id: str) -> int:
        """Nobody knows yet whether the manager has the job: see that it is cancelled if it turns out to."""
        self.executor.cancel([job_id])
        name = self.executor.platform.name
        self.out.note(
            f"nobody knows yet whether {name} has job {job_id}: if it has, it is cancelled when it shows up"
        )
        return 128 + (received_signal() or signal.SIGINT)

    def _cancel(self) -> None:
        """After Ctrl-C, or when nobody reads our output any more: cancel the job and wait for its end."""
        if self.submission is None or all_final(self.statuses):
            return
        self.pump.waiting = None
        self.spinner.clear()
        if self.pump.error is None:
            self.out.note(f"cancelling job {self.submission.id}; Ctrl-C once more leaves at once")
        with registered():  # the signal that came is used up; the next one is the second
            signal.signal(signal.SIGINT, self._leave)
            if not kept(signal.SIGHUP):
                signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closing terminal's comes twice: its shell's as well
            try:
                self.executor.cancel_found(self.table.find([self.submission.id]))
            except Error:
                self._last_words()
                raise
            for patience_s in _ASK_AFTER_S:  # a job that has not started leaves no sign of its end: ask
                if self.executor.wait_until(self.found, self._done_cancelling, timeout=patience_s):
                    return
                if should_exit():
                    self._leave(received_signal() or signal.SIGTERM, None)
                self.executor.statuses(self.found, urgent=True)

    def _done_cancelling(self, statuses: Sequence[JobStatus]) -> bool:
        self.statuses = statuses
        return all_final(statuses)

    def _leave(self, number: int, frame: FrameType | None) -> None:
        self._last_words()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _last_words(self) -> None:
        """What is still there when we leave at once."""
        if self.submission is None:
            text = "left while the job was being submitted; `psij-run list` shows whether it was"
        else:
            still = [s.state.name for s in self.statuses if not s.final] or ["QUEUED"]
            job = self.submission
            text = (
                f"job {job.id} ({self.executor.platform.name} {job.native_id}) is still {still[0]};"
                f" `psij-run cancel {job.id}` ends it"
            )
        _say(text)

    # ---- its end -------------------------------------------------------------------------------------------

    def _ended(self) -> int:
        signalled = received_signal() if should_exit() else None
        entries = self.table.journal.some({entry.id for entry, _ in self.found})
        rows = [
            JobRow(entries.get(entry.id, entry), key, status, entry.native)
            for (entry, key), status in zip(self.found, self.statuses, strict=True)
        ]
        bad = [row for row in rows if row.status.state is not JobState.COMPLETED]
        for row in bad[:_MOST_NOTES]:
            self.out.error(self._error(row))
        if len(bad) > _MOST_NOTES:
            self.out.note(f"and {len(bad) - _MOST_NOTES} more of {len(rows)}")
        if signalled and all(row.status.state is JobState.CANCELED for row in bad):
            return 128 + signalled
        return max(exit_status(row.status) for row in rows)

    def _error(self, row: JobRow) -> Error:
        error = failure_error(row)
        error.exit_status = exit_status(row.status)
        return error


def _say(text: str) -> None:
    """A word from within a signal handler, which may have interrupted another one."""
    with suppress(OSError):
        os.write(2, f"psij-run: {text}\n".encode())
