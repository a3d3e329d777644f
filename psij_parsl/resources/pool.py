"""Which cores and GPUs of which node are free: whole numbers and bit masks only, so that nothing drifts.

Nodes that are alike are of one type. Each type sorts its nodes into buckets by free GPUs and free cores; a bucket is
a mask with a bit per node, and one more mask tells which buckets hold any. Both are written backwards, the first
node and the fullest bucket at the high end: the highest bit of a number costs nothing to find, however long it
is, so the best fit among thousands of nodes is `bit_length()` of two masks.

Three nodes of 4 cores, without GPUs; a node's number of free cores says its bucket::

    node       state (free cores)   free    bucket    masks of the buckets (first node leftmost)
    node 0     0011                 2       2         full    (0 free)   000
    node 1     1111                 4       4                 (2 free)   101
    node 2     0110                 2       2         empty   (4 free)   010

A task of one core goes to the fullest bucket that holds a node, which is that of 2 free cores, and there to the first
node, node 0. `nonempty` has a bit for each bucket that holds any; a plan's `wanted` those whose nodes are large enough.

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
        types: dict[tuple[object, ...], NodeType] = {}
        self.names = [node.name for node in nodes]
        self.type_of: list[NodeType] = []
        for node in nodes:
            properties = (node.cpus, node.gpus, node.memory, node.real_ids)
            if properties not in types:
                types[properties] = NodeType(node, siblings, hardware)
            self.type_of.append(types[properties])
        self.top = len(nodes) - 1  # the place of the first node's bit
        self.node_types = sorted(types.values(), key=lambda node_type: (node_type.num_gpus, node_type.num_cores))
        self.state = [node_type.all for node_type in self.type_of]
        self.partial_occupancy = [0] * len(nodes)  # free occupancy beyond whole cores
        self.memory = [node_type.memory or 0 for node_type in self.type_of]
        self.keys = [node_type.key(node_type.all, node_type.full) for node_type in self.type_of]
        self.gone = 0  # a mask of the nodes that were given back
        for index, node_type in enumerate(self.type_of):
            node_type.members |= 1 << self.top - index
        for node_type in self.node_types:
            top = node_type.key(node_type.all, node_type.full)
            node_type.buckets[top], node_type.nonempty = node_type.members, 1 << top

    # ---- taking and giving -----------------------------------------------------------------------------------

    def take(self, plans: Sequence[Plan], number: int = 1, spread: bool = False) -> tuple[Piece, ...] | None:
        """A piece of each of so many different nodes, or None.

        Of the type with the fewest GPUs that will do, the fullest node (the emptiest, with `spread`), the lowest ids.
        """
        if number > 1:
            return self._take_many(plans, number, spread)
        if spread:
            return self._take_emptiest(plans)
        for plan in plans:
            node_type = plan.node_type
            fitting = node_type.nonempty & plan.wanted
            if not fitting:
                continue
            if plan.fits_any_in_bucket:
                index = self.top + 1 - node_type.buckets[fitting.bit_length() - 1].bit_length()
                state = self.state[index]
                cut = plan.cuts.get(state) or plan.cut(state)
                self.change(index, plan, cut[0], 1)
                return ((index, plan, cut),)
            fitting_index = next(self.fitting_nodes(plan), None)
            if fitting_index is not None:
                return (self._piece(plan, fitting_index),)
        return None

    def _take_emptiest(self, plans: Sequence[Plan]) -> tuple[Piece, ...] | None:
        candidates = [
            (self.occupancy(index) / plan.node_type.full, -self.keys[index], -index, plan)
            for plan in plans
            for index in self._emptiest(plan)
        ]
        if not candidates:
            return None
        _, _, index, plan = max(candidates, key=lambda candidate: candidate[:3])
        return (self._piece(plan, -index),)

    def _emptiest(self, plan: Plan) -> Iterator[int]:
        """The first that fits in each row of buckets, from the emptiest down."""
        node_type = plan.node_type
        for row in range(node_type.num_gpus + 1 - plan.gpus):
            buckets = node_type.nonempty & plan.wanted & ((1 << node_type.row) - 1 << row * node_type.row)
            index = next(self.fitting_nodes(plan, buckets, emptiest=True), None)
            if index is not None:
                yield index

    def _take_many(self, plans: Sequence[Plan], number: int, spread: bool) -> tuple[Piece, ...] | None:
        """Of different nodes, in the order of their numbers."""
        matches: list[tuple[int, Plan]] = []
        for plan in plans:
            for index in self.fitting_nodes(plan, emptiest=spread):
                matches.append((index, plan))
                if len(matches) == number:
                    return tuple(
                        self._piece(plan, index) for index, plan in sorted(matches, key=lambda match: match[0])
                    )
        return None

    def fitting_nodes(self, plan: Plan, among: int | None = None, *, emptiest: bool = False) -> Iterator[int]:
        """The nodes on which the plan fits now, bucket by bucket, the fullest (or emptiest) first."""
        node_type = plan.node_type
        fitting = node_type.nonempty & plan.wanted if among is None else among
        while fitting:
            key = (fitting & -fitting if emptiest else fitting).bit_length() - 1
            fitting ^= 1 << key
            bucket = node_type.buckets[key]
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
        return self.type_of[index].level(self.keys[index]) * UNIT + self.partial_occupancy[index]

    def change(self, index: int, plan: Plan, bits: int, sign: int) -> None:
        """Take those bits (1), or give them back (-1), and put the node into the bucket where it then belongs."""
        node_type = plan.node_type
        self.state[index] = state = self.state[index] ^ bits
        old = self.keys[index]
        if plan.step is None:
            occupancy = self.occupancy(index) - sign * plan.occupancy
            key = node_type.key(state, occupancy)
            self.partial_occupancy[index] = occupancy % UNIT
        else:
            key = old + sign * plan.step
        if plan.memory:
            self.memory[index] -= sign * plan.memory
        self.keys[index] = key
        bit = 1 << self.top - index
        buckets = node_type.buckets
        left = buckets[old] = buckets[old] ^ bit
        if not left:
            node_type.nonempty ^= 1 << old
        there = buckets[key]
        if not there:
            node_type.nonempty ^= 1 << key
        buckets[key] = there | bit  # last, for both may be the same bucket

    def set_node(self, index: int, holders: Iterable[Taken]) -> None:
        """Say who has what of a node, whatever it was before; they may overlap, as after a repair."""
        node_type = self.type_of[index]
        bits, occupancy, memory = 0, 0, 0
        for taken in holders:
            bits |= taken.bits
            occupancy += taken.occupancy
            memory += taken.memory
        self.state[index] = node_type.all & ~bits
        left = max(0, min(node_type.full - occupancy, (node_type.all_cores & ~bits).bit_count() * UNIT))
        self.partial_occupancy[index] = left % UNIT
        self.memory[index] = max(0, (node_type.memory or 0) - memory)
        old, bit = self.keys[index], 1 << self.top - index
        key = self.keys[index] = node_type.key(self.state[index], left)
        if not self.gone & bit:
            node_type.buckets[old] ^= bit
            node_type.buckets[key] |= bit
            for bucket_key in (old, key):
                node_type.nonempty = (
                    node_type.nonempty & ~(1 << bucket_key) | bool(node_type.buckets[bucket_key]) << bucket_key
                )

    def remove(self, index: int, *, gone: bool = True) -> None:
        """Use an idle node no more, for it is not ours any longer; or use it again."""
        node_type, key, bit = self.type_of[index], self.keys[index], 1 << self.top - index
        if bool(self.gone & bit) == gone:
            return
        self.gone ^= bit
        node_type.members ^= bit
        node_type.buckets[key] ^= bit
        node_type.nonempty = node_type.nonempty & ~(1 << key) | bool(node_type.buckets[key]) << key

    # ---- asking ----------------------------------------------------------------------------------------------

    def plans(self, shape: Shape) -> list[Plan]:
        """The shape on each type of node that is large enough for it."""
        return [plan for node_type in self.node_types if node_type.members and (plan := Plan(shape, node_type)).fits]

    def members(self, plans: Sequence[Plan]) -> int:
        """On how many nodes the plans' shape fits when all are idle."""
        return sum(plan.node_type.members.bit_count() for plan in plans)

    def part(self, index: int, *, busy: bool) -> Node:
        """What is busy, or idle, on a node."""
        node_type, state = self.type_of[index], self.state[index]
        cpus, gpus = node_type.ids(node_type.all & ~state if busy else state)
        free = None if node_type.memory is None else self.memory[index]
        memory = node_type.memory - free if busy and node_type.memory is not None and free is not None else free
        return Node(self.names[index], cpus, gpus, memory, node_type.real_ids)

    def indices(self) -> Iterator[int]:
        """The numbers of the nodes that are ours."""
        return (index for index in range(len(self.names)) if not self.gone >> self.top - index & 1)
