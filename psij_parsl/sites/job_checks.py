"""Checks of a job against a queue's limits and its nodes, before it is submitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..job import Job
from ..job_size import Resources
from .job_shape import Shape, usable_cores

if TYPE_CHECKING:
    from ..resources.node import Hardware
    from .queues import NodeType, Queue, Tier


class Problem(NamedTuple):
    """A limit that a job is beyond: its key among findings, a sentence to follow "queue NAME" or "it", the keys of
    the file that may say it, and what to change. `soft`: managers differ in it, so that it never refuses a job."""

    key: str
    text: str
    settings: tuple[str, ...] = ()
    hint: str = ""
    soft: bool = False


def node_problems(node_type: NodeType, shape: Shape) -> Iterator[Problem]:
    """What a node of that type has not."""
    hardware = node_type.hardware
    name = f"{node_type.name} nodes have" if node_type.name else "its nodes have"
    yield from _too_many_cores(hardware, name, shape)
    yield from _too_many_threads(hardware, name, shape)
    if shape.gpus > len(hardware.gpus) and (hardware.gpus or node_type.name):
        has = _gpus(len(hardware.gpus)) if hardware.gpus else "no GPUs"
        hint = f"at most {len(hardware.gpus)} on each node" if hardware.gpus else "leave out -g"
        yield Problem("gpus", f"{name} {has}, and the job asks for {shape.gpus} on each", ("gpus",), hint)
    if hardware.memory is not None and shape.memory is not None and shape.memory > hardware.memory:
        text = f"{name} {hardware.memory} MB for jobs, and the job asks for {shape.memory} MB on each"
        yield Problem("memory", text, ("memory",), f"--mem {hardware.memory}M at most")


def _too_many_cores(hardware: Hardware, name: str, shape: Shape) -> Iterator[Problem]:
    cores, cpus = usable_cores(hardware), hardware.cpus
    if cores is None or cpus is None:
        return
    if shape.cpus is not None and shape.cpus > cpus:
        text = f"{name} {cpus} CPUs, and the job asks for {shape.cpus} on each"
        yield Problem("cpus", text, ("cpus",), f"at most {cpus}")
    if shape.cores > cores and (shape.cpus is None or shape.cores > cpus):
        threads = len(hardware.siblings[0]) if hardware.siblings else 1
        blocked = f", and {len(hardware.blocked)} CPUs are blocked" if hardware.blocked else ""
        each = f" with {threads} hardware threads" if threads > 1 else ""
        text = f"{name} {cores} cores{each} for jobs{blocked}, and the job asks for {shape.cores} cores on each"
        hint = f"at most {cores} ranks times cores per rank on each node, or more nodes"
        yield Problem(
            "cpus", text, ("cpus", "blocked"), hint, soft=shape.cores <= cores * min(threads, shape.threads)
        )


def _too_many_threads(hardware: Hardware, name: str, shape: Shape) -> Iterator[Problem]:
    threads = len(hardware.siblings[0]) if hardware.siblings else None
    if threads is not None and shape.threads > threads:
        text = f"{name} {threads} hardware threads on each core, and the job asks for {shape.threads}"
        yield Problem("cpus", text, ("threads_per_core", "cpus"), f"--threads-per-core {threads}")


def too_few_nodes(types: Sequence[NodeType], most: int, nodes: int) -> Problem:
    """There are not as many nodes of these types as a job asks for."""
    names = " and ".join(one.name for one in types if one.name)
    there = f"there {'is' if most == 1 else 'are'} {most} {names}{' ' * bool(names)}node{'' if most == 1 else 's'}"
    return Problem("nodes", f"{there}, and the job asks for {nodes}", ("count",), f"-N {most} at most")


def tier_of(queue: Queue, job: Resources) -> Tier | None:
    """The tier of the queue that lets such a job run longest; None if it takes no jobs of that many nodes."""
    nodes = job.num_nodes
    tiers = [tier for tier in queue.tiers if nodes is None or tier.holds(nodes)]
    no_limit = float("inf")

    def longest(tier: Tier) -> float:
        return no_limit if (most := tier.longest(nodes or tier.min_nodes)) is None else most

    return max(tiers, key=longest, default=None)


def queue_problems(queue: Queue, node_type: NodeType | None, job: Job, shape: Shape) -> Iterator[Problem]:
    """Each limit of the queue that the job is beyond."""
    nodes = job.nodes_at_least
    tier = tier_of(queue, job)
    if tier is None:
        yield _wrong_nodes(queue, nodes)
    yield from _time_problems(queue, tier, nodes, job.wall_time_min)
    hardware = node_type.hardware if node_type is not None else None
    if queue.max_cores is not None:
        of_node = usable_cores(hardware) if queue.whole_nodes and hardware is not None else None
        cores = nodes * (of_node or shape.cores)
        if cores > queue.max_cores:
            yield Problem(
                "max_cores", f"gives a job {queue.max_cores} cores at most, and it asks for {cores}", ("max_cores",)
            )
    of_node = len(hardware.gpus) if queue.whole_nodes and hardware is not None else 0
    if queue.max_gpus is not None and (gpus := nodes * max(of_node, shape.gpus)) > queue.max_gpus:
        yield Problem(
            "max_gpus", f"gives a job at most {_gpus(queue.max_gpus)}, and it asks for {gpus}", ("max_gpus",)
        )
    if queue.min_memory is not None and (shape.memory or 0) < queue.min_memory:
        asks = f"{shape.memory} MB" if shape.memory is not None else "none"
        text = f"is for jobs that ask for {queue.min_memory} MB on a node and more, and the job asks for {asks}"
        yield Problem("memory", text, ("min_memory",), f"--mem {queue.min_memory}M")
    if queue.max_memory is not None and shape.memory is not None and shape.memory > queue.max_memory:
        text = f"gives a job {queue.max_memory} MB at most on a node, and it asks for {shape.memory} MB"
        yield Problem("memory", text, ("max_memory",), f"--mem {queue.max_memory}M at most")
    if queue.array_max is not None and len(job.array) > queue.array_max:
        text = f"takes job arrays of {queue.array_max} elements at most, and this one has {len(job.array)}"
        yield Problem("array", text, ("array_max",), "submit several smaller ones")
    if queue.array_max_index is not None and job.array and (index := max(job.array)) > queue.array_max_index:
        text = f"takes indices of job arrays up to {queue.array_max_index}, and this one has {index}"
        yield Problem("array", text, ("array_max_index",), "begin at a smaller index")


def _time_problems(queue: Queue, tier: Tier | None, nodes: int, minutes: int | None) -> Iterator[Problem]:
    """A wall time beyond the queue's limits; none where it is left to the manager."""
    if minutes is None:
        return
    if tier is None:
        if queue.max_time_min is not None and minutes > queue.max_time_min:
            text = f"lets no job run longer than {time_text(queue.max_time_min)}, and the job asks for {time_text(minutes)}"
            yield Problem("time", text, ("max_time", "max_wall_time_min", "tiers"), f"-t {queue.max_time_min}")
    elif (most := tier.longest(nodes)) is not None and minutes > most:
        yield _too_long(queue, tier, nodes, minutes, int(most))
    if queue.min_time_min is not None and minutes < queue.min_time_min:
        least = time_text(queue.min_time_min)
        text = f"takes jobs from {least} on, and the job asks for {time_text(minutes)}"
        yield Problem("min_time", text, ("min_time",), f"-t {queue.min_time_min}")


