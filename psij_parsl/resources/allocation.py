"""The current allocation: the nodes, CPUs, GPUs and wall time that the environment gives this job."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from . import gpus as gpu
from . import host
from .node import Hardware, Node


class Allocation(NamedTuple):
    """The nodes of the current job, before anything is assigned.

    `id` is the manager's for the job, '' on a plain host. `end` is when its wall time ends, in seconds since the
    epoch, None where that is not known (the manager may be asked: see `NodeResources.time_left`). `cluster` tells
    job ids of several clusters apart, and `attempt` a requeued job from its earlier self. `siblings` are the CPU
    ids that are threads of one core, where known. A node whose `cpus` are empty was named without a number of CPUs.
    `gpus_told`: the manager reports GPUs, so nodes without any have none; otherwise that is unknown.
    `queue` is the manager's name for the job's queue, '' where it does not say.
    """

    platform: str
    id: str
    nodes: tuple[Node, ...]
    end: float | None = None
    cluster: str = ""
    siblings: tuple[tuple[int, ...], ...] = ()
    attempt: str = ""
    gpus_told: bool = False
    queue: str = ""

    @property
    def full_id(self) -> str:
        """What tells it from those of other platforms, too."""
        return f"{self.platform}:{self.id}"

    @property
    def num_cpus(self) -> int:
        return sum(len(node.cpus) for node in self.nodes)

    def complete(self, hardware: Hardware, environ: Mapping[str, str] = os.environ) -> Allocation:
        """With what this host shows, or the site says, where the manager was silent.

        Its GPUs are looked for on this host only if this job has the whole host.
        """
        here = next((node for node in self.nodes if host.is_here(node.name)), None)
        gpus: tuple[str, ...] = ()
        if not self.gpus_told and not any(node.gpus for node in self.nodes) and gpu.visible(environ) is None:
            ours = not self.id or (here is not None and len(here.cpus or ids(host.online())) == host.online())
            gpus = (gpu.host_gpus(environ) if ours else ()) or hardware.gpus
        count = hardware.cpus or (host.online() if here is not None else 0)
        nodes = tuple(
            node._replace(
                cpus=node.cpus or ids(count or 1),
                real_ids=node.real_ids and bool(node.cpus or count),
                gpus=node.gpus or gpus,
                memory=hardware.memory if node.memory is None else node.memory,
            )
            for node in self.nodes
        )
        return self._replace(nodes=nodes, siblings=hardware.siblings or self.siblings)


def ids(count: int, _made: dict[int, tuple[int, ...]] = {}) -> tuple[int, ...]:  # noqa: B006 - shared on purpose
    """0, 1, … `count` - 1; the same tuple each time, for thousands of nodes hold it."""
    return _made.setdefault(count, tuple(range(count)))


def counted(
    names: Iterable[str], counts: Sequence[int], gpus: tuple[str, ...] = (), memory: Sequence[int | None] = ()
) -> tuple[tuple[Node, ...], tuple[tuple[int, ...], ...]]:
    """Nodes from their numbers of CPUs, as the manager reports them; and which ids are threads of one core, if known.

    Their ids are known in two cases. Where a node like this host has as many CPUs as this host, it has all of
    them. Where this process may use exactly as many as this node has, it may use its own.
    """
    online, own_cpus = host.online(), host.cpus()
    inside = False
    nodes: list[Node] = []
    amounts = [*memory] or [None]
    for at, (name, count) in enumerate(zip(names, counts, strict=True)):
        here = host.is_here(name)
        inside = inside or here
        cpus, real = ids(count), count == online
        if here and not real and len(own_cpus) == count:
            cpus, real = own_cpus, True
        nodes.append(Node(name, cpus, gpus, amounts[min(at, len(amounts) - 1)], real))
    if not inside:  # a login node: its CPUs say nothing about theirs
        nodes = [node._replace(real_ids=False) for node in nodes]
    real_nodes = any(node.real_ids for node in nodes)
    return tuple(nodes), host.siblings() if real_nodes else ()


PLAIN_HOST = "host"
"""What stands for a platform where no manager gave us an allocation."""


def plain_host(environ: Mapping[str, str]) -> Allocation:
    """This host, where no manager gave us a part of it: the CPUs, GPUs and memory that we may use."""
    node = Node(host.name(), host.cpus(), gpu.visible(environ) or (), host.memory())
    return Allocation(PLAIN_HOST, "", (node,), siblings=host.siblings())
