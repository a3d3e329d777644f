"""`psij-run launch --each-line` and `--array`: many tasks, farmed over the allocation by this one process."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ...errors import InvalidRequest
from ...farm import slots
from ...farm.farm import Farm, Halt, Rules
from ...farm.host_engine import HostEngine, end_what_is_left
from ...farm.output import Output, Stream, filled, others
from ...farm.source import Indices, Item, Lines, Source
from ...farm.state_file import StateFile
from ...farm.task import Engine, Task
from ...runs.variables import ARRAY_INDEX
from ...signals import registered
from ..farm_report import Bar, exit_code, report
from ..file_patterns import pattern
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
        self.stdin = self._pattern("input")

    def run(self) -> int:
        if not self.are_runs:
            self.resources.check(self.job)
        with registered(on_first=self._wake), ExitStack() as stack:
            state = self._state()
            stack.callback(state.release)
            holding = self._hold()
            if holding is None:
                return self.launch.not_assigned()
            stack.callback(holding.assignment.free)
            engine = self._engine(holding)
            stack.callback(engine.close, kill=True)
            output = stack.enter_context(self._output(stack, None if holding.here else state.path.parent))
            self._bar = bar = Bar(self.out)
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

    def _wake(self) -> None:
        if self.farm is not None:
            self.farm.wake()

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
            end_what_is_left(state.farms[-1:] if not state.finished else ())
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
        wait = "no_wait" not in self.values
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
        environment = {**slots.environment_of_tasks(), **job.environment}
        if holding.here:
            places = slots.slots(nodes[0], holding.per_node, job, environment, hide_gpus=hide_gpus, bind=bind)
            engine = HostEngine(places, mark=self.mark, environment=environment)
            hold(engine.pid)
            return engine
        from ...farm.htex import NodesEngine
        from ...runs.selection import select_launch_method

        shape = slots.sized(job, len(nodes), holding.per_node)
        method = select_launch_method(
            self.launch.site,
            options=self.values.get("option", ()),
            platform=resources.allocation.platform,
            job=job.with_(num_nodes=len(nodes)),
        )
        return NodesEngine(
            nodes,
            shape,
            method,
            site=self.launch.site,
            environment=job.environment,
            guarded=hold,
            bind=bind,
            hide_gpus=hide_gpus,
        )

    def _rules(self) -> Rules:
        values = self.values
        left = self.resources.time_left() if self.resources.allocation.id else None
        limit = values.get("halt")
        return Rules(
            at_once=self.limit,
            again=values.get("again", ()),
            halt=None if limit is None else Halt(*limit),
            end=None if left is None else time.time() + left,
            lasts_s=values.get("time", 0),
            grace_s=values.get("grace", _GRACE_S),
        )

    # ---- a task, and what it prints ------------------------------------------------------------------------------

    def _task(self, item: Item, stdout: str, stderr: str) -> Task:
        environment: Mapping[str, str] = {ARRAY_INDEX: str(item.index)}
        stdin = filled(self.stdin, item.index) if self.stdin else ""
        return Task(item.number, item.argv, environment, str(self.job.directory), stdin, stdout, stderr)

    def _pattern(self, name: str) -> str:
        """The pattern of a file's name, absolute; '' if none was given."""
        if name not in self.values:
            return ""
        typed = self.values[name]
        path = pattern(os.path.join(str(self.job.directory), os.path.expanduser(typed)))
        if word := others(path):
            raise InvalidRequest(
                f"{typed}: there is no {word} of a task of many, it has an {{index}}",
                hint="for example 'out/{index}.txt'",
            )
        return path

    def _output(self, stack: ExitStack, folder: Path | None) -> Output:
        stdout = self._stream(stack, "output", self.out.out)
        if "output" in self.values and "error" not in self.values:
            return Output(stdout, None, folder)
        return Output(stdout, self._stream(stack, "error", self.out.err), folder)

    def _stream(self, stack: ExitStack, name: str, own: Any) -> Stream:
        path = self._pattern(name)
        label = "label" in self.values
        if path and filled(path, 1) != filled(path, 2):
            if label or "append" in self.values:
                raise InvalidRequest(
                    f"{'--label' if label else '--append'} is for output that is collected, and each task has a file",
                    hint="leave it out, or the {index} in the file's name",
                )
            return Stream(path, lambda data: None)
        if not path:
            return Stream("", self._write_to(own), label=label)
        file_name = filled(path, 0)
        try:
            mode = "ab" if "append" in self.values or self._goes_on else "wb"
            file = Path(file_name).open(mode)  # noqa: SIM115 - the stack closes it
        except OSError as error:
            raise InvalidRequest(
                f"{file_name} cannot be written: {error.strerror}", hint="choose another file"
            ) from error
        stack.callback(file.close)
        return Stream("", file.write, label=label)

    def _write_to(self, own: Any) -> Any:
        def write(data: bytes) -> None:
            self._bar.clear()
            own.buffer.write(data)
            own.flush()

        return write
