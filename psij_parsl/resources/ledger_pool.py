"""Synchronises the pool of nodes with the ledger, whichever process wrote it."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from ..system.id_ranges import format_ranges
from .inventory import Inventory
from .ledger import Holding, LedgerState, Part, unpacked
from .node import Node
from .node_types import UNIT, Plan, Shape
from .pool import Piece, Taken


class LedgerPool:
    """Updates the pool from the ledger, and writes into the ledger what is taken from the pool."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory, self._pool = inventory, inventory.pool
        self._numbers = {name: index for index, name in enumerate(self._pool.names)}
        self._seen: dict[int, Holding] = {}  # the holdings that the pool knows of
        self._by_node: dict[int, dict[int, Taken]] = {}  # and by node

    def update(self, state: LedgerState) -> None:
        """Update the pool to the ledger's state."""
        touched: set[int] = set()
        for key in [key for key, holding in self._seen.items() if state.held.get(key) != holding]:
            for part in self._seen.pop(key).parts:
                index = self._numbers.get(part.name)
                if index is not None and self._by_node[index].pop(key, None) is not None:
                    touched.add(index)
        for key in state.held.keys() - self._seen.keys():
            holding = self._seen[key] = state.held[key]
            for part in holding.parts:
                index = self._numbers.get(part.name)
                if index is not None:
                    self._by_node.setdefault(index, {})[key] = self._taken(index, part, holding.share)
                    touched.add(index)
        for index in touched:
            self._pool.set_node(index, self._by_node[index].values())
        self.note_released(state.released)

    def note_released(self, released: Collection[str]) -> None:
        """Take the released nodes out of the pool."""
        if len(released) != self._pool.gone.bit_count():
            self._inventory.set_released(
                set(self._numbers).difference(released), False
            )  # the manager may have said no
            self._inventory.set_released(set(released), True)

    def take(
        self, state: LedgerState, key: int, plans: list[Plan], shape: Shape, spread: bool, owners: list[str]
    ) -> bool:
        """Take what the shape needs and write it down under that number; False if it is not free."""
        pieces = self._pool.take(plans, shape.num_nodes, spread)
        if pieces is None:
            return False
        holding = Holding(owners, shape.share, [self._part(piece) for piece in pieces], time.time())
        state.held[key] = self._seen[key] = holding
        state.changed = True
        for index, plan, cut in pieces:
            self._by_node.setdefault(index, {})[key] = Taken(cut.bits, plan.occupancy, plan.memory)
        return True

    def shown(self, pieces: tuple[Any, ...]) -> tuple[Node, ...]:
        """An assignment's parts as nodes."""
        node_types = self._pool.type_of
        return tuple(
            Node(
                part.name,
                unpacked(part.cpus),
                tuple(part.gpus),
                part.memory or None,
                part.name in self._numbers and node_types[self._numbers[part.name]].real_ids,
            )
            for part in pieces
        )

    def _taken(self, index: int, part: Part, share: int | None) -> Taken:
        node_type = self._pool.type_of[index]
        bits = node_type.bits(unpacked(part.cpus), part.gpus)
        occupancy = (bits & node_type.all_cores).bit_count() * UNIT
        if share is not None:
            occupancy = max(occupancy, node_type.full // share)
        return Taken(bits, occupancy, part.memory)

    def _part(self, piece: Piece) -> Part:
        index, plan, cut = piece
        return Part(self._pool.names[index], format_ranges(cut.cpus), list(cut.gpus), plan.memory)
