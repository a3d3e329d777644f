"""The engine of a farm whose tasks are MPI runs: each has nodes, cores and GPUs of what the farm holds."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from ..errors import Error, LaunchError
from ..job import Job
from ..resources import NodeResources
from ..resources.node import Node
from ..runs.mpirun import MPIRun
from ..runs.planning import prepare_run
from ..runs.rank_io import RankIO
from ..runs.run import Run
from .task import Task, TaskEnd

_POLL_S = 0.5


class RunEngine:
    """Starts each task as a `Run` of `job`'s shape by that launch method; see `Engine`.

    `resources` are the farm's own, for it alone. `guarded` is called with each run's guard.
    """

    def __init__(
        self,
        method: MPIRun,
        job: Job,
        resources: NodeResources,
        *,
        bind: bool = True,
        hide_gpus: bool = False,
        grace_s: float = 10.0,
        guarded: Callable[[int], None] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.at_once = resources.fit(job)
        self._method, self._job, self._resources = method, job, resources
        self._bind, self._hide_gpus, self._grace_s, self._guarded = bind, hide_gpus, grace_s, guarded
        self._environ = dict(environ)
        self._mutex = threading.Lock()
        self._runs: dict[int, Run] = {}
        self._ending = 0  # the signal by which all end
        self._workers = ThreadPoolExecutor(self.at_once, "farm")

    def start(self, task: Task) -> Future[TaskEnd]:
        """Start a run on nodes, cores and GPUs of its own."""
        return self._workers.submit(self._run, task)

    def _run(self, task: Task) -> TaskEnd:
        began = time.time()
        host, error = "", ""
        try:
            assignment = self._resources.wait_for(self._job)
            if assignment is None or self._ending:
                return TaskEnd(task.number, 128 + signal.SIGTERM, host, began, time.time(), "it was not started")
            with assignment as nodes:
                host = ",".join(node.name for node in nodes)
                code = self._wait(task, self._prepared(task, nodes))
        except Error as failure:
            code, error = 125, str(failure)
        return TaskEnd(task.number, code, host, began, time.time(), error)

    def _prepared(self, task: Task, nodes: tuple[Node, ...]) -> Run:
        directory = Path(task.directory or ".")
        job = self._job.with_(command=list(task.argv), directory=directory)
        io = RankIO(
            stdin=Path(task.stdin) if task.stdin else None,
            stdout=Path(task.stdout or os.devnull),
            stderr=Path(task.stderr) if task.stderr else None,
        )
        return prepare_run(
            self._method,
            job,
            nodes,
            io=io,
            bind=self._bind,
            hide_gpus=self._hide_gpus,
            environ={**self._environ, **task.environment},
            grace_s=self._grace_s,
        )

    def _wait(self, task: Task, run: Run) -> int:
        run.start(guarded=self._guarded)
        with run:
            with self._mutex:
                self._runs[task.number] = run
            try:
                if self._ending:
                    run.signal(self._ending)
                while (code := run.wait(_POLL_S)) is None:
                    if self._ending == signal.SIGKILL:
                        return run.kill()
                return code
            finally:
                with self._mutex:
                    del self._runs[task.number]

    def signal(self, number: int) -> None:
        """Send it to the ranks of all runs."""
        self._ending = number
        with self._mutex:
            runs = list(self._runs.values())
        for run in runs:
            with suppress(LaunchError, ProcessLookupError):
                run.signal(number)

    def close(self, *, kill: bool) -> None:
        """Wait for what runs, or kill it; nothing of it is left then."""
        if kill:
            self._ending = signal.SIGKILL
        self._workers.shutdown()


def own_resources(resources: NodeResources, nodes: tuple[Node, ...]) -> NodeResources:
    """The nodes that a farm holds, with books of its own."""
    return NodeResources(resources.allocation._replace(nodes=nodes))
