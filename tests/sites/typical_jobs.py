"""A typical job of each queue of a shipped site: what a user types for it, and the script that comes of it.

The rule: the fewest nodes that the queue takes; one rank for each GPU where its nodes have GPUs, else one on each node;
all cores, shared out among the ranks; an hour, or what the queue gives. Beside it stand the jobs that the node types with
parameters of their own are chosen by.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.api import Machine, site
from psij_parsl.cli.command import Invocation
from psij_parsl.cli.commands.submit import SUBMIT
from psij_parsl.cli.job_from_flags import fields
from psij_parsl.cli.quick_parser import parse
from psij_parsl.job import Job
from psij_parsl.sites.findings import Finding
from psij_parsl.sites.job_shape import usable_cores
from psij_parsl.sites.queues import NodeType, Queue
from psij_parsl.sites.site import Site

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
GENERIC = ("cobalt", "flux", "gridengine", "htcondor", "laptop", "lsf", "oar", "pbspro", "slurm", "torque")
MACHINES = tuple(path.stem for path in sorted(CONFIGS.glob("*.toml")) if path.stem not in GENERIC)
PROJECT = "abc123"
#: Where the lines of the user's options end in a script.
OPTIONS_END = "# psij-parsl's own:"
#: Something for what a user must say and a file cannot know.
_SAID = {"reservation": "mine", "qos": "user_qos_abc123"}


@dataclass(frozen=True)
class Typical:
    """A job as it is typed after `psij-run submit --site NAME`."""

    queue: str
    ask: str
    node_type: NodeType | None


def pretend_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that the spools of shipped sites name."""
    for variable in ("SCRATCH", "WORK", "HOME", "PROJECT"):
        monkeypatch.setenv(variable, f"/{variable.lower()}")
    monkeypatch.setenv("USER", "anna")


def asked(command: Any, machine: Machine, ask: str) -> tuple[Invocation, dict[str, Any]]:
    """The fields of a job that these words ask for."""
    invocation = parse(command, shlex.split(ask))
    assert invocation is not None, f"psij-run does not understand {ask}"
    return invocation, fields(invocation.values(), site_ranks_per_node=machine.defaults.get("ranks_per_node"))


def completed_job(machine: Machine, ask: str) -> tuple[Job, list[Finding]]:
    """The job that is asked for, filled up by the site, and all that the site finds wrong with it."""
    invocation, values = asked(SUBMIT, machine, ask)
    completion = machine.completion({**values, "command": invocation.arguments})
    job = Job(**completion.fields)
    return job, [*completion.findings, *machine.check(job)]


def typical_jobs(machine: Machine) -> Iterator[Typical]:
    """Those of all queues, in the order of the file."""
    for queue in machine.queues.values():
        types, with_gpus = _types_said(machine, queue), False
        for node_type in types or [None]:
            gpus = node_type is not None and bool(node_type.hardware.gpus)
            own = node_type.parameters if node_type is not None else {}
            if node_type in types[1:] and not own and (with_gpus or not gpus):
                continue
            ask = _ask(machine, queue, node_type)
            if node_type is not None and not _leads_to(machine, ask, node_type):
                ask = f"{ask} {shlex.join(_said_by(own))}"
                if not _leads_to(machine, ask, node_type):
                    continue  # such nodes cannot be told from those before
            with_gpus = with_gpus or gpus
            yield Typical(queue.name, f"{ask} -- ./app", node_type)


def _types_said(machine: Site, queue: Queue) -> list[NodeType]:
    """The node types that the file gives the queue; none where it may be any."""
    said = machine.origin(("queues", queue.name, "node")) != "default" or "" in machine.node_types
    return [machine.node_types[name] for name in queue.node_types] if said else []


def _leads_to(machine: Machine, ask: str, node_type: NodeType) -> bool:
    job, _ = completed_job(machine, f"{ask} -- ./app")
    return job.node_type == node_type.name


def _said_by(parameters: Mapping[str, Any]) -> Iterator[str]:
    for name, value in parameters.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            yield from ("-X", f"{name}={one}")


def _ask(machine: Site, queue: Queue, node_type: NodeType | None) -> str:
    tier = min(queue.tiers, key=lambda one: one.min_nodes)
    minutes = max(min(60, int(tier.longest(tier.min_nodes) or 60)), queue.min_time_min or 1)
    words = [
        "-q",
        queue.name,
        "-N",
        str(tier.min_nodes),
        *_shape(queue, node_type, tier.min_nodes),
        "-t",
        str(minutes),
    ]
    layers = [machine, *([node_type] if node_type is not None else []), queue]
    forbidden = {name for layer in layers for name in layer.forbidden}
    required = {name for layer in layers for name in layer.required}
    if "project" not in forbidden:
        words += ["-A", PROJECT]
    memory = (
        node_type.hardware.memory if node_type is not None and "memory_per_node" in required else queue.min_memory
    )
    if memory is not None:
        words += ["--mem", f"{memory}M"]
    filled = {name for layer in layers for name in layer.parameters}
    words += _said_by({name: text for name, text in _SAID.items() if name in required - filled})
    return shlex.join(words)


def _shape(queue: Queue, node_type: NodeType | None, nodes: int) -> Iterator[str]:
    """One rank for each GPU, else one on each node, with all cores that the queue lets a job have."""
    gpus = len(node_type.hardware.gpus) if node_type is not None else 0
    if queue.max_gpus is not None:
        gpus = min(gpus, queue.max_gpus // nodes)
    known = [usable_cores(node_type.hardware)] if node_type is not None else []
    known.append(queue.max_cores // nodes if queue.max_cores is not None else None)
    cores = min((count for count in known if count is not None), default=None)
    if gpus:
        yield from ("--ntasks-per-node", str(gpus))
    if cores is not None:
        yield from ("-c", str(cores // (gpus or 1)))
    if gpus:
        yield from ("-g", "1")


def option_lines(script: str) -> list[str]:
    """The lines with the user's options, without the script's first."""
    before, mark, _ = script.partition(OPTIONS_END)
    assert mark, script
    return before.splitlines()[1:]


@pytest.fixture
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The shipped site that the test is about."""
    pretend_home(monkeypatch)
    return site(request.param)
