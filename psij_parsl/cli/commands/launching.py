"""What `launch` does: one run inside the allocation that one stands in, or on this host alone.

Hundreds of these start at once, so nothing is imported here that the run does not need.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ...errors import InvalidRequest, LaunchError
from ...job import Job, Resources
from ...platforms.templates.validators import duration, non_negative_int, one_of, positive_int
from ...signals import kept, received_signal, registered
from ..flag_types import unambiguous
from ..flags import FLAGS, Chosen, Flag, parsed
from ..job_from_flags import read, shape
from ..output import Renderer

if TYPE_CHECKING:
    from ...resources import Assignment, NodeResources
    from ...runs.mpirun import MPIRun
    from ...runs.rank_io import RankIO
    from ...runs.run import Run
    from ...sites import Site

_SHARED = (
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
OWN: tuple[Flag, ...] = (
    Flag("share", ("--share",), "N", "1/N of each node, so that N such runs fit; 1: whole nodes.", positive_int),
    Flag("spread", ("--spread",), "", "Prefer the emptiest nodes (default: the fullest with room).", switch=True),
    Flag(
        "time",
        ("-t", "--time"),
        "TIME",
        "How long it takes, as 90 (minutes), 1:30:00 or 1h30m: not started if it cannot end in time.",
        unambiguous(duration),
    ),
    Flag(
        "timeout",
        ("--timeout",),
        "TIME",
        "Wait for room at most 30s, 5m, ...; then exit with 124.",
        unambiguous(duration),
    ),
    Flag("no_wait", ("--no-wait",), "", "Do not wait for room: exit with 125 if there is none now.", switch=True),
    Flag("grace", ("--grace",), "SECONDS", "From the signal that ends it to KILL (default: 10).", non_negative_int),
    Flag(
        "bind",
        ("--bind",),
        "HOW",
        "cores: each rank gets its cores and GPUs; none: left to you.",
        one_of("cores", "none"),
    ),
    Flag(
        "option",
        ("--option",),
        "WORD",
        "Option for the launcher, as --option=--mpi=pmix. Repeatable.",
        list,
        many=True,
    ),
    Flag("input", ("-i", "--input"), "FILE", "File for rank 0's stdin, - for ours (default: empty)."),
    Flag("output", ("-o", "--output"), "FILE", "File for stdout, and stderr unless -e is given; %r: one per rank."),
    Flag("error", ("-e", "--error"), "FILE", "File for stderr."),
    Flag("append", ("--append",), "", "Add to the files that are there.", switch=True),
    Flag("label", ("-l", "--label"), "", "Begin each line with [rank].", switch=True),
)
_SITE = "Site whose launch method and nodes these are (default: the job's, or the one that this host is)."
LAUNCH_FLAGS: tuple[Flag, ...] = (
    *(replace(flag, help=_SITE) if flag.name == "site" else flag for flag in FLAGS if flag.name in _SHARED),
    *OWN,
)
_TIMED_OUT = 124  # as timeout(1)
_LOOK_S = 1.0
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OTHERS = (signal.SIGUSR1, signal.SIGUSR2)  # that are handed on


def launch(out: Renderer, chosen: Chosen, command: list[str] | None) -> int:
    """The run that these flags describe, from waiting for its room to its exit code."""
    if not command:
        raise InvalidRequest("there is no command to run", hint="say it after `--`, e.g. -- hostname")
    said = {flag.name: read(flag, chosen[flag.name]) for flag in LAUNCH_FLAGS if flag.name in chosen}
    return _Launch(out, said, command).run()


def direct(out: Renderer, words: Sequence[str]) -> int | None:
    """The same for words as they were typed; None if they are for typer to look at, which has the help."""
    found = parsed(words, LAUNCH_FLAGS)
    return None if found is None else launch(out, *found)


class _Launch:
    """One run that we stand for."""

    def __init__(self, out: Renderer, said: Mapping[str, Any], command: list[str]) -> None:
        from ...resources import NodeResources
        from ...runs.selection import fitting

        self.out, self.said = out, said
        self.site = _site(said)
        self.resources: NodeResources = NodeResources.discover(hardware=self.site.hardware)
        if "site" not in said and "config" not in said:
            self.site = fitting(self.site, self.resources.allocation.platform)
        self.job = self._job(command)
        self.method = self._method()

    # ---- what and how ----------------------------------------------------------------------------------------

    def _job(self, command: list[str]) -> Job:
        said = self.said
        each = Resources(
            cpus_per_rank=said.get("cpus_per_task", 1),
            threads_per_core=said.get("threads_per_core", 1),
            gpus_per_rank=said.get("gpus_per_task", 0),
            memory_per_node=said.get("mem"),
        )
        asked: dict[str, Any] = dict(shape(dict(said)))
        if "ntasks" in said and "nodes" not in said and "ntasks_per_node" not in said:
            found = self.resources.arrange(said["ntasks"], each, share=said.get("share"))
            asked = {"num_nodes": found.num_nodes, "ranks_per_node": found.ranks_per_node}
        return Job(
            command=command,
            job_mode=said.get("mode"),
            launcher=said.get("launcher"),
            directory=Path(os.path.expanduser(said["cwd"])) if "cwd" in said else None,
            environment={**said.get("env_file", {}), **said.get("env", {})},
            cpus_per_rank=each.cpus_per_rank,
            threads_per_core=each.threads_per_core,
            gpus_per_rank=each.gpus_per_rank,
            memory_per_node=each.memory_per_node,
            **asked,
        )

    def _method(self) -> MPIRun:
        from ...runs.selection import select_launch_method

        job = self.job
        if job.job_mode == "script" and job.num_ranks > 1:
            raise InvalidRequest("script mode starts one rank", hint="leave --mode out, or say -n 1")
        platform = self.resources.allocation.platform
        return select_launch_method(self.site, options=self.said.get("option", ()), platform=platform, job=job)

    def _io(self) -> RankIO:
        from ...runs.rank_io import RankIO

        files = {
            field: Path(os.path.expanduser(self.said[flag]))
            for flag, field in (("input", "stdin"), ("output", "stdout"), ("error", "stderr"))
            if flag in self.said
        }
        return RankIO(label="label" in self.said, append="append" in self.said, **files)

    # ---- its room, its time, its end -------------------------------------------------------------------------

    def run(self) -> int:
        said = self.said
        io = self._io()
        how: dict[str, Any] = {"share": said.get("share"), "spread": "spread" in said, "lasts_s": said.get("time")}
        with registered():
            assignment = self._room(how)
            if assignment is None:
                return self._no_room()
            try:
                return self._run(assignment, io)
            finally:
                assignment.free()

    def _room(self, how: dict[str, Any]) -> Assignment | None:
        if "no_wait" in self.said:
            return self.resources.assign(self.job, **how)
        if "verbose" in self.said:
            found = self.resources.assign(self.job, **how)
            if found is not None:
                return found
            self.out.note("waiting for room in the allocation")
        return self.resources.wait_for(self.job, self.said.get("timeout"), **how)

    def _no_room(self) -> int:
        if (number := received_signal()) is not None:
            return 128 + number
        if "no_wait" in self.said:
            raise LaunchError(
                "there is no room for this run now",
                hint="leave --no-wait out; `psij-run resources show` tells who has it",
            )
        self.out.error(
            LaunchError(
                f"there was no room for this run within {self.said['timeout']} s", hint="`psij-run resources show`"
            )
        )
        return _TIMED_OUT

    def _run(self, assignment: Assignment, io: RankIO) -> int:
        from ...runs.planning import prepare_run

        resources = self.resources
        run = prepare_run(
            self.method,
            self.job,
            assignment.nodes,
            io=io,
            bind=self.said.get("bind") != "none",
            hide_gpus=any(node.gpus for node in resources.allocation.nodes),
            grace_s=self.said.get("grace", 10),
        )
        if "verbose" in self.said:
            self._tell(assignment)
        early: list[int] = []  # signals that came while it was being started
        with _handling(lambda number, frame: early.append(number), _OTHERS):
            run.start(guarded=lambda pid: resources.hold_for(assignment, pid))
            with run:
                return _watched(run, early)

    def _tell(self, assignment: Assignment) -> None:
        from ...system.id_ranges import format_ranges

        for node in assignment.nodes:
            gpus = f", GPUs {','.join(node.gpus)}" if node.gpus else ""
            self.out.note(f"{self.method.name} on {node.name}: cores {format_ranges(node.cpus)}{gpus}")


def _watched(run: Run, early: Sequence[int]) -> int:
    """Wait for the end of a run, handing signals on; one that asks to end it is followed by KILL after the grace."""
    ended_by: list[int] = []
    deadline: list[float] = []

    def hand_on(number: int, frame: FrameType | None = None) -> None:
        run.signal(number)
        if number in _ENDING:
            if ended_by:  # asked twice: at once
                deadline[:] = [0.0]
            ended_by.append(number)

    with _handling(hand_on, (*_ENDING, *_OTHERS)):
        for number in (*early, received_signal()):  # before we listened
            if number is not None:
                hand_on(number)
        while (code := run.wait(_LOOK_S)) is None:
            if ended_by and not deadline:
                deadline.append(time.monotonic() + run.grace_s)
            if deadline and time.monotonic() >= deadline[0]:
                code = run.kill()
                break
    return 128 + ended_by[0] if ended_by and code else code


@contextmanager
def _handling(handler: Any, numbers: Sequence[int]) -> Iterator[None]:
    earlier = {number: signal.signal(number, handler) for number in numbers if not kept(number)}
    try:
        yield
    finally:
        for number, before in earlier.items():
            signal.signal(number, signal.SIG_DFL if before is None else before)


def _site(said: Mapping[str, Any]) -> Site:
    from ...sites import find

    return find(said.get("site"), Path(said["config"]) if "config" in said else None, placing=False)
