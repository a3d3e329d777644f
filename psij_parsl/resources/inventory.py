"""The nodes of an allocation, and how requests can be placed on them: common to `MemoryBooks` and `LedgerBooks`."""

from __future__ import annotations

from collections.abc import Collection

from ..job_size import Resources
from .allocation import Allocation
from .node import Hardware
from .node_types import Plan, Shape
from .pool import Pool
from .requests import plans_for, shape_of

SHAPES = 1024  # shapes whose plans are remembered


class Inventory:
    """The pool of nodes, and for each shape that was asked for the plans by which it fits on them."""

    def __init__(self, allocation: Allocation, hardware: Hardware) -> None:
        self.allocation, self.hardware = allocation, hardware
        self.pool = Pool(allocation.nodes, allocation.siblings, hardware)
        self._plans: dict[Shape, list[Plan]] = {}

    def plans(self, request: Resources, share: int | None) -> list[Plan]:
        """How the request is placed on each type of node. Raises `DoesNotFit` if it never can be."""
        return self.plans_of(shape_of(request, share))

    def plans_of(self, shape: Shape) -> list[Plan]:
        """The same for a shape."""
        plans = self._plans.get(shape)
        if plans is None:
            if len(self._plans) >= SHAPES:
                self._plans.clear()
            plans = self._plans[shape] = plans_for(self.pool, shape)
        return plans

    def set_released(self, names: Collection[str], gone: bool) -> None:
        """Take nodes out of the pool that were given back to the manager, or put them in again."""
        for index, name in enumerate(self.pool.names):
            if name in names:
                self.pool.remove(index, gone=gone)
        self._plans.clear()
