"""Workers that call functions: processes of this host, or Parsl's pools on several nodes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol

from ..errors import Error, InvalidRequest, LaunchError
from ..job_size import Resources
from ..parsl import worker
from ..resources import Node
from ..sites import Site
from .slots import slots

_GRACE_S = 2.0
_PRELOAD = ("dill", "psij_parsl.farm.command_task")


class TaskLost(Error):
    """A task of `map` of which nobody knows whether it ended: its worker, or its node, is gone."""


class Workers(Protocol):
    """So many of them, each with cores and GPUs of its own. `close` ends what runs.

    `result` is what the function has returned for a future that is done, without an exception, and `cause` the exception of
    a future as the user is to see it, which raises `LaunchError` where no worker is left.
    """

    at_once: int

    def submit(self, item: Any) -> Future[Any]: ...

    def result(self, future: Future[Any]) -> Any: ...

    def cause(self, error: BaseException) -> BaseException: ...

    def close(self) -> None: ...


class ProcessesHere:
    """Processes of this host that call one function."""

    def __init__(
        self,
        node: Node,
        shape: Resources,
        function: Callable[[Any], Any],
        *,
        environment: Mapping[str, str],
        hide_gpus: bool,
    ) -> None:
        self.at_once = shape.ranks_per_node
        self._function = _picklable(function)
        context = multiprocessing.get_context(
            "fork"
        )  # with others a program must not do its work when it is imported
        queue = context.SimpleQueue()
        for slot in slots(node, self.at_once, shape, os.environ, hide_gpus=hide_gpus):
            queue.put(slot._replace(environment={**slot.environment, **environment}))
        self._pool = ProcessPoolExecutor(self.at_once, context, _settle, (queue,))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)  # of forks beside other threads
            self._pool.submit(_settled)  # they start all together, with the first task

    def submit(self, item: Any) -> Future[Any]:
        """Have a worker call the function. Where the workers have ended the future says so."""
        try:
            return self._pool.submit(_called, self._function, item)
        except RuntimeError as error:  # BrokenProcessPool
            future: Future[Any] = Future()
            future.set_exception(error)
            return future

    def result(self, future: Future[Any]) -> Any:
        """See `Workers`. Raises RuntimeError for one that cannot be made anew from its pickle."""
        try:
            return pickle.loads(future.result())
        except Exception as error:
            raise RuntimeError(f"the function's result cannot be made anew from its pickle: {error}") from error

    def cause(self, error: BaseException) -> BaseException:
        """See `Workers`."""
        if isinstance(error, BrokenProcessPool):
            raise LaunchError(
                "a worker was killed, and with it a task of which nobody knows whether it ended",
                hint="is this host out of memory?",
            ) from error
        return error

    def close(self) -> None:
        """End the workers, with what they run."""
        processes = [*(self._pool._processes or {}).values()]  # before Python 3.14 nothing else ends one that runs
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + _GRACE_S
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
            process.kill()
            if process.pid is not None:
                with suppress(OSError):  # what it had started
                    os.killpg(process.pid, signal.SIGKILL)
        self._pool.shutdown(cancel_futures=True)


def _picklable(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function, or what stands for one that only dill takes, as those of `__main__` and lambdas."""
    try:
        pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError):
        return partial(worker.called, _packed(function))
    return function


def _packed(function: Callable[[Any], Any]) -> bytes:
    try:
        return worker.packed(function)
    except Exception as error:  # whatever its parts raise
        raise InvalidRequest(
            f"{function!r} cannot be sent to a worker: {error}", hint="let it hold no open file, lock or connection"
        ) from error


def _called(function: Callable[[Any], Any], item: Any) -> bytes:
    """Call it; its result, pickled. What cannot be made anew from its pickle would end the pool if that tried to."""
    try:
        return bytes(ForkingPickler.dumps(worker.result_of(function, item)))
    except Exception as error:
        stand_in = _stand_in(error)
        if stand_in is None:
            raise
    raise stand_in  # not above: the exception would go with it, as its context


def _stand_in(error: Exception) -> RuntimeError | None:
    """For an exception that cannot be made anew from its pickle."""
    try:
        pickle.loads(ForkingPickler.dumps(error))
    except Exception:  # noqa: BLE001 - whatever its class raises
        return RuntimeError(f"{type(error).__qualname__}: {error}").with_traceback(error.__traceback__)
    return None


def _settled() -> None:
    """What starts the workers."""


def _settle(places: Any) -> None:
    worker.settle_here(*places.get())


class PoolsOnNodes:
    """Parsl's pools on nodes, whose workers call one function."""

    def __init__(
        self,
        nodes: Sequence[Node],
        shape: Resources,
        site: Site,
        function: Callable[[Any], Any],
        *,
        launcher: str | None,
        guarded: Callable[[int], None],
        hide_gpus: bool,
        environment: Mapping[str, str],
    ) -> None:
        from ..parsl.pools import NodePools
        from ..runs.selection import select_launch_method

        self._packed = _packed(function)
        method = select_launch_method(site, launcher=launcher)
        self._pools = NodePools(
            nodes,
            shape,
            method,
            site=site,
            environment=environment,
            guarded=guarded,
            hide_gpus=hide_gpus,
            preload=_PRELOAD,
        )
        self.at_once = self._pools.workers

    def submit(self, item: Any) -> Future[Any]:
        """Have a worker call the function. Where no worker is left the future says so."""
        try:
            return self._pools.submit(worker.called, self._packed, item)
        except LaunchError as error:
            future: Future[Any] = Future()
            future.set_exception(error)
            return future

    def result(self, future: Future[Any]) -> Any:
        """See `Workers`."""
        return future.result()

    def cause(self, error: BaseException) -> BaseException:
        """See `Workers`."""
        from ..parsl.pools import Lost, PoolsEnded

        cause = self._pools.cause(error)
        if isinstance(cause, PoolsEnded):
            raise cause from error
        if isinstance(cause, Lost):
            return TaskLost(f"lost{f' on {cause.host}' if cause.host else ''}: {cause.what}")
        return cause

    def close(self) -> None:
        """End the workers, with what they run."""
        self._pools.close()
