"""Nodes that are alike, and what a shape of task takes of one: whole numbers and bit masks only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .node import Hardware, Node

#: The occupancy of one core: shares of a node up to 1/24 are whole numbers of it.
UNIT = 5_354_228_880  # the least common multiple of 1 … 24
_KEPT = 4096  # cuts that are remembered per plan


class Shape(NamedTuple):
    """What a task needs on each of its nodes. `share` N is 1/N of a node, 1 a whole one, None just its cores."""

    num_nodes: int
    ranks: int
    cores_per_rank: int
    threads: int
    gpus_per_rank: int
    memory: int | None
    share: int | None


class Slice(NamedTuple):
    """A part of a node: its bits in the node's state, and the ids behind them in the order of the ranks."""

    bits: int
    cpus: tuple[int, ...]
    gpus: tuple[str, ...]


class NodeType:
    """Nodes with the same cores, GPUs and memory. A node's state has a bit per free core, then one per free GPU."""

    def __init__(self, node: Node, siblings: Sequence[Sequence[int]], hardware: Hardware) -> None:
        self.cores = _cores(node, siblings, hardware.blocked)
        self.num_cores, self.num_gpus = len(self.cores), len(node.gpus)
        self.width = min(map(len, self.cores), default=1)
        self.gpus, self.memory, self.real_ids = node.gpus, node.memory, node.real_ids
        self.full = self.num_cores * UNIT
        self.all_cores = (1 << self.num_cores) - 1
        self.all = (1 << self.num_cores + self.num_gpus) - 1
        self.near = [self._core_bits(hardware.gpu_cpus.get(gpu, ())) for gpu in node.gpus]
        self._cpus: dict[tuple[int, int, int], tuple[int, ...]] = {}
        self.members = 0
        self.row = self.num_cores + 1  # buckets of one number of free GPUs
        self.last = self.row * (self.num_gpus + 1) - 1
        self.buckets = [0] * (self.last + 1)
        self.nonempty = 0

    def _core_bits(self, cpus: Iterable[int]) -> int:
        wanted = set(cpus) if self.real_ids else set()
        return sum(1 << at for at, core in enumerate(self.cores) if wanted.intersection(core))

    def near_to(self, gpus: int) -> int:
        """The cores near to those GPUs."""
        cores = 0
        for at, mask in enumerate(self.near):
            if gpus >> at & 1:
                cores |= mask
        return cores

    def cpus(self, cores: int, threads: int) -> tuple[int, ...]:
        """The ids of so many hardware threads of each of those cores; eight cores at a time, from a table."""
        ids: tuple[int, ...] = ()
        at = 0
        while cores:
            if byte := cores & 255:
                key = (at, byte, threads)
                ids_of_byte = self._cpus.get(key)
                if ids_of_byte is None:
                    ids_of_byte = self._cpus[key] = tuple(
                        cpu for bit in range(8) if byte >> bit & 1 for cpu in self.cores[at + bit][:threads]
                    )
                ids += ids_of_byte
            cores >>= 8
            at += 8
        return ids

    def gpu_ids(self, gpus: int) -> tuple[str, ...]:
        """The ids of those GPUs."""
        return tuple([gpu for at, gpu in enumerate(self.gpus) if gpus >> at & 1]) if gpus else ()

    def level(self, key: int) -> int:
        """How many cores' occupancy is free on the nodes of that bucket."""
        return (self.last - key) % self.row

    def key(self, state: int, occupancy: int) -> int:
        """The bucket of a node: the higher, the fewer GPUs are free, and among these the fewer cores."""
        return self.last - (state >> self.num_cores).bit_count() * self.row - occupancy // UNIT

    def bits(self, cpus: Iterable[int], gpus: Iterable[str]) -> int:
        """The bits of those ids; ids that the node does not have here are nobody's."""
        of_cpu, of_gpu = set(cpus), set(gpus)
        cores = sum(1 << at for at, core in enumerate(self.cores) if of_cpu.intersection(core))
        return cores | sum(1 << at + self.num_cores for at, gpu in enumerate(self.gpus) if gpu in of_gpu)

    def ids(self, bits: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """The ids of those bits, all threads of each core."""
        widest = max(map(len, self.cores), default=1)
        return self.cpus(bits & self.all_cores, widest), self.gpu_ids(bits >> self.num_cores)


def _cores(node: Node, siblings: Sequence[Sequence[int]], blocked: frozenset[int]) -> tuple[tuple[int, ...], ...]:
    """The node's CPU ids, core by core; a core with a blocked thread is left out as a whole."""
    ours = set(node.cpus)
    blocked = blocked if node.real_ids else frozenset()
    grouped: list[tuple[int, ...]] = []
    for core in siblings if node.real_ids else ():
        threads = tuple(cpu for cpu in core if cpu in ours)
        ours.difference_update(threads)
        if threads and not blocked.intersection(core):
            grouped.append(threads)
    return tuple(sorted([*grouped, *((cpu,) for cpu in ours if cpu not in blocked)]))


class Plan:
    """A shape on a kind of node: what it takes there, and in which buckets it finds it."""

    def __init__(self, shape: Shape, node_type: NodeType) -> None:
        threads = min(shape.threads, node_type.width)
        per_rank = -(-shape.cores_per_rank * shape.threads // threads)
        self.node_type, self.threads, self.ranks = node_type, threads, shape.ranks
        self.cores = shape.ranks * per_rank
        self.gpus = shape.ranks * shape.gpus_per_rank
        self.memory = (shape.memory or 0) if node_type.memory is not None else 0
        self.occupancy = self.cores * UNIT
        self.fits = (
            self.cores <= node_type.num_cores
            and self.gpus <= node_type.num_gpus
            and self.memory <= (node_type.memory or 0)
        )
        if shape.share is not None:
            self.occupancy = max(self.occupancy, node_type.full // shape.share)
        if shape.share == 1 and self.fits:
            self.cores, self.gpus, self.memory = node_type.num_cores, node_type.num_gpus, node_type.memory or 0
        whole = not self.occupancy % UNIT
        self.step = self.gpus * node_type.row + self.occupancy // UNIT if whole else None
        self.fits_any_in_bucket = whole and not self.memory
        level = self.occupancy // UNIT
        self.wanted = 0
        if self.fits:
            row = (1 << node_type.row - level) - 1  # the buckets of one row with that many cores or more
            self.wanted = sum(
                row << (node_type.num_gpus - gpus) * node_type.row
                for gpus in range(self.gpus, node_type.num_gpus + 1)
            )
        self.cuts: dict[int, Slice] = {}

    def cut(self, state: int) -> Slice:
        """What to take of a node in that state: the lowest GPUs, the cores nearest to each rank's GPUs."""
        cut = self.cuts.get(state)
        if cut is None:
            if len(self.cuts) >= _KEPT:
                self.cuts.clear()
            cut = self.cuts[state] = self._new_cut(state)
        return cut

    def _new_cut(self, state: int) -> Slice:
        node_type = self.node_type
        free, gpus = state & node_type.all_cores, lowest(state >> node_type.num_cores, self.gpus)
        parts = self._nearest(free, gpus) if gpus and any(node_type.near) else [lowest(free, self.cores)]
        bits = gpus << node_type.num_cores
        cpus: tuple[int, ...] = ()
        for part in parts:
            bits |= part
            cpus += node_type.cpus(part, self.threads)
        return Slice(bits, cpus, node_type.gpu_ids(gpus))

    def _nearest(self, free: int, gpus: int) -> list[int]:
        """Cores rank by rank, each rank's as near as can be to its own GPUs; those that are left to nobody last."""
        per_rank, gpus_per_rank = self.cores // self.ranks, gpus.bit_count() // self.ranks
        cores_of_rank: list[int] = []
        for _ in range(self.ranks):
            rank_gpus = lowest(gpus, gpus_per_rank)
            gpus ^= rank_gpus
            cores_of_rank.append(lowest(free & self.node_type.near_to(rank_gpus), per_rank))
            free ^= cores_of_rank[-1]
        for rank, cores in enumerate(cores_of_rank):  # those for whom there were not enough nearby
            more = lowest(free, per_rank - cores.bit_count())
            free ^= more
            cores_of_rank[rank] |= more
        return [*cores_of_rank, lowest(free, self.cores - self.ranks * per_rank)]


def lowest(mask: int, number: int) -> int:
    """The lowest bits of a mask, so many of them, or all if there are not so many."""
    lowest_bits = at = 0
    while number and mask:
        byte = mask & 255
        mask >>= 8
        bits = byte.bit_count()
        if bits > number:
            byte, bits = _LOWEST[number][byte], number
        lowest_bits |= byte << at
        number -= bits
        at += 8
    return lowest_bits


def _lowest_of_byte(byte: int, number: int) -> int:
    for _ in range(byte.bit_count() - number):
        byte ^= 1 << byte.bit_length() - 1
    return byte


_LOWEST = [[_lowest_of_byte(byte, number) for byte in range(256)] for number in range(8)]
