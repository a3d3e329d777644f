"""The places of a farm's tasks: which part of the allocation it holds, and which cores and GPUs each task has there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..errors import DoesNotFit
from ..job_size import Resources
from ..resources import Assignment, NodeResources
from ..resources.host import is_here
from ..resources.node import Node
from ..runs.binding import OUR_THREADS, THREADS, gpu_vendor, threads
from ..system.id_ranges import format_ranges

_MASKS = {"nvidia": "CUDA_VISIBLE_DEVICES", "amd": "ROCR_VISIBLE_DEVICES", "intel": "ZE_AFFINITY_MASK"}
_DEVICES = {"/dev/nvidiactl": "nvidia", "/dev/kfd": "amd", "/dev/dri/renderD128": "intel"}
#: On AMD's hosts these count within the mask.
WITHIN_MASK = ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")


class Slot(NamedTuple):
    """The place of one task at a time: cores to bind it to (none: it is not bound), and what it is told of them."""

    cpus: tuple[int, ...]
    environment: Mapping[str, str]


def slots(
    node: Node,
    number: int,
    task: Resources,
    environ: Mapping[str, str],
    *,
    hide_gpus: bool = False,
    bind: bool = True,
) -> list[Slot]:
    """A node of this farm cut into so many places. `hide_gpus`: there are GPUs, and tasks without one see none."""
    vendor = vendor_here(environ)
    count = threads(task.cpus_per_rank, environ) if bind else 0
    told = {name: str(count) for name in (OUR_THREADS, *THREADS)} if count else {}
    found = []
    for part in node.per_rank(number):
        gpus = masked(part.gpus, vendor) if bind and (part.gpus or hide_gpus) else {}
        cores = {"PSIJ_CPUS": format_ranges(part.cpus)} if bind else {}
        found.append(Slot(part.cpus if bind and part.real_ids else (), {**told, **cores, **gpus}))
    return found


def masked(gpus: Sequence[str], vendor: str) -> dict[str, str]:
    """The variables by which a process sees these GPUs alone."""
    listed = ",".join(gpus)
    mask = {"PSIJ_GPUS": listed, _MASKS[vendor]: listed}
    if vendor == "nvidia":
        mask["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    if vendor == "intel" and "." in listed:
        mask["ZE_FLAT_DEVICE_HIERARCHY"] = "COMPOSITE"
    return mask


def vendor_here(environ: Mapping[str, str]) -> str:
    """Whose GPUs this host has: as the environment says, else by their devices."""
    there = (vendor for device, vendor in _DEVICES.items() if Path(device).exists())
    return gpu_vendor(environ) or next(there, "nvidia")


# ---- what the farm holds ------------------------------------------------------------------------------------------


class Holding(NamedTuple):
    """What a farm holds of the allocation: on each node so many places for tasks."""

    assignment: Assignment
    per_node: int

    @property
    def here(self) -> bool:
        """Whether all of it is on this host."""
        nodes = self.assignment.nodes
        return len(nodes) == 1 and is_here(nodes[0].name)


def take(
    resources: NodeResources,
    task: Resources,
    at_once: int | None,
    *,
    wait: bool = True,
    timeout_s: float | None = None,
) -> Holding | None:
    """Take room for so many tasks at once (None: all that there is) in one assignment.

    What is free now, if that is enough for one task, else all that was asked for once it is free: None where that was
    not so in time. Raises `DoesNotFit` if a task can never fit.
    """
    resources.check(task)
    wanted = _wanted(resources, task, at_once)
    if (assignment := resources.assign(wanted)) is not None:
        return Holding(assignment, wanted.ranks_per_node)
    for smaller in _smaller(resources, task, wanted):
        if (assignment := resources.assign(smaller)) is not None:
            return Holding(assignment, smaller.ranks_per_node)
    if not wait or (assignment := resources.wait_for(wanted, timeout_s)) is None:
        return None
    return Holding(assignment, wanted.ranks_per_node)


def take_nodes(
    resources: NodeResources,
    task: Resources,
    at_once: int | None,
    *,
    wait: bool = True,
    timeout_s: float | None = None,
) -> Holding | None:
    """Take whole nodes, for tasks that are runs: all of them or, where others have some, those that are free."""
    resources.check(task)
    total = len(resources.allocation.nodes)
    free = resources.fit(Resources(), share=1)
    for nodes in (total, free):
        if task.nodes_at_least <= nodes and (assignment := resources.assign(Resources(num_nodes=nodes), share=1)):
            return Holding(assignment, 1)
    if not wait or (assignment := resources.wait_for(Resources(num_nodes=total), timeout_s, share=1)) is None:
        return None
    return Holding(assignment, 1)


def _wanted(resources: NodeResources, task: Resources, at_once: int | None) -> Resources:
    total = len(resources.allocation.nodes)
    if at_once is None:
        return sized(task, total, _most_on_each(resources, task, total))
    most = _most_on_each(resources, task, 1)
    nodes = min(total, -(-at_once // most))
    while nodes < total and nodes * _most_on_each(resources, task, nodes) < at_once:
        nodes += 1  # some are smaller
    return sized(task, nodes, min(_most_on_each(resources, task, nodes), -(-at_once // nodes)))


def _smaller(resources: NodeResources, task: Resources, wanted: Resources) -> list[Resources]:
    """What of it is free now."""
    nodes = wanted.nodes_at_least
    if nodes == 1:
        fitting = min(resources.fit(task), wanted.ranks_per_node)
        return [sized(task, 1, number) for number in range(fitting, 0, -1)]
    free = min(nodes, resources.fit(sized(task, 1, wanted.ranks_per_node)))
    return [sized(task, free, wanted.ranks_per_node)] if free else []


def sized(task: Resources, nodes: int, on_each: int) -> Resources:
    """Room for so many tasks on each of so many nodes."""
    memory = task.memory_per_node
    return replace(
        Resources(
            cpus_per_rank=task.cpus_per_rank, threads_per_core=task.threads_per_core, gpus_per_rank=task.gpus_on_node
        ),
        num_nodes=nodes,
        ranks_per_node=on_each,
        memory_per_node=memory * on_each if memory else memory,
    )


def _most_on_each(resources: NodeResources, task: Resources, nodes: int) -> int:
    """How many tasks fit beside each other on each of so many nodes, when all is idle."""
    low, high = 1, 1 + max(len(node.cpus) for node in resources.allocation.nodes)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            resources.check(sized(task, nodes, middle))
            low = middle
        except DoesNotFit:
            high = middle
    return low


def environment_of_tasks(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Ours, without what an outer run has left in it."""
    from ..runs.variables import OUTER_RUN
    from ..system.commands import matcher

    dropped = matcher(OUTER_RUN)
    kept = {name: value for name, value in environ.items() if not dropped.fullmatch(name)}
    if vendor_here(environ) == "amd" and "ROCR_VISIBLE_DEVICES" in environ:
        for name in WITHIN_MASK:
            kept.pop(name, None)
    return kept
