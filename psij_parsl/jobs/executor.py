"""The interface of all executors (submit, status, cancel, wait, ...), and the handle of a submitted job."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, Union, Unpack

from ..errors import Error, InvalidRequest, JobFailed, LostJob, nearest
from ..states import EndReason, JobState, JobStatus
from ..system.files import end_of_log
from ..system.id_ranges import format_ranges

if TYPE_CHECKING:
    from ..job import Job
    from ..job_texts import JobOptions
    from ..platforms.usage import Usage
    from .future_watch import FutureWatch

_MAX_RANGES = 20  # of failed elements that an error names
JobName: TypeAlias = Union[str, "Submission"]
"""What identifies a job: an id, ours or the manager's, or its handle."""
Command: TypeAlias = Sequence[str | os.PathLike[str]]
Callback = Callable[["Submission", JobStatus], None]


class JobExecutor(ABC):
    """Submits jobs, gets their statuses, waits for them and cancels them.

    Jobs are identified by their handles, or by ids: ours (`Submission.id`) or the manager's. States follow the PSI/J
    specification: NEW < QUEUED < ACTIVE < COMPLETED, FAILED or CANCELED, never back. Every method may be called from
    any thread.
    """

    @abstractmethod
    def submit(self, job: Job | Command, **fields: Unpack[JobOptions]) -> Submission:
        """Submit a job: a `Job`, or the words of a command. The fields are those of `Job`, in place of its own.

        Raises `InvalidRequest`, `Rejected`, `Unavailable`: then nothing was submitted.
        """

    def submit_many(self, jobs: Sequence[Job | Command], **fields: Unpack[JobOptions]) -> list[Submission]:
        """Submit several jobs. A platform with job arrays submits similar jobs as one array."""
        return [self.submit(job, **fields) for job in jobs]

    @abstractmethod
    def resubmit(self, job: JobName, *, failed_only: bool = False, **changes: Unpack[JobOptions]) -> Submission:
        """Submit a job that has ended once more: the same command, files and environment as it had then.

        `changes` are fields of `Job`: `wall_time_min="2h"`; variables and parameters are added to those of the job.
        `failed_only`: of an array only the elements that failed, with their indices. It comes after those alone of its
        dependencies, or of later attempts at them, that have not ended. Raises `InvalidRequest`.
        """

    @abstractmethod
    def status(self, ids: Sequence[JobName]) -> list[JobStatus]:
        """The statuses of jobs, in order. Raises `UnknownJob` for an id of no job."""

    @abstractmethod
    def usage(self, job: JobName) -> Usage:
        """What a job has used of the CPU time and memory that it holds, as far as that is known; its manager is asked.

        Of an array these are the figures of the elements that have ended.
        """

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

    @cached_property
    def futures(self) -> FutureWatch:
        """What follows jobs for their handles."""
        from .future_watch import FutureWatch

        return FutureWatch(lambda ids, _: self.status(ids))


#: What a future keeps of its own, by name.
_OF_FUTURE = frozenset(vars(Future()))
_beginning = threading.Lock()