def _wrong_nodes(queue: Queue, nodes: int) -> Problem:
    least, most = queue.min_nodes, queue.max_nodes
    if nodes < least:
        text = f"takes jobs from {_nodes(least)} on, and the job asks for {nodes}"
        return Problem("nodes", text, ("min_nodes", "tiers"), f"-N {least}")
    if most is not None and nodes > most:
        text = f"takes at most {_nodes(most)}, and the job asks for {nodes}"
        return Problem("nodes", text, ("max_nodes", "tiers"), f"-N {most}")
    ranges = ", ".join(f"{tier.min_nodes} to {tier.max_nodes or 'more'}" for tier in queue.tiers)
    return Problem("nodes", f"takes jobs of {ranges} nodes, and the job asks for {nodes}", ("tiers",))


def _too_long(queue: Queue, tier: Tier, nodes: int, minutes: int, most: int) -> Problem:
    """The job is longer than its tier allows; larger jobs may be let run so long."""
    where = f" with {_nodes(nodes)}" if len(queue.tiers) > 1 or tier.node_hours is not None else ""
    text = f"lets jobs{where} run {time_text(most)} at most, and the job asks for {time_text(minutes)}"
    longer = [
        other.min_nodes
        for other in queue.tiers
        if other.min_nodes > nodes
        and other.longest(other.min_nodes) is not None
        and minutes <= (other.longest(other.min_nodes) or 0)
    ]
    hint = f"-t {most}" + (f", or {_nodes(min(longer))} and more" if longer else "")
    return Problem("time", text, ("max_time", "max_wall_time_min", "tiers"), hint)


def _gpus(count: int) -> str:
    return f"{count} GPU" if count == 1 else f"{count} GPUs"


def _nodes(count: int) -> str:
    return f"{count} node" if count == 1 else f"{count} nodes"


def time_text(minutes: float) -> str:
    """A wall time for people: `2 h`, `1 h 30 min`, `3 days`."""
    whole = int(minutes)
    if whole >= 2880 and whole % 1440 == 0:
        return f"{whole // 1440} days"
    hours, rest = divmod(whole, 60)
    return " ".join(f"{number} {unit}" for number, unit in ((hours, "h"), (rest, "min")) if number) or "0 min"
