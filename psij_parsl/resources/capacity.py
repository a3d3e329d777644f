"""Capacity: how often a request fits on the resources that are free now."""

from __future__ import annotations

from collections.abc import Sequence

from .node_types import Plan
from .pool import Pool


def how_often(pool: Pool, plans: Sequence[Plan], num_nodes: int) -> int:
    """How often the plans' shape fits now, on that many different nodes each time."""
    nodes_by_times: dict[int, int] = {}
    for plan in plans:
        for index in pool.fitting_nodes(plan):
            times = _times_on(pool, plan, index)
            nodes_by_times[times] = nodes_by_times.get(times, 0) + 1
    total = sum(times * nodes for times, nodes in nodes_by_times.items())
    if num_nodes == 1:
        return total
    low, high = 0, total // num_nodes
    while low < high:  # so often, if each node can take part often enough
        middle = (low + high + 1) // 2
        if sum(min(times, middle) * nodes for times, nodes in nodes_by_times.items()) >= middle * num_nodes:
            low = middle
        else:
            high = middle - 1
    return low


def _times_on(pool: Pool, plan: Plan, index: int) -> int:
    times = pool.occupancy(index) // plan.occupancy
    if plan.gpus:
        times = min(times, (pool.state[index] >> plan.node_type.num_cores).bit_count() // plan.gpus)
    if plan.memory:
        times = min(times, pool.memory[index] // plan.memory)
    return times
