"""Waits for several jobs at once, each as it ends. What `concurrent.futures` has by these names takes handles, too."""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from concurrent import futures
from typing import Any, Generic, NamedTuple, TypeVar

from ..errors import InvalidRequest, nearest
from ..signals import should_exit
from .executor import Submission, check_timeout

F = TypeVar("F", bound="futures.Future[Any]")

_LOOK_S = 0.25  # how often it is looked whether a signal asks this process to end
_WHEN = (futures.FIRST_COMPLETED, futures.FIRST_EXCEPTION, futures.ALL_COMPLETED)


class Waited(NamedTuple, Generic[F]):
    """What `wait` has waited for: the jobs that have ended, and the others."""

    done: set[F]
    not_done: set[F]


def as_completed(jobs: Iterable[F], timeout: float | None = None) -> Iterator[F]:
    """The jobs, each when it has ended, those first that have ended already.

    An array is one of them, and its elements are if you pass `array.elements()`. Other futures of Python may be among
    them. Raises `TimeoutError` if `timeout` seconds pass first, or a signal asks this process to end.
    """
    waited_for = _futures(jobs)
    check_timeout(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    return _as_completed(waited_for, deadline)


def _as_completed(waited_for: list[F], deadline: float | None) -> Iterator[F]:
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for job in waited_for:
        job.add_done_callback(ended.put)
    going = {*waited_for}
    while going:
        job = _next(ended, deadline, going, len(waited_for))
        going.discard(job)
        yield job


def _next(ended: queue.SimpleQueue[Any], deadline: float | None, going: Collection[Any], all_: int) -> Any:
    while True:
        left = _LOOK_S if deadline is None else max(0.0, min(_LOOK_S, deadline - time.monotonic()))
        try:
            return ended.get(timeout=left)
        except queue.Empty:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(_complaint(going, all_)) from None
            if should_exit():
                raise TimeoutError(f"{_complaint(going, all_)}, and a signal asks this process to end") from None


def _complaint(going: Collection[Any], all_: int) -> str:
    """How many have not ended, and how many of these wait and run, as they were last seen."""
    seen = (job.executor.futures.seen.get(job.id) for job in going if isinstance(job, Submission))
    states = Counter(status.state for status in seen if status is not None)
    how = ", ".join(f"{number} {state.name}" for state, number in sorted(states.items()))
    return f"{len(going)} of {all_} jobs have not ended" + (f" ({how})" if how else "")


def wait(jobs: Iterable[F], timeout: float | None = None, return_when: str = futures.ALL_COMPLETED) -> Waited[F]:
    """Wait for jobs, and return those that have ended and those that have not.

    `return_when` is FIRST_COMPLETED, FIRST_EXCEPTION (the first that did not end well) or ALL_COMPLETED, which
    `concurrent.futures` names. Returns before that if `timeout` seconds pass, or a signal asks this process to end.
    """
    if return_when not in _WHEN:
        raise InvalidRequest(
            f"return_when={return_when!r} is none of its values", hint=nearest(str(return_when), _WHEN)
        )
    waited_for = _futures(jobs)
    check_timeout(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = _LOOK_S if deadline is None else max(0.0, min(_LOOK_S, deadline - time.monotonic()))
        done, not_done = futures.wait(waited_for, left, return_when)
        failed = return_when == futures.FIRST_EXCEPTION and any(job.exception() is not None for job in done)
        enough = not not_done or failed or (bool(done) and return_when == futures.FIRST_COMPLETED)
        if enough or (deadline is not None and time.monotonic() >= deadline) or should_exit():
            return Waited({job for job in waited_for if job in done}, {job for job in waited_for if job in not_done})


def _futures(jobs: Iterable[F]) -> list[F]:
    if isinstance(jobs, str | futures.Future) or not isinstance(jobs, Iterable):
        raise InvalidRequest(f"{jobs!r} is no list of jobs", hint="pass a list of the handles that submit gave")
    waited_for = [*jobs]
    for job in waited_for:
        if not isinstance(job, futures.Future):
            hint = f"pass executor.submission({job!r})" if isinstance(job, str) else "pass what submit gave"
            raise InvalidRequest(f"{job!r} is no handle of a job", hint=hint)
    return list(dict.fromkeys(waited_for))
