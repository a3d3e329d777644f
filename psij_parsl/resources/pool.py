"""Which cores and GPUs of which node are free: whole numbers and bit masks only, so that nothing drifts.

Nodes that are alike form a kind. Each kind sorts its nodes into buckets by free GPUs and free cores; a bucket is
a mask with a bit per node, and one more mask tells which buckets hold any. Both are written backwards, the first
node and the fullest bucket at the high end: the highest bit of a number costs nothing to find, however long it
is, so the best fit among thousands of nodes is `bit_length()` of two masks.

Not thread-safe: `NodeResources` holds the lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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


class Cut(NamedTuple):
    """A part of a node: its bits in the node's state, and the ids behind them in the order of the ranks."""

    bits: int
    cpus: tuple[int, ...]
    gpus: tuple[str, ...]


class Taken(NamedTuple):
    """What somebody has of a node, whoever gave it: bits of its state, occupancy, MB."""

    bits: int
    room: int
    memory: int


class Kind:
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
        found = 0
        for at, mask in enumerate(self.near):
            if gpus >> at & 1:
                found |= mask
        return found

    def cpus(self, cores: int, threads: int) -> tuple[int, ...]:
        """The ids of so many hardware threads of each of those cores; eight cores at a time, from a table."""
        found: tuple[int, ...] = ()
        at = 0
        while cores:
            if byte := cores & 255:
                key = (at, byte, threads)
                known = self._cpus.get(key)
                if known is None:
                    known = self._cpus[key] = tuple(
                        cpu for bit in range(8) if byte >> bit & 1 for cpu in self.cores[at + bit][:threads]
                    )
                found += known
            cores >>= 8
            at += 8
        return found

    def gpu_ids(self, gpus: int) -> tuple[str, ...]:
        """The ids of those GPUs."""
        return tuple([gpu for at, gpu in enumerate(self.gpus) if gpus >> at & 1]) if gpus else ()

    def level(self, key: int) -> int:
        """How many cores' occupancy is free on the nodes of that bucket."""
        return (self.last - key) % self.row

    def key(self, state: int, room: int) -> int:
        """The bucket of a node: the higher, the fewer GPUs are free, and among these the fewer cores."""
        return self.last - (state >> self.num_cores).bit_count() * self.row - room // UNIT

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

    def __init__(self, shape: Shape, kind: Kind) -> None:
        threads = min(shape.threads, kind.width)
        per_rank = -(-shape.cores_per_rank * shape.threads // threads)
        self.kind, self.threads, self.ranks = kind, threads, shape.ranks
        self.cores = shape.ranks * per_rank
        self.gpus = shape.ranks * shape.gpus_per_rank
        self.memory = (shape.memory or 0) if kind.memory is not None else 0
        self.room = self.cores * UNIT
        self.fits = self.cores <= kind.num_cores and self.gpus <= kind.num_gpus and self.memory <= (kind.memory or 0)
        if shape.share is not None:
            self.room = max(self.room, kind.full // shape.share)
        if shape.share == 1 and self.fits:
            self.cores, self.gpus, self.memory = kind.num_cores, kind.num_gpus, kind.memory or 0
        whole = not self.room % UNIT
        self.step = self.gpus * kind.row + self.room // UNIT if whole else None
        self.certain = whole and not self.memory
        level = self.room // UNIT
        self.wanted = 0
        if self.fits:
            row = (1 << kind.row - level) - 1  # the buckets of one row with that many cores or more
            self.wanted = sum(
                row << (kind.num_gpus - gpus) * kind.row for gpus in range(self.gpus, kind.num_gpus + 1)
            )
        self.cuts: dict[int, Cut] = {}

    def cut(self, state: int) -> Cut:
        """What to take of a node in that state: the lowest GPUs, the cores nearest to each rank's GPUs."""
        found = self.cuts.get(state)
        if found is None:
            if len(self.cuts) >= _KEPT:
                self.cuts.clear()
            found = self.cuts[state] = self._made(state)
        return found

    def _made(self, state: int) -> Cut:
        kind = self.kind
        free, gpus = state & kind.all_cores, lowest(state >> kind.num_cores, self.gpus)
        parts = self._nearest(free, gpus) if gpus and any(kind.near) else [lowest(free, self.cores)]
        bits = gpus << kind.num_cores
        cpus: tuple[int, ...] = ()
        for part in parts:
            bits |= part
            cpus += kind.cpus(part, self.threads)
        return Cut(bits, cpus, kind.gpu_ids(gpus))

    def _nearest(self, free: int, gpus: int) -> list[int]:
        """Cores rank by rank, each rank's as near as can be to its own GPUs; those that are left to nobody last."""
        per_rank, gpus_per_rank = self.cores // self.ranks, gpus.bit_count() // self.ranks
        chosen: list[int] = []
        for _ in range(self.ranks):
            mine = lowest(gpus, gpus_per_rank)
            gpus ^= mine
            chosen.append(lowest(free & self.kind.near_to(mine), per_rank))
            free ^= chosen[-1]
        for rank, cores in enumerate(chosen):  # those for whom there were not enough nearby
            more = lowest(free, per_rank - cores.bit_count())
            free ^= more
            chosen[rank] |= more
        return [*chosen, lowest(free, self.cores - self.ranks * per_rank)]


def lowest(mask: int, number: int) -> int:
    """The lowest bits of a mask, so many of them, or all if there are not so many."""
    found = at = 0
    while number and mask:
        byte = mask & 255
        mask >>= 8
        bits = byte.bit_count()
        if bits > number:
            byte, bits = _LOWEST[number][byte], number
        found |= byte << at
        number -= bits
        at += 8
    return found


def _lowest_of_byte(byte: int, number: int) -> int:
    for _ in range(byte.bit_count() - number):
        byte ^= 1 << byte.bit_length() - 1
    return byte


_LOWEST = [[_lowest_of_byte(byte, number) for byte in range(256)] for number in range(8)]


#: A cut that is taken out of the node of that number, by that plan.
Piece = tuple[int, Plan, Cut]


class Pool:
    """All nodes of an allocation, by number."""

    def __init__(self, nodes: Sequence[Node], siblings: Sequence[Sequence[int]], hardware: Hardware) -> None:
        made: dict[tuple[object, ...], Kind] = {}
        self.names = [node.name for node in nodes]
        self.kind: list[Kind] = []
        for node in nodes:
            like = (node.cpus, node.gpus, node.memory, node.real_ids)
            if like not in made:
                made[like] = Kind(node, siblings, hardware)
            self.kind.append(made[like])
        self.top = len(nodes) - 1  # the place of the first node's bit
        self.kinds = sorted(made.values(), key=lambda kind: (kind.num_gpus, kind.num_cores))
        self.state = [kind.all for kind in self.kind]
        self.crumbs = [0] * len(nodes)  # free occupancy beyond whole cores
        self.memory = [kind.memory or 0 for kind in self.kind]
        self.keys = [kind.key(kind.all, kind.full) for kind in self.kind]
        self.gone = 0  # a mask of the nodes that were given back
        for index, kind in enumerate(self.kind):
            kind.members |= 1 << self.top - index
        for kind in self.kinds:
            top = kind.key(kind.all, kind.full)
            kind.buckets[top], kind.nonempty = kind.members, 1 << top

    # ---- taking and giving -----------------------------------------------------------------------------------

    def take(self, plans: Sequence[Plan], number: int = 1, spread: bool = False) -> tuple[Piece, ...] | None:
        """A piece of each of so many different nodes, or None.

        Of the kind with the fewest GPUs that will do, the fullest node (the emptiest, with `spread`), the lowest ids.
        """
        if number > 1:
            return self._take_many(plans, number, spread)
        if spread:
            return self._take_emptiest(plans)
        for plan in plans:
            kind = plan.kind
            fitting = kind.nonempty & plan.wanted
            if not fitting:
                continue
            if plan.certain:
                index = self.top + 1 - kind.buckets[fitting.bit_length() - 1].bit_length()
                state = self.state[index]
                cut = plan.cuts.get(state) or plan.cut(state)
                self.change(index, plan, cut[0], 1)
                return ((index, plan, cut),)
            found = next(self._fitting(plan), None)
            if found is not None:
                return (self._piece(plan, found),)
        return None

    def _take_emptiest(self, plans: Sequence[Plan]) -> tuple[Piece, ...] | None:
        found = [
            (self.room(index) / plan.kind.full, -self.keys[index], -index, plan)
            for plan in plans for index in self._emptiest(plan)
        ]  # fmt: skip
        if not found:
            return None
        _, _, index, plan = max(found, key=lambda each: each[:3])
        return (self._piece(plan, -index),)

    def _emptiest(self, plan: Plan) -> Iterator[int]:
        """The first that fits in each row of buckets, from the emptiest down."""
        kind = plan.kind
        for row in range(kind.num_gpus + 1 - plan.gpus):
            buckets = kind.nonempty & plan.wanted & ((1 << kind.row) - 1 << row * kind.row)
            index = next(self._fitting(plan, buckets, emptiest=True), None)
            if index is not None:
                yield index

    def _take_many(self, plans: Sequence[Plan], number: int, spread: bool) -> tuple[Piece, ...] | None:
        """Of different nodes, in the order of their numbers."""
        found: list[tuple[int, Plan]] = []
        for plan in plans:
            for index in self._fitting(plan, emptiest=spread):
                found.append((index, plan))
                if len(found) == number:
                    return tuple(self._piece(plan, index) for index, plan in sorted(found, key=lambda each: each[0]))
        return None

    def _fitting(self, plan: Plan, among: int | None = None, *, emptiest: bool = False) -> Iterator[int]:
        """The nodes on which the plan fits now, bucket by bucket, the fullest (or emptiest) first."""
        kind = plan.kind
        fitting = kind.nonempty & plan.wanted if among is None else among
        while fitting:
            key = (fitting & -fitting if emptiest else fitting).bit_length() - 1
            fitting ^= 1 << key
            bucket = kind.buckets[key]
            while bucket:
                place = bucket.bit_length() - 1
                bucket ^= 1 << place
                index = self.top - place
                if plan.certain or (self.room(index) >= plan.room and self.memory[index] >= plan.memory):
                    yield index

    def _piece(self, plan: Plan, index: int) -> Piece:
        """A piece of that node, on which the plan fits."""
        cut = plan.cut(self.state[index])
        self.change(index, plan, cut[0], 1)
        return index, plan, cut

    def room(self, index: int) -> int:
        """How much of a node is not occupied."""
        return self.kind[index].level(self.keys[index]) * UNIT + self.crumbs[index]

    def change(self, index: int, plan: Plan, bits: int, sign: int) -> None:
        """Take those bits (1), or give them back (-1), and put the node into the bucket where it then belongs."""
        kind = plan.kind
        self.state[index] = state = self.state[index] ^ bits
        old = self.keys[index]
        if plan.step is None:
            room = self.room(index) - sign * plan.room
            key = kind.key(state, room)
            self.crumbs[index] = room % UNIT
        else:
            key = old + sign * plan.step
        if plan.memory:
            self.memory[index] -= sign * plan.memory
        self.keys[index] = key
        bit = 1 << self.top - index
        buckets = kind.buckets
        left = buckets[old] = buckets[old] ^ bit
        if not left:
            kind.nonempty ^= 1 << old
        there = buckets[key]
        if not there:
            kind.nonempty ^= 1 << key
        buckets[key] = there | bit  # last, for both may be the same bucket

    def set_node(self, index: int, holders: Iterable[Taken]) -> None:
        """Say who has what of a node, whatever it was before; they may overlap, as after a repair."""
        kind = self.kind[index]
        bits, room, memory = 0, 0, 0
        for taken in holders:
            bits |= taken.bits
            room += taken.room
            memory += taken.memory
        self.state[index] = kind.all & ~bits
        left = max(0, min(kind.full - room, (kind.all_cores & ~bits).bit_count() * UNIT))
        self.crumbs[index] = left % UNIT
        self.memory[index] = max(0, (kind.memory or 0) - memory)
        old, bit = self.keys[index], 1 << self.top - index
        key = self.keys[index] = kind.key(self.state[index], left)
        if not self.gone & bit:
            kind.buckets[old] ^= bit
            kind.buckets[key] |= bit
            for each in (old, key):
                kind.nonempty = kind.nonempty & ~(1 << each) | bool(kind.buckets[each]) << each

    def remove(self, index: int, *, gone: bool = True) -> None:
        """Use an idle node no more, for it is not ours any longer; or use it again."""
        kind, key, bit = self.kind[index], self.keys[index], 1 << self.top - index
        if bool(self.gone & bit) == gone:
            return
        self.gone ^= bit
        kind.members ^= bit
        kind.buckets[key] ^= bit
        kind.nonempty = kind.nonempty & ~(1 << key) | bool(kind.buckets[key]) << key

    # ---- asking ----------------------------------------------------------------------------------------------

    def plans(self, shape: Shape) -> list[Plan]:
        """The shape on each kind of node that is large enough for it."""
        return [plan for kind in self.kinds if kind.members and (plan := Plan(shape, kind)).fits]

    def times(self, plans: Sequence[Plan], num_nodes: int) -> int:
        """How often the plans' shape fits now, on that many different nodes each time."""
        per_node: dict[int, int] = {}
        for plan in plans:
            for index in self._fitting(plan):
                times = self._times(plan, index)
                per_node[times] = per_node.get(times, 0) + 1
        if num_nodes == 1:
            return sum(times * nodes for times, nodes in per_node.items())
        low, high = 0, sum(times * nodes for times, nodes in per_node.items()) // num_nodes
        while low < high:  # so often, if each node can take part often enough
            middle = (low + high + 1) // 2
            if sum(min(times, middle) * nodes for times, nodes in per_node.items()) >= middle * num_nodes:
                low = middle
            else:
                high = middle - 1
        return low

    def _times(self, plan: Plan, index: int) -> int:
        kind = plan.kind
        times = self.room(index) // plan.room
        if plan.gpus:
            times = min(times, (self.state[index] >> kind.num_cores).bit_count() // plan.gpus)
        if plan.memory:
            times = min(times, self.memory[index] // plan.memory)
        return times

    def members(self, plans: Sequence[Plan]) -> int:
        """On how many nodes the plans' shape fits when all are idle."""
        return sum(plan.kind.members.bit_count() for plan in plans)

    def part(self, index: int, *, busy: bool) -> Node:
        """What is busy, or idle, on a node."""
        kind, state = self.kind[index], self.state[index]
        cpus, gpus = kind.ids(kind.all & ~state if busy else state)
        free = None if kind.memory is None else self.memory[index]
        memory = kind.memory - free if busy and kind.memory is not None and free is not None else free
        return Node(self.names[index], cpus, gpus, memory, kind.real_ids)

    def indices(self) -> Iterator[int]:
        """The numbers of the nodes that are ours."""
        return (index for index in range(len(self.names)) if not self.gone >> self.top - index & 1)

    def by_name(self) -> Mapping[str, int]:
        return {name: index for index, name in enumerate(self.names)}
