"""The nodes and partitions of slurm.conf for a machine that is as its site file says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from psij_parsl.api import Machine
from psij_parsl.sites.queues import NodeType, Queue

#: What a file does not say of its nodes.
_CPUS, _MEMORY, _NODES = 128, 1 << 19, 8
#: The partition where a queue is a QOS, which chooses it.
ALL = "all"


@dataclass
class Partition:
    """A partition and the queues that it serves."""

    name: str
    default: bool = False
    queues: list[Queue] = field(default_factory=list)

    @property
    def max_nodes(self) -> int | None:
        """The most nodes of a job; None where a queue has no limit."""
        limits = [queue.max_nodes for queue in self.queues]
        return None if None in limits else max(limit for limit in limits if limit is not None)

    @property
    def max_time_min(self) -> int | None:
        limits = [queue.max_time_min for queue in self.queues]
        return None if None in limits else max(limit for limit in limits if limit is not None)

    def node_types(self, machine: Machine) -> list[NodeType]:
        """Those of its queues, each once."""
        names = dict.fromkeys(name for queue in self.queues for name in queue.node_types)
        return [machine.node_types[name] for name in names]


def partitions(machine: Machine) -> dict[str, Partition]:
    """By name. Where the machine's queues are QOS there is one for all."""
    found: dict[str, Partition] = {}
    for queue in machine.queues.values():
        name = ALL if machine.parameters.get("queue_as") == "qos" else queue.rendered
        partition = found.setdefault(name, Partition(name))
        partition.queues.append(queue)
        partition.default = partition.default or queue.default or name == ALL
    return found


def node_and_partition_lines(machine: Machine) -> Iterator[str]:
    """Nodes in the cloud, of each type as many as the queue that takes most of them gives to a job."""
    used: dict[str, list[Queue]] = {}
    for queue in machine.queues.values():
        for name in queue.node_types:
            used.setdefault(name, []).append(queue)
    counts = {name: max(queue.max_nodes or _NODES for queue in queues) for name, queues in used.items()}
    for name, queues in used.items():
        yield f"NodeName={_nodes(name, counts)} {_node(machine, machine.node_types[name], queues)} State=CLOUD"
    for partition in partitions(machine).values():
        names = [_nodes(node_type.name, counts) for node_type in partition.node_types(machine)]
        minutes, most = partition.max_time_min, partition.max_nodes
        words = [f"PartitionName={partition.name}", f"Nodes={','.join(names)}"]
        words += [f"MaxTime={'INFINITE' if minutes is None else minutes}", f"MaxNodes={most or 'UNLIMITED'}"]
        yield " ".join([*words, f"Default={'YES' if partition.default else 'NO'}", "State=UP"])


def _nodes(name: str, counts: Mapping[str, int]) -> str:
    return f"{name or 'node'}-[1-{counts[name]}]"


def _node(machine: Machine, node_type: NodeType, queues: list[Queue]) -> str:
    """What a node of that type has."""
    hardware = node_type.hardware
    cores = hardware.siblings or [(cpu,) for cpu in range(hardware.cpus or _CPUS)]
    threads, spared = len(cores[0]), sum(not hardware.blocked.isdisjoint(core) for core in cores)
    said = [machine.parameters, node_type.parameters, *(queue.parameters for queue in queues)]
    features = {one for text in said for one in re.findall(r"\w+", str(text.get("constraint") or ""))}
    words = [f"Sockets=1 CoresPerSocket={len(cores)} ThreadsPerCore={threads} CPUs={len(cores) * threads}"]
    words.append(f"RealMemory={hardware.memory or _MEMORY}")
    if features:
        words.append(f"Feature={','.join(sorted(features))}")
    if spared:
        words.append(f"CoreSpecCount={spared}")
    if hardware.gpus and not any(queue.gpus_implied for queue in queues):
        words.append(f"Gres=gpu:{len(hardware.gpus)}")
    return " ".join(words)
