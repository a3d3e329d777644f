"""The interface of all executors (submit, status, cancel, wait, ...), and the handle of a submitted job."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, Union

from ..errors import InvalidRequest, JobFailed, LostJob
from ..job import Job
from ..states import EndReason, JobState, JobStatus
from ..system.files import end_of_log

JobName: TypeAlias = Union[str, "Submission"]
"""What identifies a job: an id, ours or the manager's, or its handle."""
Callback = Callable[["Submission", JobStatus], None]


class JobExecutor(ABC):
    """Submits jobs, gets their statuses, waits for them and cancels them.

    Jobs are identified by their handles, or by ids: ours (`Submission.id`) or the manager's. States follow the PSI/J
    specification: NEW < QUEUED < ACTIVE < COMPLETED, FAILED or CANCELED, never back. Every method may be called from
    any thread.
    """

    @abstractmethod
    def submit(self, job: Job) -> Submission:
        """Submit one job. Raises `InvalidRequest`, `Rejected`, `Unavailable`: then nothing was submitted."""

    def submit_many(self, jobs: Sequence[Job]) -> list[Submission]:
        """Submit several jobs. A platform with job arrays submits similar jobs as one array."""
        return [self.submit(job) for job in jobs]

    @abstractmethod
    def status(self, ids: Sequence[JobName]) -> list[JobStatus]:
        """The statuses of jobs, in order. Raises `UnknownJob` for an id of no job."""

    @abstractmethod
    def cancel(self, ids: Sequence[JobName]) -> list[bool]:
        """Cancel jobs; False for a job that has ended already. The end of the others is seen in their statuses."""

    @abstractmethod
    def wait(self, ids: Sequence[JobName], timeout: float | None = None) -> bool:
        """Wait until all have ended. False if `timeout` seconds pass first, or a signal asks this process to end."""

    @abstractmethod
    def attach(self, native_id: str) -> Submission:
        """A handle for a job that the manager knows, whoever submitted it. Raises `UnknownJob`."""

    def elements(self, job: JobName) -> Sequence[Submission]:
        """Handles of an array's elements, in the order of their indices; none of a job that is no array."""
        return ()

    @abstractmethod
    def list(self) -> Sequence[Submission]:
        """Handles of the jobs that have not ended."""

    @abstractmethod
    def on_status(self, callback: Callback) -> Callable[[], None]:
        """Call `callback(submission, status)` at each change from now on; returns a function that stops that."""


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
        """The status of the job as of the last answer of the manager."""
        return self.executor.status([self.id])[0]

    def wait(self, timeout: float | None = None) -> JobStatus:
        """Wait for the end of the job, for at most `timeout` seconds, and return its status."""
        self.executor.wait([self.id], timeout)
        return self.status()

    def cancel(self) -> bool:
        """Cancel the job; False if it has ended already."""
        return self.executor.cancel([self.id])[0]

    def elements(self) -> Sequence[Submission]:
        """Handles of an array's elements, in the order of their indices; none of a job that is no array."""
        return self.executor.elements(self.id)

    def result(self, timeout: float | None = None) -> str:
        """Wait for its end and return what it printed to stdout; an array's elements one after the other.

        Raises `TimeoutError`, or `JobFailed` with the reason, a hint, the log's path and the tail of stderr: of an
        array those of the first element that ended as badly as the whole.
        """
        status = self.wait(timeout)
        if not status.final:
            raise TimeoutError(f"job {self.id} is still {status.state.name} after {timeout} s")
        elements = self.elements()
        if status.state is JobState.COMPLETED:
            return "".join(map(_printed, elements or [self]))
        ends = self.executor.status(elements) if elements else []
        first = next((job for job, end in zip(elements, ends, strict=True) if end.state is status.state), self)
        raise failure(self, status, first)


def named(jobs: Any) -> list[str]:
    """The ids of jobs that are given as ids or handles. Raises `InvalidRequest` if it is no list of these."""
    if isinstance(jobs, str | Submission) or not isinstance(jobs, Iterable):
        raise InvalidRequest(f"{jobs!r} is no list of jobs", hint=f"pass a list of ids or handles: [{jobs!r}]")
    return [named_one(job) for job in jobs]


def named_one(job: Any) -> str:
    """The id of one job that is given as id or handle. Raises `InvalidRequest` if it is neither."""
    if isinstance(job, Submission):
        return job.id
    if not isinstance(job, str):
        raise InvalidRequest(f"{job!r} names no job", hint="pass an id, which is text, or a handle that submit gave")
    return job


def a_job(job: Any) -> Job:
    """Check the type of a job to submit. Raises `InvalidRequest` if it is no `Job`."""
    if not isinstance(job, Job):
        raise InvalidRequest(
            f"a {type(job).__name__} is no Job", hint="make one of what it says: Job(command=['hostname'])"
        )
    return job


def _printed(submission: Submission) -> str:
    path = submission.stdout
    return path.read_text(errors="surrogateescape") if path and path.is_file() else ""


def failure(submission: Submission, status: JobStatus, element: Submission | None = None) -> JobFailed:
    """Make the error for a job that has failed; of an array it shows the output of `element`."""
    kind = LostJob if status.reason is EndReason.LOST else JobFailed
    shown = element or submission
    text = f"job {submission.id} ({submission.name}) ended {status.describe()}"
    if shown.id != submission.id:
        text += f"; the first such element is {shown.id}"
    for path in (shown.stderr, shown.manager_log):
        if path is not None and (last := end_of_log(path)):
            text += f"\n--- the end of {path}\n{last}"
    hint = status.reason.hint if status.reason else f"its folder is {shown.folder}"
    return kind(text, hint=hint, status=status)
