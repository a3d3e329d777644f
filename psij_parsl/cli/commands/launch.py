"""`launch`: one run inside the current allocation, or on this host alone.

Hundreds of these start at once, so nothing is imported here that the run does not need.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ...errors import InvalidRequest, LaunchError
from ...job import Job
from ...job_size import Resources
from ...signals import kept, received_signal, registered
from ...validators import duration, non_negative_int, one_of, unambiguous
from ..command import TIMED_OUT, Command, Invocation
from ..flags import Flag, FlagValues
from ..job_flags import PROGRAM, SHARE, job_flags
from ..job_from_flags import even_shape
from ..output import Renderer

if TYPE_CHECKING:
    from ...resources import Assignment, NodeResources
    from ...runs.mpirun import MPIRun
    from ...runs.rank_io import RankIO
    from ...runs.run import Run
    from ...sites import Site

_SITE_HELP = "Site whose launch method and nodes to use (default: the site of the job, or of this host)."
_POLL_S = 1.0
_SHARED = "shared"  # GPUs that are neither hidden nor held
_END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OTHER_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)  # that are forwarded


def _launch(out: Renderer, invocation: Invocation) -> int:
    if not invocation.arguments:
        raise InvalidRequest("there is no command to run", hint="put it after `--`, e.g. -- hostname")
    return _Launch(out, invocation.values(), list(invocation.arguments)).run()


class _Launch:
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
            gpus_per_node=None if values.get("gpus_per_node") == _SHARED else values.get("gpus_per_node"),
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
                return self._not_assigned()
            try:
                return self._run(assignment, io)
            finally:
                assignment.free()

    def _assign(self, request: dict[str, Any]) -> Assignment | None:
        """Take nodes, cores and GPUs; wait for them unless --no-wait is given."""
        if "no_wait" in self.values:
            return self.resources.assign(self.job, **request)
        if "verbose" in self.values:
            assignment = self.resources.assign(self.job, **request)
            if assignment is not None:
                return assignment
            self.out.note("waiting for room in the allocation")
        return self.resources.wait_for(self.job, self.values.get("timeout"), **request)

    def _not_assigned(self) -> int:
        if (number := received_signal()) is not None:
            return 128 + number
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
            hide_gpus=self.values.get("gpus_per_node") != _SHARED
            and any(node.gpus for node in resources.allocation.nodes),
            grace_s=self.values.get("grace", 10),
        )
        if "verbose" in self.values:
            self._print_assignment(assignment)
        early_signals: list[int] = []  # that came during the start
        with _handling(lambda number, frame: early_signals.append(number), _OTHER_SIGNALS):
            run.start(guarded=lambda pid: resources.hold_for(assignment, pid))
            with run:
                return _wait_for(run, early_signals)

    def _print_assignment(self, assignment: Assignment) -> None:
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


def _gpus_on_node(text: str) -> int | str:
    return text if text == _SHARED else non_negative_int(text)


_OWN_FLAGS: tuple[Flag, ...] = (
    SHARE,
    Flag(
        "gpus_per_node",
        ("--gpus-per-node",),
        "COUNT",
        "Number of GPUs on each node, all of which each of its ranks sees; a multiple of the ranks there. shared: all"
        " that the job has, also while other runs have them.",
        _gpus_on_node,
    ),
    Flag(
        "spread",
        ("--spread",),
        "",
        "Prefer the nodes with the most free cores (default: those with the fewest that are enough).",
        switch=True,
    ),
    Flag(
        "time",
        ("-t", "--time"),
        "TIME",
        "Expected duration, as 90 (minutes), 1:30:00 or 1h30m. The run is not started if it cannot end before the"
        " allocation ends.",
        unambiguous(duration),
    ),
    Flag(
        "timeout",
        ("--timeout",),
        "TIME",
        "Longest time to wait for free nodes, cores and GPUs: 30s, 5m, ...; then exit with 124.",
        unambiguous(duration),
    ),
    Flag("no_wait", ("--no-wait",), "", "Do not wait: exit with 125 if not enough is free now.", switch=True),
    Flag(
        "grace",
        ("--grace",),
        "SECONDS",
        "Seconds between the signal that asks the run to end and KILL (default: 10).",
        non_negative_int,
    ),
    Flag(
        "bind",
        ("--bind",),
        "HOW",
        "cores: bind each rank to its cores and GPUs (default); none: do not bind.",
        one_of("cores", "none"),
    ),
    Flag(
        "option",
        ("--option",),
        "OPTION",
        "Option for the launcher, for example --option=--mpi=pmix. Repeatable.",
        list,
        many=True,
    ),
    Flag(
        "input",
        ("-i", "--input"),
        "FILE",
        "File for stdin of rank 0; - is the stdin of psij-run (default: no input).",
    ),
    Flag(
        "output",
        ("-o", "--output"),
        "FILE",
        "File for stdout, and for stderr unless -e is given; with %r in its name, one file for each rank.",
    ),
    Flag("error", ("-e", "--error"), "FILE", "File for stderr."),
    Flag("append", ("--append",), "", "Append to existing files.", switch=True),
    Flag("label", ("-l", "--label"), "", "Begin each line of output with [rank].", switch=True),
)
LAUNCH = Command(
    "launch",
    "Start a run on nodes, cores and GPUs of the current allocation.",
    _launch,
    (
        *(
            flag._replace(help=_SITE_HELP) if flag.name == "site" else flag
            for flag in job_flags(
                "nodes",
                "ntasks",
                "ntasks_per_node",
                "cpus_per_task",
                "threads_per_core",
                "gpus_per_task",
                "mem",
                "mode",
                "launcher",
                "env",
                "env_file",
                "cwd",
                "site",
                "config",
                "json",
                "verbose",
            )
        ),
        *_OWN_FLAGS,
    ),
    PROGRAM,
    details=(
        "Waits until enough nodes, cores and GPUs are free, binds each rank to its cores and GPUs, shows the output,"
        " forwards signals, and exits with the exit code of the run."
    ),
    examples=(
        "psij-run launch -n 8 -c 2 -- ./solver input.dat",
        "psij-run launch -N 2 -n 8 -g 1 -- ./train",
        "psij-run launch -n 4 --no-wait -o out.%r -- ./a.out",
    ),
    runs_program=True,
    foreground=True,
)
