"""One run of `psij-run launch`: from its flags to its nodes, its time and its end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ...errors import InvalidRequest, LaunchError
from ...job import Job
from ...job_size import Resources
from ...runs.variables import FARM
from ...signals import kept, received_signal, registered
from ..command import TIMED_OUT
from ..flags import FlagValues
from ..job_from_flags import even_shape
from ..output import Renderer

if TYPE_CHECKING:
    from ...resources import Assignment, NodeResources
    from ...runs.mpirun import MPIRun
    from ...runs.rank_io import RankIO
    from ...runs.run import Run
    from ...sites import Site

SHARED = "shared"  # GPUs that are neither hidden nor held
_POLL_S = 1.0
_END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OTHER_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)  # that are forwarded


class OneLaunch:
    """One run, from waiting for room to its exit code."""

    def __init__(self, out: Renderer, values: FlagValues, argv: list[str]) -> None:
        from ...resources import NodeResources
        from ...runs.selection import fitting

        self.out, self.values = out, values
        self.site = _site(values)
        self.resources: NodeResources = NodeResources.discover(hardware=self.site.hardware_of)
        if "site" not in values and "config" not in values:
            self.site = fitting(self.site, self.resources.allocation.platform)
        self.job = self._job(argv)
        self.method = self._launch_method()

    # ---- the job and its launch method -------------------------------------------------------------------

    def _job(self, argv: list[str]) -> Job:
        values = self.values
        rank = Resources(
            cpus_per_rank=values.get("cpus_per_task", 1),
            threads_per_core=values.get("threads_per_core", 1),
            gpus_per_rank=values.get("gpus_per_task", 0),
            gpus_per_node=None if values.get("gpus_per_node") == SHARED else values.get("gpus_per_node"),
            memory_per_node=values.get("mem"),
        )
        nodes_and_ranks: dict[str, Any] = dict(even_shape(values))
        if "ntasks" in values and "nodes" not in values and "ntasks_per_node" not in values:
            arranged = self.resources.arrange(values["ntasks"], rank, share=values.get("share"))
            nodes_and_ranks = {"num_nodes": arranged.num_nodes, "ranks_per_node": arranged.ranks_per_node}
        return Job(
            command=argv,
            job_mode=values.get("mode"),
            launcher=values.get("launcher"),
            directory=Path(os.path.expanduser(values["cwd"])) if "cwd" in values else None,
            environment={**values.get("env_file", {}), **values.get("env", {})},
            cpus_per_rank=rank.cpus_per_rank,
            threads_per_core=rank.threads_per_core,
            gpus_per_rank=rank.gpus_per_rank,
            gpus_per_node=rank.gpus_per_node,
            memory_per_node=rank.memory_per_node,
            **nodes_and_ranks,
        )

    def _launch_method(self) -> MPIRun:
        from ...runs.selection import select_launch_method

        job = self.job
        if job.job_mode == "script" and job.num_ranks > 1:
            raise InvalidRequest("script mode starts one rank", hint="leave out --mode, or use -n 1")
        platform = self.resources.allocation.platform
        return select_launch_method(self.site, options=self.values.get("option", ()), platform=platform, job=job)

    def _io(self) -> RankIO:
        from ...runs.rank_io import RankIO

        files = {
            field: Path(os.path.expanduser(self.values[name]))
            for name, field in (("input", "stdin"), ("output", "stdout"), ("error", "stderr"))
            if name in self.values
        }
        return RankIO(label="label" in self.values, append="append" in self.values, **files)

    # ---- its nodes, its time, its end ----------------------------------------------------------------------

    def run(self) -> int:
        values = self.values
        io = self._io()
        request: dict[str, Any] = {
            "share": values.get("share"),
            "spread": "spread" in values,
            "lasts_s": values.get("time"),
        }
        with registered():
            assignment = self._assign(request)
            if assignment is None:
                return self.not_assigned()
            try:
                return self._run(assignment, io)
            finally:
                assignment.free()

    @property
    def in_farm(self) -> bool:
        """Whether this is in a task of a farm: it holds the nodes until the task has ended, so one waits in vain."""
        return os.environ.get(FARM) == self.resources.allocation.full_id

    @property
    def may_wait(self) -> bool:
        """Whether to wait where there is no room now."""
        return "no_wait" not in self.values and not self.in_farm and not self.in_vain

    @cached_property
    def in_vain(self) -> bool:
        """Whether there is room only when the run has ended in which this is started."""
        from ...runs.run_processes import MARK

        if MARK not in os.environ:
            return False
        from ...resources.above import held_above, in_vain

        if "each_line" in self.values or "array" in self.values:  # many tasks wait for all of the nodes
            return bool(held_above(self.resources))
        return in_vain(self.resources, self.job, self.values.get("share"))

    def _assign(self, request: dict[str, Any]) -> Assignment | None:
        """Take nodes, cores and GPUs; wait for them if one may."""
        if not self.may_wait:
            return self.resources.assign(self.job, **request)
        if "verbose" in self.values:
            assignment = self.resources.assign(self.job, **request)
            if assignment is not None:
                return assignment
            self.out.note("waiting for room in the allocation")
        return self.resources.wait_for(self.job, self.values.get("timeout"), **request)

    def not_assigned(self) -> int:
        """The exit code where there was no room. Raises `LaunchError` where none was to be waited for."""
        if (number := received_signal()) is not None:
            return 128 + number
        if self.in_farm:
            raise LaunchError(
                "there is no room for this run: the farm whose task it is in holds the nodes",
                hint="have the farm start it: psij-run launch --each-line FILE -n RANKS"
                + ("; or leave it room with -P" if self.resources.allocation.id else ""),
            )
        if "no_wait" not in self.values and self.in_vain:
            raise LaunchError(
                "there is no room for this run beside the run that it is started in, which holds the nodes",
                hint="start the outer one without psij-run launch, or the inner one",
            )
        if "no_wait" in self.values:
            raise LaunchError(
                "there is no room for this run now",
                hint="leave out --no-wait; `psij-run resources show` shows which runs hold them",
            )
        self.out.error(
            LaunchError(
                f"there was no room for this run within {self.values['timeout']} s",
                hint="`psij-run resources show` shows which runs hold them",
            )
        )
        return TIMED_OUT

    def _run(self, assignment: Assignment, io: RankIO) -> int:
        from ...runs.planning import prepare_run

        resources = self.resources
        run = prepare_run(
            self.method,
            self.job,
            assignment.nodes,
            io=io,
            bind=self.values.get("bind") != "none",
            hide_gpus=self.values.get("gpus_per_node") != SHARED
            and any(node.gpus for node in resources.allocation.nodes),
            grace_s=self.values.get("grace", 10),
        )
        if "verbose" in self.values:
            self.print_assignment(assignment)
        early_signals: list[int] = []  # that came during the start
        with _handling(lambda number, frame: early_signals.append(number), _OTHER_SIGNALS):
            run.start(guarded=lambda pid: resources.hold_for(assignment, pid))
            with run:
                return _wait_for(run, early_signals)

    def print_assignment(self, assignment: Assignment) -> None:
        """Note which cores and GPUs were taken."""
        from ...system.id_ranges import format_ranges

        for node in assignment.nodes:
            gpus = f", GPUs {','.join(node.gpus)}" if node.gpus else ""
            self.out.note(f"{self.method.name} on {node.name}: cores {format_ranges(node.cpus)}{gpus}")


def _wait_for(run: Run, early_signals: Sequence[int]) -> int:
    """Wait for the end of a run and forward signals to it; KILL follows a signal to end after the grace period."""
    ended_by: list[int] = []
    deadline: list[float] = []

    def forward(number: int, frame: FrameType | None = None) -> None:
        run.signal(number)
        if number in _END_SIGNALS:
            if ended_by:  # the second one: at once
                deadline[:] = [0.0]
            ended_by.append(number)

    with _handling(forward, (*_END_SIGNALS, *_OTHER_SIGNALS)):
        for number in (*early_signals, received_signal()):  # before our handler was set
            if number is not None:
                forward(number)
        while (code := run.wait(_POLL_S)) is None:
            if ended_by and not deadline:
                deadline.append(time.monotonic() + run.grace_s)
            if deadline and time.monotonic() >= deadline[0]:
                code = run.kill()
                break
    return 128 + ended_by[0] if ended_by and code else code


@contextmanager
def _handling(handler: Any, numbers: Sequence[int]) -> Iterator[None]:
    """Handle these signals in the meantime, but for those that we were started to ignore."""
    previous = {number: signal.signal(number, handler) for number in numbers if not kept(number)}
    try:
        yield
    finally:
        for number, old_handler in previous.items():
            signal.signal(number, signal.SIG_DFL if old_handler is None else old_handler)


def _site(values: FlagValues) -> Site:
    from ...sites import find

    return find(values.get("site"), Path(values["config"]) if "config" in values else None, placing=False)
