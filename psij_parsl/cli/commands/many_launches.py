"""`psij-run launch --each-line` and `--array`: many tasks, farmed over the allocation by this one process."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from ...errors import InvalidRequest
from ...farm import slots
from ...farm.farm import Farm, Rules
from ...farm.host_engine import HostEngine, end_what_is_left
from ...farm.output import Output
from ...farm.source import Indices, Item, Lines, Source
from ...farm.state_file import StateFile
from ...farm.task import Engine, Task
from ...runs.variables import ARRAY_INDEX, FARM
from ...signals import registered
from ..farm_files import FarmFiles
from ..farm_report import Bar, exit_code, report
from ..flags import FlagValues
from ..output import Renderer
from .one_launch import SHARED, OneLaunch

_GRACE_S = 10
_NOT_FOR_MANY = {
    "share": "-c says how many cores each task has, -P how many run at once",
    "spread": "a farm uses all nodes",
}


def launch_many(out: Renderer, values: FlagValues, command: Sequence[str]) -> int:
    """Run the tasks; returns the exit code. Raises `InvalidRequest` before anything is started."""
    source = _source(values, command)
    for name, hint in _NOT_FOR_MANY.items():
        if name in values:
            raise InvalidRequest(f"--{name} is for one run, and not for many tasks", hint=hint)
    if "fresh" in values and {"resume", "again"} & values.keys():
        raise InvalidRequest(
            "--fresh runs all tasks anew, and --resume goes on where they stopped", hint="leave out one of them"
        )
    if values.get("input") == "-":
        raise InvalidRequest("many tasks cannot share one stdin", hint="name a file: -i 'in.{index}'")
    if source.again and not source.total():
        raise InvalidRequest(f"{source.name} has no tasks", hint="each line that is not blank is one")
    return _ManyLaunches(out, values, list(command) or ["/bin/sh"], source).run()


def _source(values: FlagValues, command: Sequence[str]) -> Source:
    if "each_line" not in values:
        if not command:
            raise InvalidRequest("there is no command to run", hint="put it after `--`, e.g. -- ./simulate {index}")
        return Indices(values["array"].indices, command)
    if "array" in values:
        raise InvalidRequest("--each-line and --array both say what the tasks are", hint="leave out one of them")
    return Lines(values["each_line"], command)


class _ManyLaunches:
    """One farm, from its flags to its exit code."""

    def __init__(self, out: Renderer, values: FlagValues, command: list[str], source: Source) -> None:
        self.out, self.values, self.source = out, values, source
        self.launch = OneLaunch(out, values, command)
        self.job, self.resources = self.launch.job, self.launch.resources
        self.farm: Farm | None = None
        self.mark = secrets.token_hex(8)
        self.are_runs = self.job.num_ranks > 1 or "launcher" in values
        self.limit = values.get("at_once") or (values["array"].limit if "array" in values else None)
        self.bar: Bar | None = None
        self.files = FarmFiles(values, str(self.job.directory), goes_on=self._goes_on, clear=self._clear_bar)

    def run(self) -> int:
        if not self.are_runs:
            self.resources.check(self.job)
        with registered(on_first=self._wake, on_second=self._hurry), ExitStack() as stack:
            state = self._state()
            stack.callback(state.release)
            holding = self._hold()
            if holding is None:
                return self.launch.not_assigned()
            stack.callback(holding.assignment.free)
            if "verbose" in self.values:
                self.launch.print_assignment(holding.assignment)
            engine = self._engine(holding)
            stack.callback(engine.close, kill=True)
            output = stack.enter_context(self.files.output(self.out, None if holding.here else state.path.parent))
            self.bar = bar = Bar(self.out)
            stack.callback(bar.end)
            self.farm = Farm(
                engine, self.source, state, output, self._task, self._rules(), bar.show if bar.shown else None
            )
            if self._goes_on:
                self.farm.compare()
            self._open(state, output)
            summary = self.farm.summary
            try:
                self.farm.run()
                state.close({"finished": not (summary.reason or summary.stopped or summary.unknown)})
            finally:
                bar.end()
                report(self.out, summary, str(state.path))
        return exit_code(summary)

    def _clear_bar(self) -> None:
        if self.bar is not None:
            self.bar.clear()

    def _wake(self) -> None:
        if self.farm is not None:
            self.farm.wake()

    def _hurry(self) -> bool:
        if self.bar is not None:
            self.bar.show_cursor()
        return self.farm is not None and self.farm.hurry()

    # ---- the state -------------------------------------------------------------------------------------------

    def _state(self) -> StateFile:
        values = self.values
        name = values.get("state")
        path = Path(os.path.abspath(os.path.expanduser(name or f"{self.source.name}.farm")))
        state = StateFile(path)
        try:
            if state.used and not state.finished and not ({"resume", "again", "fresh"} & values.keys()):
                raise InvalidRequest(
                    f"an earlier farm of these tasks has not finished ({path})",
                    hint="--resume goes on where it stopped, --fresh runs all tasks anew",
                )
            if state.damaged and self._goes_on:
                self.out.note(
                    f"{path} has {state.damaged} bytes that cannot be read, as a host that failed leaves them: tasks that"
                    " began just before that may run again"
                )
            if not state.finished:
                end_what_is_left(state.farms[-1])
        except BaseException:
            state.release()
            raise
        return state

    @property
    def _goes_on(self) -> bool:
        return "fresh" not in self.values and bool({"resume", "again"} & self.values.keys())

    def _open(self, state: StateFile, output: Output) -> None:
        about = {"mark": self.mark, "tasks": self.source.name, "since": time.time(), "spool": output.spool}
        state.open(about, fresh=not self._goes_on)

    # ---- where the tasks run ------------------------------------------------------------------------------------

    def _hold(self) -> slots.Holding | None:
        wait = self.launch.may_wait
        take = slots.take_nodes if self.are_runs else slots.take
        return take(self.resources, self.job, self.limit, wait=wait, timeout_s=self.values.get("timeout"))

    def _engine(self, holding: slots.Holding) -> Engine:
        job, resources, nodes = self.job, self.resources, holding.assignment.nodes
        hide_gpus = self.values.get("gpus_per_node") != SHARED and any(
            node.gpus for node in resources.allocation.nodes
        )
        bind = self.values.get("bind") != "none"

        def hold(pid: int) -> None:
            resources.hold_for(holding.assignment, pid)

        if self.are_runs:
            from ...farm.run_engine import RunEngine, own_resources

            own = own_resources(resources, nodes)
            own.check(job)
            return RunEngine(
                self.launch.method,
                job,
                own,
                bind=bind,
                hide_gpus=hide_gpus,
                grace_s=self.values.get("grace", _GRACE_S),
                guarded=hold,
            )
        if holding.here:
            environment = {**slots.environment_of_tasks(), **job.environment}
            places = slots.slots(nodes[0], holding.per_node, job, environment, hide_gpus=hide_gpus, bind=bind)
            engine = HostEngine(places, mark=self.mark, environment=environment)
            hold(engine.pid)
            return engine
        from ...farm.htex import NodesEngine
        from ...parsl.pools import NodePools
        from ...runs.selection import select_launch_method

        shape = slots.sized(job, len(nodes), holding.per_node)
        method = select_launch_method(
            self.launch.site,
            options=self.values.get("option", ()),
            platform=resources.allocation.platform,
            job=job.with_(num_nodes=len(nodes)),
        )
        pools = NodePools(
            nodes,
            shape,
            method,
            site=self.launch.site,
            environment=job.environment,
            guarded=hold,
            bind=bind,
            hide_gpus=hide_gpus,
        )
        return NodesEngine(pools)

    def _rules(self) -> Rules:
        values = self.values
        left = self.resources.time_left() if self.resources.allocation.id else None
        return Rules(
            at_once=self.limit,
            again=values.get("again", ()),
            halt=values.get("halt"),
            end=None if left is None else time.time() + left,
            lasts_s=values.get("time", 0),
            grace_s=values.get("grace", _GRACE_S),
        )

    # ---- a task, and what it prints ------------------------------------------------------------------------------

    def _task(self, item: Item, stdout: str, stderr: str) -> Task:
        environment: Mapping[str, str] = {ARRAY_INDEX: str(item.index), FARM: self.resources.allocation.full_id}
        stdin = self.files.stdin(item.index)
        return Task(item.number, item.argv, environment, str(self.job.directory), stdin, stdout, stderr)
