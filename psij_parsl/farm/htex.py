"""The engine of a farm over several nodes: Parsl's HighThroughputExecutor, whose workers our launcher starts there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from ..parsl.pools import Lost, NodePools, PoolsEnded
from .node_task import run
from .task import EngineEnded, Task, TaskEnd

if TYPE_CHECKING:
    from ..job_size import Resources
    from ..resources.node import Node
    from ..runs.mpirun import MPIRun
    from ..sites import Site


class NodesEngine:
    """Runs tasks on nodes that are held: on each of them as many at once as `shape` has ranks there.

    A task gets the cores and GPUs of one rank. See `Engine`, and `NodePools` for the arguments. A task whose node is
    lost has an end that says so, and is never started again.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        shape: Resources,
        method: MPIRun,
        *,
        site: Site,
        environment: Mapping[str, str] | None = None,
        guarded: Callable[[int], None] | None = None,
        bind: bool = True,
        hide_gpus: bool = False,
    ) -> None:
        self._pools = NodePools(
            nodes, shape, method, site=site, environment=environment, guarded=guarded, bind=bind, hide_gpus=hide_gpus
        )

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