@dataclass(eq=False, repr=False)
class Submission(Future[Any]):
    """A submitted job. `id` is ours, `native_id` the manager's, `folder` holds its script, output and exit file; `array`
    are its indices if it is a whole array.

    It is a future of Python as well: `concurrent.futures` takes it, `asyncio` awaits it, and an app of Parsl that is
    given one starts when the job has ended. It can be pickled; in another process it is a handle of the same job, and
    equal to this one.
    """

    id: str
    native_id: str
    folder: Path
    name: str
    stdout: Path | None
    stderr: Path | None
    executor: JobExecutor
    manager_log: Path | None = None  # what the resource manager itself has written
    array: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self._end: JobStatus | None = None  # its last status
        self._failure: JobFailed | None = None  # what `result` raises
        self._unknown: Error | None = None  # why nothing can be known of it
        self._followed = False

    def __getattr__(self, name: str) -> Any:
        """What a future keeps of its own; it is made when it is first asked for, and then the job is followed."""
        if name not in _OF_FUTURE:
            hint = nearest(name, (known for known in dir(self) if not known.startswith("_")))
            raise AttributeError(f"a Submission has no attribute {name!r} ({hint})", name=name, obj=self)
        with _beginning:
            begins, self._followed = not self._followed, True
            if begins:
                super().__init__()
        if begins and self._end is None:
            self.executor.futures.add(self.id, self._ended)
        elif begins:
            self._resolve()
        return object.__getattribute__(self, name)

    def __repr__(self) -> str:
        return f"Submission(id={self.id!r}, native_id={self.native_id!r}, name={self.name!r})"

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Submission) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (tuple(getattr(self, item.name) for item in fields(self)), self._end)

    def __await__(self) -> Generator[Any, None, Any]:
        """The result of the job, without blocking the event loop. To stop awaiting it does not cancel the job."""
        return self._awaited().__await__()

    async def _awaited(self) -> Any:
        import asyncio

        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def wake(_: object) -> None:
            with suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(ended.set)

        self.add_done_callback(wake)
        await ended.wait()
        return await loop.run_in_executor(None, self.result)

    # ---- how it is -----------------------------------------------------------------------------------------

    def status(self) -> JobStatus:
        """The status of the job as of the last answer of the manager."""
        if self._end is None:
            status = self.executor.status([self.id])[0]
            if not status.final:
                return status
            self._end = status
        return self._end

    def done(self) -> bool:
        """Whether the job has ended, well or not."""
        return self._unknown is not None or self.status().final

    def running(self) -> bool:
        """Whether the job has started and not ended."""
        return self._unknown is None and self.status().state is JobState.ACTIVE

    def cancelled(self) -> bool:
        """Whether somebody has cancelled the job, and it has ended."""
        return self._unknown is None and self.status().state is JobState.CANCELED

    def elements(self) -> Sequence[Submission]:
        """Handles of an array's elements, in the order of their indices; none of a job that is no array."""
        return self.executor.elements(self.id) if self.array else []

    def usage(self) -> Usage:
        """What the job has used of the CPU time and memory that it holds: see `JobExecutor.usage`."""
        return self.executor.usage(self.id)

    # ---- waiting and acting --------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> JobStatus:
        """Wait for the end of the job, for at most `timeout` seconds, and return its status."""
        check_timeout(timeout)
        if self._end is None:
            self.executor.wait([self.id], timeout)
        return self.status()

    def resubmit(self, *, failed_only: bool = False, **changes: Unpack[JobOptions]) -> Submission:
        """Submit it once more: see `JobExecutor.resubmit`. This handle stays that of the earlier submission."""
        return self.executor.resubmit(self, failed_only=failed_only, **changes)

    def cancel(self) -> bool:
        """Cancel the job; False if it has ended already."""
        return self.executor.cancel([self.id])[0]

    def result(self, timeout: float | None = None) -> Any:
        """Wait for its end and return what it printed to stdout: a text, and of an array the list of its elements'
        texts, in the order of their indices.

        Raises `TimeoutError`, or `JobFailed` with the reason, a hint, the log's path and the tail of stderr: of an
        array with the elements that did not end well, and the stderr of the first that ended as badly as the whole.
        """
        error = self.exception(timeout)
        if error is not None:
            raise error
        return [_printed(element) for element in self.elements()] if self.array else _printed(self)

    def exception(self, timeout: float | None = None) -> Error | None:
        """Wait for its end and return the `JobFailed` that `result` would raise; None if it ended well.

        Raises `TimeoutError` if it has not ended after `timeout` seconds, or a signal asks this process to end.
        """
        if self._unknown is not None:
            return self._unknown
        if not (status := self.wait(timeout)).final:
            when = "while a signal asks this process to end" if timeout is None else f"after {timeout} s"
            raise TimeoutError(f"job {self.id} is still {status.state.name} {when}")
        if self._failure is None and status.state is not JobState.COMPLETED:
            self._failure = _failure_of(self, status)
        return self._failure

    def _ended(self, end: JobStatus | Error) -> None:
        if isinstance(end, Error):
            self._unknown = end
        else:
            self._end = end
        self._resolve()

    def _resolve(self) -> None:
        """Tell those who wait for it. They ask `result` and `exception` for more than whether it went well."""
        if self._end is not None and self._end.state is JobState.COMPLETED:
            self.set_result(None)
        else:
            self.set_exception(self._unknown or JobFailed(f"job {self.id} did not end well", status=self._end))


