"""Parsl's executors, whose tasks say in their exceptions what became of the block that they were lost with.

Parsl's own say that a manager or a worker was lost, and on which host; why, only the provider knows.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import parsl.executors
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost
from parsl.jobs.states import JobState

if TYPE_CHECKING:
    from parsl.jobs.states import JobStatus

_WAIT_S = 15.0  # for the provider to see the end of a block whose manager was lost
_OF_WORKER = (
    "its process was killed: where memory ran out, give a block more (mem_per_node) or a node fewer workers"
    " (workers_per_node)"
)


class BlockLost(ManagerLost):
    """A task was lost with its block. It says which block, how that ended, and what to do."""

    def __init__(self, manager_id: bytes, hostname: str, why: str) -> None:
        super().__init__(manager_id, hostname)
        self.why = why

    def __str__(self) -> str:
        return f"{super().__str__()}: {self.why}"


class WorkerKilled(WorkerLost):
    """A task was lost with its worker. It says what is known of that, and what to do."""

    def __init__(self, worker_id: int, hostname: str, why: str) -> None:
        super().__init__(worker_id, hostname)  # type: ignore[no-untyped-call]
        self.why = why

    def __str__(self) -> str:
        return f"{super().__str__()}: {self.why}"  # type: ignore[no-untyped-call]


class _Waiting(NamedTuple):
    """A task that was lost with a block, and waits for the provider to see that block's end."""

    future: Future[Any]
    error: ManagerLost
    block: str
    deadline: float


class HighThroughputExecutor(parsl.executors.HighThroughputExecutor):
    """Parsl's, with tasks that explain their loss."""

    def start(self) -> None:
        """Parsl's: start the interchange."""
        self._block_of: dict[str, str] = {}  # by the manager's id
        self._waiting: deque[_Waiting] = deque()
        super().start()  # type: ignore[no-untyped-call]

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:  # type: ignore[override]
        """Parsl's: the future of a task."""
        inner: Future[Any] = super().submit(*args, **kwargs)
        outer: Future[Any] = Future()
        if hasattr(inner, "parsl_executor_task_id"):
            outer.parsl_executor_task_id = inner.parsl_executor_task_id  # type: ignore[attr-defined]
        inner.add_done_callback(partial(self._done, outer))
        return outer

    def status(self) -> dict[str, JobStatus]:
        """Parsl's: the status of each block. It is asked for all the time, so that lost managers are known here."""
        self._block_of |= {one["manager"]: one["block_id"] for one in self.connected_managers()}
        found: dict[str, JobStatus] = super().status()
        return found

    def handle_errors(self, status: dict[str, JobStatus]) -> None:
        """Parsl's: called after each look at the blocks."""
        super().handle_errors(status)
        self._answer(at_once=bool(getattr(self, "bad_state_is_set", False)))

    def shutdown(self, *args: Any, **kwargs: Any) -> Any:
        """Parsl's: the end of the executor."""
        if hasattr(self, "_waiting"):  # it was started
            self._answer(at_once=True)
        return super().shutdown(*args, **kwargs)

    def _done(self, outer: Future[Any], inner: Future[Any]) -> None:
        """Hand on the end of a task, at once where nothing is to be explained."""
        error = inner.exception()
        if error is None:
            outer.set_result(inner.result())
        elif type(error) is ManagerLost:
            block = self._block_of.get(error.manager_id.decode(), "")
            self._waiting.append(_Waiting(outer, error, block, time.monotonic() + _WAIT_S))
        elif type(error) is WorkerLost:
            killed = WorkerKilled(error.worker_id, error.hostname, _OF_WORKER)
            killed.__cause__ = error
            outer.set_exception(killed)
        else:
            outer.set_exception(error)

    def _answer(self, *, at_once: bool) -> None:
        """Fail the tasks whose block's end is known, and those that have waited for it for long enough."""
        for _ in range(len(waiting := self._waiting)):  # others may be added meanwhile, by Parsl's thread for results
            one = waiting.popleft()
            status = self.status_facade.get(one.block)
            if at_once or status is None or status.terminal or time.monotonic() > one.deadline:
                lost = BlockLost(one.error.manager_id, one.error.hostname, self._why(one.block, status))
                lost.__cause__ = one.error
                one.future.set_exception(lost)
            else:
                waiting.append(one)

    def _why(self, block: str, status: JobStatus | None) -> str:
        if status is None:
            return "its block is not known"
        name = f"parsl.{self.label}.block-{block}"
        if status.state is JobState.SCALED_IN:
            return f"the block {name} was given back; it seemed idle (max_idletime)"
        if status.message:
            return status.message
        if status.terminal:
            return f"the block {name} has ended ({status.state.name})"
        return (
            f"the block {name} runs, but nothing is heard of this node: it may have died, or the network between;"
            " retries=1 or more has such tasks run again"
        )


class MPIExecutor(HighThroughputExecutor, parsl.executors.MPIExecutor):
    """Parsl's, with tasks that explain their loss."""
