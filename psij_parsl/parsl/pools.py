"""Parsl's HighThroughputExecutor over nodes that we hold: our launcher starts its worker pools there, no job is submitted.

::

    with resources.assign(shape) as nodes:
        pools = NodePools(nodes, shape, method, site=site)
        future = pools.submit(function, argument)
        pools.close()

Parsl is here without its DataFlowKernel: no task is ever started twice. All of it ends with this process: the
interchange looks for us, the run has its guard, and the workers and their commands end with their pool.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl.executors.errors import BadStateException
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

from ..errors import LaunchError
from ..job_size import Resources
from ..runs.mpirun import MPIRun
from ..runs.planning import prepare_run
from ..runs.rank_io import RankIO
from ..system.files import home, private_folder, write_whole
from ..system.processes import process_has_ended, process_identity
from .pool_start import pool_command, pool_job, started_executor, told_to_pools
from .worker import POOL_FILE

if TYPE_CHECKING:
    from ..resources.node import Node
    from ..sites import Site

START_S = 120.0  # for the first pool to come up: Python's start from a busy shared file system
_WATCH_S, _WATCH_START_S = 0.5, 0.1
_OWNER = "owner"
_LOG = "pools.out"


class PoolsEnded(LaunchError):
    """The pools, all of them, could not be started, or have ended: no task can be run any more.

    `began`: they did run before, and tasks that were with them may have been started.
    """

    def __init__(self, message: str, *, hint: str = "", began: bool) -> None:
        super().__init__(message, hint=hint)
        self.began = began


@dataclass(frozen=True)
class Lost:
    """What happened to a task whose end nobody knows: its worker, or the whole node, is gone."""

    host: str
    what: str


class NodePools:
    """One pool of workers on each of the nodes, as many as `shape` has ranks there, each with a rank's cores and GPUs.

    `environment` is added to that of the workers. Without `bind` they may use all of their node. `hide_gpus` masks all
    GPUs where they have none. `preload` are modules that the workers' functions need. `guarded` is called with the
    process id of the run's guard: what holds the nodes should hold them while that lives. The pools are being started
    when this returns. Raises `LaunchError` where nothing can be started.
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
        preload: Sequence[str] = (),
        start_s: float = START_S,
    ) -> None:
        self.nodes = tuple(nodes)
        self.workers = len(self.nodes) * shape.ranks_per_node
        self.workers_up = 0  # how many have come up, and are not lost
        self.failure: PoolsEnded | None = None
        self._began = False
        self._deadline = time.monotonic() + start_s
        self._start_s = start_s
        self._closing = threading.Event()
        self._lock = threading.RLock()  # for the run, which is no thread's own
        folders = private_folder(home() / "farms")
        _remove_left(folders)
        self.folder = private_folder(folders / f"{process_identity().replace('/', '+')}+{secrets.token_hex(4)}")
        try:
            write_whole(self.folder / _OWNER, process_identity())
            self._executor = started_executor(self.folder, self.nodes, shape.ranks_per_node, site)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        try:
            told = told_to_pools(self.nodes, shape, method, preload, bind=bind)
            write_whole(self.folder / POOL_FILE, json.dumps(told))
            words = pool_command(self.folder, self._executor.launch_cmd)
            job = pool_job(words, len(self.nodes), shape, environment or {})
            io = RankIO(stdout=self.folder / _LOG)
            self._run = prepare_run(method, job, self.nodes, io=io, bind=bind, hide_gpus=hide_gpus)
            self._run.start(guarded=guarded)
        except BaseException:
            self._shut_down()
            raise
        self._watcher = threading.Thread(target=self._watch, name="watch-pools", daemon=True)
        self._watcher.start()

    # ---- tasks -----------------------------------------------------------------------------------------------

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Have a worker call a function that it can import. For the exception of its future see `cause`.

        Raises `PoolsEnded` where no worker is left.
        """
        if self.failure is None:
            with suppress(BadStateException):
                future: Future[Any] = self._executor.submit(function, {}, *args)
                return future
        raise self.failure or PoolsEnded("the worker pools have ended", began=True)

    def cause(self, error: BaseException) -> BaseException | Lost:
        """What the exception of a task's future says: `Lost` where nobody knows how it ended, `PoolsEnded` where it never
        began, else its own."""
        if isinstance(error, ManagerLost):
            return Lost(error.hostname, "the node, or the worker pool there, is gone")
        if isinstance(error, WorkerLost):
            return Lost(error.hostname, "its worker was killed")
        if isinstance(error, BadStateException | PoolsEnded):
            failure = self.failure or PoolsEnded(str(error), began=self._began)
            return Lost("", failure.message) if failure.began else failure
        return error

    def signal(self, number: int) -> None:
        """Send a signal to the commands that run; one that asks to end ends the pools where none runs."""
        with self._lock:
            self._run.signal(number)

    def close(self, *, kill: bool = True) -> None:
        """End the pools, with what runs there: wait for it before. Nothing of them is left."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._watcher.join()
        with self._lock:
            if kill:
                self._run.kill()
            else:
                self._run.terminate()
        self._shut_down()

    def _shut_down(self) -> None:
        with suppress(Exception):
            self._executor.shutdown(timeout=5.0)
        if hasattr(self, "_run"):
            self._run.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- watch -----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._closing.wait(_WATCH_S if self._began else _WATCH_START_S):
            self.failure = self._end()
            if self.failure is not None:
                self._fail_all(self.failure)
                return

    def _fail_all(self, failure: PoolsEnded) -> None:
        executor: Any = self._executor
        with suppress(InvalidStateError, RuntimeError):  # results come in meanwhile
            executor.set_bad_state_and_fail_all(failure)
        for future in [*executor.tasks.values()]:
            with suppress(InvalidStateError):
                future.set_exception(failure)

    def _end(self) -> PoolsEnded | None:
        """Why no task can be run any more; None if they can."""
        code = self._executor.interchange_proc.poll()
        if code is not None:
            return PoolsEnded(
                f"Parsl's interchange has ended (exit code {code})",
                hint="was it killed, or is this node out of memory?",
                began=True,  # it can no longer be asked
            )
        with self._lock:
            try:
                ended = self._run.poll()
            except LaunchError as error:
                return PoolsEnded(error.message, hint=error.hint, began=self._has_begun())
        if ended is not None:
            return self._ended(ended)
        with suppress(Exception):  # the interchange may be busy, and is asked again
            self.workers_up = sum(pool["worker_count"] for pool in self._executor.connected_managers())
        if not self._has_begun() and time.monotonic() > self._deadline:
            return PoolsEnded(
                f"no worker pool has come up within {self._start_s:.0f} s on {self._names()}{self._tail()}",
                hint="can the nodes reach this one over the network? A site's [network] says by which interface",
                began=False,
            )
        return None

    def _has_begun(self) -> bool:
        """Whether a pool has ever come up."""
        if not self._began:
            with suppress(Exception):  # it may be busy, and is asked again
                self._began = bool(self._executor.connected_blocks())
        return self._began

    def _ended(self, code: int) -> PoolsEnded:
        if self._has_begun():
            return PoolsEnded(
                f"the worker pools on {self._names()} have ended (exit code {code}){self._tail()}", began=True
            )
        return PoolsEnded(
            f"no worker pool could be started on {self._names()} (exit code {code}){self._tail()}",
            hint=f"each node must have {sys.executable} with psij-parsl and Parsl, as this one has",
            began=False,
        )

    def _names(self) -> str:
        names = [node.name for node in self.nodes]
        return ", ".join(names) if len(names) <= 4 else f"{names[0]} and {len(names) - 1} more nodes"

    def _tail(self) -> str:
        lines = [line for line in self._run.tail(20).splitlines() if any(map(str.isalnum, line))]
        return f": {lines[-1].strip()}" if lines else ""


def _remove_left(folders: Path) -> None:
    """Those of processes of this host that have ended without a word."""
    for folder in folders.iterdir():
        with suppress(OSError):
            if process_has_ended((folder / _OWNER).read_text()):
                shutil.rmtree(folder, ignore_errors=True)