def _restored(values: tuple[Any, ...], end: JobStatus | None) -> Submission:
    submission = Submission(*values)
    submission._end = end
    return submission


def check_timeout(timeout: Any) -> None:
    """Raises `InvalidRequest` for what is no number of seconds."""
    if timeout is not None and not isinstance(timeout, Real):
        raise InvalidRequest(f"timeout={timeout!r} is no number", hint="pass seconds, e.g. timeout=60")


def named(jobs: Any) -> list[str]:
    """The ids of jobs that are given as ids or handles; one job may stand for a list of one. Raises `InvalidRequest`."""
    if is_one(jobs):
        return [named_one(jobs)]
    if not isinstance(jobs, Iterable):
        raise InvalidRequest(
            f"{jobs!r} names no job", hint="pass an id or a handle that submit gave, or a list of them"
        )
    return [named_one(job) for job in jobs]


def is_one(jobs: Any) -> TypeGuard[JobName]:
    """Whether this is one id or handle, and no list of them."""
    return isinstance(jobs, str | Submission)


def named_one(job: Any) -> str:
    """The id of one job that is given as id or handle. Raises `InvalidRequest` if it is neither."""
    if isinstance(job, Submission):
        return job.id
    if not isinstance(job, str):
        raise InvalidRequest(f"{job!r} names no job", hint="pass an id, which is text, or a handle that submit gave")
    return job


def _printed(submission: Submission) -> str:
    path = submission.stdout
    return path.read_text(errors="surrogateescape") if path and path.is_file() else ""


def _failure_of(submission: Submission, status: JobStatus) -> JobFailed:
    elements = submission.elements()
    ends = submission.executor.status(elements) if elements else []
    failed = [(job, end) for job, end in zip(elements, ends, strict=True) if end.state is not JobState.COMPLETED]
    first = next((job for job, end in failed if end.state is status.state), submission)
    return failure(submission, status, first, [job for job, _ in failed])


def failure(
    submission: Submission, status: JobStatus, element: Submission | None = None, failed: Sequence[Submission] = ()
) -> JobFailed:
    """Make the error for a job that has failed; of an array it names `failed`, and shows the output of `element`."""
    kind = LostJob if status.reason is EndReason.LOST else JobFailed
    shown = element or submission
    text = f"job {submission.id} ({submission.name}) ended {status.describe()}"
    if len(failed) > 1:
        text += f"; elements {_indices(failed)} did not end well"
    if shown.id != submission.id:
        text += f"; the first such element is {shown.id}"
    for path in (shown.stderr, shown.manager_log):
        if path is not None and (last := end_of_log(path)):
            text += f"\n--- the end of {path}\n{last}"
    hint = status.reason.hint if status.reason else f"its folder is {shown.folder}"
    return kind(text, hint=hint, status=status, elements=tuple(failed))


def _indices(elements: Sequence[Submission]) -> str:
    """The indices of elements as ranges, the first of very many."""
    ranges = format_ranges(int(element.id.rpartition("_")[2]) for element in elements).split(",")
    more = f" and {len(ranges) - _MAX_RANGES} more ranges" if len(ranges) > _MAX_RANGES else ""
    return ",".join(ranges[:_MAX_RANGES]) + more
