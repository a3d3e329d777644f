"""The verbs of a job: what every executor can do, and the handle of a submitted job."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import JobFailed, LostJob
from .states import EndReason, JobState, JobStatus

if TYPE_CHECKING:
    from .job import Job

Callback = Callable[["Submission", JobStatus], None]
_TAIL_LINES = 20


class JobExecutor(ABC):
    """Submits jobs and tells how they are. Ids are ours (`Submission.id`) or the manager's own.

    States follow the PSI/J specification: NEW < QUEUED < ACTIVE < COMPLETED, FAILED or CANCELED, never back.
    Every method may be called from any thread.
    """

    @abstractmethod
    def submit(self, job: Job) -> Submission:
        """Submit one job. Raises `InvalidRequest`, `Rejected`, `Unavailable`: then nothing was submitted."""

    def submit_many(self, jobs: Sequence[Job]) -> list[Submission]:
        """Submit several; a platform that has job arrays sends those that are alike as one."""
        return [self.submit(job) for job in jobs]

    @abstractmethod
    def status(self, ids: Sequence[str]) -> list[JobStatus]:
        """The status of each, in order. Raises `UnknownJob` for an id that is nobody's."""

    @abstractmethod
    def cancel(self, ids: Sequence[str]) -> list[bool]:
        """Ask for each to be cancelled; False for one that has ended already. The end arrives as a status."""

    @abstractmethod
    def wait(self, ids: Sequence[str], timeout: float | None = None) -> bool:
        """Wait until all have ended. False if `timeout` seconds pass first, or a signal asks us to leave."""

    @abstractmethod
    def attach(self, native_id: str) -> Submission:
        """A handle for a job that the manager knows, whoever submitted it. Raises `UnknownJob`."""

    @abstractmethod
    def list(self) -> Sequence[Submission]:
        """Handles of the jobs that have not ended."""

    @abstractmethod
    def on_status(self, callback: Callback) -> Callable[[], None]:
        """Call `callback(submission, status)` at each change from now on; returns a call that stops it."""


@dataclass(frozen=True)
class Submission:
    """A submitted job. `id` is ours, `native_id` the manager's, `folder` holds its script, output and exit file."""

    id: str
    native_id: str
    folder: Path
    name: str
    stdout: Path | None
    stderr: Path | None
    executor: JobExecutor
    manager_log: Path | None = None  # what the resource manager itself has written

    def __repr__(self) -> str:
        return f"Submission(id={self.id!r}, native_id={self.native_id!r}, name={self.name!r})"

    def status(self) -> JobStatus:
        """Its status as of the last answer of the manager."""
        return self.executor.status([self.id])[0]

    def wait(self, timeout: float | None = None) -> JobStatus:
        """Wait for its end, for at most `timeout` seconds, and return its status."""
        self.executor.wait([self.id], timeout)
        return self.status()

    def cancel(self) -> bool:
        """Ask for it to be cancelled; False if it has ended already."""
        return self.executor.cancel([self.id])[0]

    def result(self, timeout: float | None = None) -> str:
        """Wait for its end and return what it printed to stdout.

        Raises `TimeoutError`, or `JobFailed` with the reason, a hint, the log's path and the tail of stderr.
        """
        status = self.wait(timeout)
        if not status.final:
            raise TimeoutError(f"job {self.id} is still {status.state.name} after {timeout} s")
        if status.state is JobState.COMPLETED:
            return self.stdout.read_text(errors="surrogateescape") if self.stdout and self.stdout.is_file() else ""
        raise failure(self, status)


def failure(submission: Submission, status: JobStatus) -> JobFailed:
    """The error that explains a bad end."""
    kind = LostJob if status.reason is EndReason.LOST else JobFailed
    text = f"job {submission.id} ({submission.name}) ended {status.describe()}"
    for path in (submission.stderr, submission.manager_log):
        if path is not None and (last := tail(path)):
            text += f"\n--- the end of {path}\n{last}"
    hint = status.reason.hint if status.reason else f"its folder is {submission.folder}"
    return kind(text, hint=hint, status=status)


def tail(path: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a file, read from its end; '' if there is none."""
    try:
        if not path.is_file():  # a pipe, which would be waited for
            return ""
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 16384))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
