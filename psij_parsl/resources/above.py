"""What the runs hold that this process is a part of: they wait for it, so it would wait for that in vain."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress

from ..errors import DoesNotFit
from ..job_size import Resources
from ..system.processes import PARENT, process_identity, process_status
from .node import Node
from .nodes import NodeResources


def held_above(resources: NodeResources) -> list[Node]:
    """The parts of nodes that processes hold of which this one descends, as far as they are on this host.

    Of a process with several holdings nobody knows in which of them this is.
    """
    holders = resources.holders()
    holdings = Counter(process for holder in holders for process in holder.processes)
    above = {process for process in _ancestors() if holdings[process] == 1}
    return [node for holder in holders if above & {*holder.processes} for node in holder.nodes]


def in_vain(resources: NodeResources, request: Resources, share: int | None = None) -> bool:
    """Whether there is never room for the request while what is held above is held."""
    held: dict[str, set[object]] = defaultdict(set)
    for part in held_above(resources):
        held[part.name] |= {*part.cpus, *part.gpus}
    if not held:
        return False
    left = (
        node._replace(
            cpus=tuple(cpu for cpu in node.cpus if cpu not in held[node.name]),
            gpus=tuple(gpu for gpu in node.gpus if gpu not in held[node.name]),
        )
        for node in resources.allocation.nodes
    )
    nodes = tuple(node for node in left if node.cpus)
    try:
        NodeResources(resources.allocation._replace(nodes=nodes)).check(request, share=share)
    except DoesNotFit:
        return True
    return not nodes


def _ancestors() -> Iterator[str]:
    pid = os.getppid()
    with suppress(OSError, IndexError, ValueError):
        while pid:
            yield process_identity(pid)
            pid = int(process_status(pid)[PARENT])
