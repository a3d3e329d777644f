"""The room for many alike tasks: as many places as there are in the allocation now, held as one assignment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import DoesNotFit, LaunchError
from ..job_size import Resources
from ..resources import Assignment, Node, NodeResources


def take_room(
    resources: NodeResources, task: Resources, at_once: int | None = None, timeout: float | None = None
) -> tuple[Assignment, Resources]:
    """Take places for as many tasks as there is room for now, at most `at_once`; the shape's ranks are the places.

    They are equally many on each node. Where there is room for none, one is waited for. Raises `DoesNotFit` for a
    task that never fits, `LaunchError` when the time to wait is over, or a signal asks us to leave.
    """
    most = _most(resources, task)
    shape = _largest([_places(free, all_, task, most) for free, all_ in _nodes(resources)], task, at_once)
    for wanted in filter(None, (shape, task)):
        assignment = resources.assign(wanted)
        if assignment is not None:
            return assignment, wanted
    assignment = resources.wait_for(task, timeout)
    if assignment is None:
        raise LaunchError(
            "there was no room for a single task in time",
            hint="`psij-run resources show` shows which runs hold the nodes",
        )
    return assignment, task


def _nodes(resources: NodeResources) -> Sequence[tuple[Node, Node]]:
    """Each node, what is free of it and what there is."""
    whole = {node.name: node for node in resources.allocation.nodes}
    return [(free, whole[free.name]) for free in resources.idle()]


def _most(resources: NodeResources, task: Resources) -> int:
    """How many tasks the largest node can ever have. Raises `DoesNotFit` if it is none."""
    resources.check(task)
    most, too_many = 1, max(len(node.cpus) for node in resources.allocation.nodes) + 1
    while too_many - most > 1:
        middle = (most + too_many) // 2
        try:
            resources.check(replace(task, ranks_per_node=middle))
            most = middle
        except DoesNotFit:
            too_many = middle
    return most


def _places(free: Node, whole: Node, task: Resources, most: int) -> int:
    """About how many tasks a node has room for now."""
    cpus_of_task = max(1, len(whole.cpus) // most) if most * task.cpus_per_rank >= len(whole.cpus) // 2 else 1
    places = len(free.cpus) // max(cpus_of_task, task.cpus_per_rank)
    if task.gpus_per_rank:
        places = min(places, len(free.gpus) // task.gpus_per_rank)
    return min(places, most)


def _largest(places: Sequence[int], task: Resources, at_once: int | None) -> Resources | None:
    """The shape with the most places, the same number on each of its nodes; None for none."""
    best = None
    for num_nodes, per_node in enumerate(sorted(places, reverse=True), 1):
        if at_once is not None:
            per_node = min(per_node, at_once // num_nodes)
        if per_node and (best is None or num_nodes * per_node > best.nodes_at_least * best.ranks_per_node):
            best = replace(task, num_nodes=num_nodes, ranks_per_node=per_node)
    return best
