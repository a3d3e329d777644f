"""The engine of a farm over several nodes: Parsl's HighThroughputExecutor, whose workers our launcher starts there."""

from __future__ import annotations

import time
from concurrent.futures import Future
from functools import partial
from typing import Any

from ..parsl.pools import Lost, NodePools, PoolsEnded
from .node_task import run
from .task import EngineEnded, Task, TaskEnd


class NodesEngine:
    """Runs tasks in pools of workers on nodes that are held: each has the cores and GPUs of its worker. See `Engine`.

    A task whose node is lost has an end that says so, and is never started again.
    """

    def __init__(self, pools: NodePools) -> None:
        self._pools = pools

    @property
    def at_once(self) -> int:
        """As many as there are workers now: a task that has none yet would look as if it had begun."""
        return self._pools.workers if self._pools.failure is not None else self._pools.workers_up

    def start(self, task: Task) -> Future[TaskEnd]:
        """See `Engine`. The future has a `LaunchError` where no worker could be started, or none is left."""
        future: Future[TaskEnd] = Future()
        future.set_running_or_notify_cancel()
        began = time.time()
        try:
            answer = self._pools.submit(run, task)
        except PoolsEnded as error:
            future.set_exception(_ended(error))
        else:
            answer.add_done_callback(partial(self._ended, future, task, began))
        return future

    def _ended(self, future: Future[TaskEnd], task: Task, began: float, answer: Future[Any]) -> None:
        error = answer.exception()
        cause = None if error is None else self._pools.cause(error)
        if cause is None:
            future.set_result(answer.result())
        elif isinstance(cause, PoolsEnded):
            future.set_exception(_ended(cause))
        else:
            host, known, why = "", True, f"{type(cause).__name__}: {cause}"
            if isinstance(cause, Lost):
                host, known = cause.host, False
                why = f"lost{' on ' * bool(host)}{host}: {cause.what}; how it ended, or whether, is not known"
            future.set_result(TaskEnd(task.number, 125, host, began, time.time(), why, known))

    def signal(self, number: int) -> None:
        """See `Engine`."""
        self._pools.signal(number)

    def close(self, *, kill: bool) -> None:
        """See `Engine`."""
        self._pools.close(kill=kill)


def _ended(error: PoolsEnded) -> EngineEnded:
    return EngineEnded(error.message, hint=error.hint, began=False)
