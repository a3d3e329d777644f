"""From requests to shapes and plans, and the reason where a request can never fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import DoesNotFit, InvalidRequest
from ..job_size import Resources
from .node_types import NodeType, Plan, Shape
from .pool import Pool


def shape_of(request: Resources, share: int | None) -> Shape:
    """The shape of a request. Raises `InvalidRequest` for numbers that say nothing."""
    if share is not None and share < 1:
        raise InvalidRequest(f"share must be at least 1, not {share}", hint="N stands for 1/N of a node")
    if request.ranks is not None:
        raise InvalidRequest(
            f"{request.ranks} ranks cannot be spread evenly over the nodes", hint="ask for as many on each node"
        )
    if request.gpus_on_node % request.ranks_per_node:
        raise InvalidRequest(
            f"{request.gpus_on_node} GPUs cannot be divided among {request.ranks_per_node} ranks",
            hint="say gpus_per_rank",
        )
    return Shape(
        request.nodes_at_least,
        request.ranks_per_node,
        request.cpus_per_rank,
        request.threads_per_core,
        request.gpus_on_node // request.ranks_per_node,
        request.memory_on_node or None,
        share,
    )


def plans_for(pool: Pool, shape: Shape) -> list[Plan]:
    """The shape on each type of node. Raises `DoesNotFit`, with the reason, if it never fits."""
    plans = pool.plans(shape)
    able = pool.members(plans)
    if able >= shape.num_nodes:
        return plans
    total = sum(node_type.members.bit_count() for node_type in pool.node_types)
    if shape.num_nodes > total:
        raise DoesNotFit(
            f"{_plural(shape.num_nodes, 'node')} were asked for, and this allocation has {total}",
            hint="ask for fewer nodes with -N, or submit a larger job",
        )
    node_types = [node_type for node_type in pool.node_types if node_type.members]
    for reason in (_cores(shape, node_types), _gpus(shape, node_types), _memory(shape, node_types)):
        if reason and not able:
            raise DoesNotFit(reason, hint="ask for fewer ranks per node, or less for each, or use more nodes")
    raise DoesNotFit(
        f"{_plural(shape.num_nodes, 'node')} with {_wants(shape, node_types)} on each were asked for,"
        f" and {able} of this allocation's {total} are large enough",
        hint="ask for fewer nodes, or less on each",
    )


def _cores(shape: Shape, node_types: Sequence[NodeType]) -> str:
    if any(Plan(shape._replace(gpus_per_rank=0, memory=None), node_type).fits for node_type in node_types):
        return ""
    needed = Plan(shape, max(node_types, key=lambda node_type: node_type.num_cores)).cores
    return (
        f"each node must have {_plural(needed, 'core')}, and the largest has {_most(k.num_cores for k in node_types)}"
    )


def _gpus(shape: Shape, node_types: Sequence[NodeType]) -> str:
    needed, most = shape.ranks * shape.gpus_per_rank, _most(node_type.num_gpus for node_type in node_types)
    return f"each node must have {_plural(needed, 'GPU')}, and the largest has {most}" if needed > most else ""


def _memory(shape: Shape, node_types: Sequence[NodeType]) -> str:
    sizes = [node_type.memory for node_type in node_types]
    most = _most(size or 0 for size in sizes)
    if shape.memory is None or None in sizes or shape.memory <= most:
        return ""
    return f"each node must have {shape.memory} MB, and the largest has {most} MB"


def _most(numbers: Iterable[int]) -> int:
    return max(numbers, default=0)


def _wants(shape: Shape, node_types: Sequence[NodeType]) -> str:
    cores = Plan(shape._replace(share=None), max(node_types, key=lambda node_type: node_type.num_cores)).cores
    parts = [_plural(cores, "core")]
    if shape.gpus_per_rank:
        parts.append(_plural(shape.ranks * shape.gpus_per_rank, "GPU"))
    if shape.memory:
        parts.append(f"{shape.memory} MB")
    return " and ".join(parts)


def _plural(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"
