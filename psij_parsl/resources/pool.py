"""Which cores and GPUs of which node are free: whole numbers and bit masks only, so that nothing drifts.

Nodes that are alike form a kind. Each kind sorts its nodes into buckets by free GPUs and free cores; a bucket is
a mask with a bit per node, and one more mask tells which buckets hold any. Both are written backwards, the first
node and the fullest bucket at the high end: the highest bit of a number costs nothing to find, however long it
is, so the best fit among thousands of nodes is `bit_length()` of two masks.

Not thread-safe: `NodeResources` holds the lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .node import Hardware, Node
from .node_types import UNIT, NodeType, Plan, Shape, Slice


class Taken(NamedTuple):
    """What somebody has of a node, whoever gave it: bits of its state, occupancy, MB."""

    bits: int
    occupancy: int
    memory: int


#: A cut that is taken out of the node of that number, by that plan.
Piece = tuple[int, Plan, Slice]


class Pool:
    """All nodes of an allocation, by number."""

    def __init__(self, nodes: Sequence[Node], siblings: Sequence[Sequence[int]], hardware: Hardware) -> None:
        made: dict[tuple[object, ...], NodeType] = {}
        self.names = [node.name for node in nodes]
        self.kind: list[NodeType] = []
        for node in nodes:
            like = (node.cpus, node.gpus, node.memory, node.real_ids)
            if like not in made:
                made[like] = NodeType(node, siblings, hardware)
            self.kind.append(made[like])
        self.top = len(nodes) - 1  # the place of the first node's bit
        self.kinds = sorted(made.values(), key=lambda kind: (kind.num_gpus, kind.num_cores))
        self.state = [kind.all for kind in self.kind]
        self.partial_occupancy = [0] * len(nodes)  # free occupancy beyond whole cores
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
            if plan.fits_any_in_bucket:
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
            (self.occupancy(index) / plan.kind.full, -self.keys[index], -index, plan)
            for plan in plans
            for index in self._emptiest(plan)
        ]
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
                if plan.fits_any_in_bucket or (
                    self.occupancy(index) >= plan.occupancy and self.memory[index] >= plan.memory
                ):
                    yield index

    def _piece(self, plan: Plan, index: int) -> Piece:
        """A piece of that node, on which the plan fits."""
        cut = plan.cut(self.state[index])
        self.change(index, plan, cut[0], 1)
        return index, plan, cut

    def occupancy(self, index: int) -> int:
        """How much of a node is not occupied."""
        return self.kind[index].level(self.keys[index]) * UNIT + self.partial_occupancy[index]

    def change(self, index: int, plan: Plan, bits: int, sign: int) -> None:
        """Take those bits (1), or give them back (-1), and put the node into the bucket where it then belongs."""
        kind = plan.kind
        self.state[index] = state = self.state[index] ^ bits
        old = self.keys[index]
        if plan.step is None:
            occupancy = self.occupancy(index) - sign * plan.occupancy
            key = kind.key(state, occupancy)
            self.partial_occupancy[index] = occupancy % UNIT
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
        bits, occupancy, memory = 0, 0, 0
        for taken in holders:
            bits |= taken.bits
            occupancy += taken.occupancy
            memory += taken.memory
        self.state[index] = kind.all & ~bits
        left = max(0, min(kind.full - occupancy, (kind.all_cores & ~bits).bit_count() * UNIT))
        self.partial_occupancy[index] = left % UNIT
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
        times = self.occupancy(index) // plan.occupancy
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
