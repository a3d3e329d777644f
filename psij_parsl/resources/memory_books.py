"""Assignments kept in memory, for one process with any number of threads."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Any

from .. import signals
from ..job_size import Resources
from .allocation_control import EndTime
from .inventory import SHAPES, Inventory
from .node import Assignment, Holder, Node
from .node_types import Plan

_LOOK_S = 0.1  # how often a waiting thread wakes up to look for a signal

_Planned = tuple[Resources, int | None, list[Plan]]


class MemoryBooks:
    """The assignments of one process; `NodeResources` has the same methods and documents them."""

    def __init__(self, inventory: Inventory, end: EndTime) -> None:
        self._inventory, self._end = inventory, end
        self._pool = inventory.pool
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)
        self._queue: deque[object] = deque()  # threads that wait, the first first
        self._planned: dict[int, _Planned] = {}  # plans by the identity of the request: most requests are repeated
        self._last_id = 0

    def assign(self, request: Resources, share: int | None, spread: bool) -> Assignment | None:
        """Take what the request needs, or None if that is not free now."""
        with self._lock:
            planned = self._planned.get(id(request))
            if planned is None or planned[0] is not request or planned[1] != share:
                planned = self._plan(request, share)
            if self._queue:
                return None
            pieces = self._pool.take(planned[2], request.nodes_at_least, spread)
            if pieces is None:
                return None
            self._last_id = number = self._last_id + 1
            return Assignment(number, share, self, pieces)

    def free(self, assignment: Assignment) -> None:
        """Give back. What is no longer held is ignored."""
        with self._lock:
            if not assignment.held:
                return
            assignment.held = False
            for index, plan, cut in assignment.pieces:
                self._pool.change(index, plan, cut[0], -1)
            if self._queue:
                self._freed.notify_all()

    def hold_for(self, assignment: Assignment, pid: int) -> None:
        """Nothing has to be done: books in memory die with us."""

    def wait_for(
        self, request: Resources, timeout: float | None, share: int | None, spread: bool, lasts_s: float | None
    ) -> Assignment | None:
        """Wait for room, then take it; None when the time is up or we are to leave."""
        deadline = None if timeout is None else time.monotonic() + timeout
        turn = object()
        with self._lock:
            plans = self._inventory.plans(request, share)
            self._queue.append(turn)
            try:
                while True:
                    self._end.check(lasts_s)
                    if self._queue[0] is turn and (pieces := self._pool.take(plans, request.nodes_at_least, spread)):
                        self._last_id += 1
                        return Assignment(self._last_id, share, self, pieces)
                    left = _LOOK_S if deadline is None else min(_LOOK_S, deadline - time.monotonic())
                    if left <= 0 or signals.should_exit():
                        return None
                    self._freed.wait(left)
                    plans = self._inventory.plans(request, share)  # nodes may have been given back meanwhile
            finally:
                self._queue.remove(turn)
                self._freed.notify_all()  # the next one is the first now

    def shown(self, pieces: tuple[Any, ...]) -> tuple[Node, ...]:
        """An assignment's pieces as nodes."""
        names = self._pool.names
        return tuple(
            Node(names[index], cut.cpus, cut.gpus, plan.memory or None, plan.node_type.real_ids)
            for index, plan, cut in pieces
        )

    def holders(self) -> tuple[Holder, ...]:
        """Always empty: books in memory keep no names."""
        return ()

    def current(self) -> AbstractContextManager[object]:
        """The books, as they are now and while the block lasts."""
        return self._lock

    def sized(self) -> AbstractContextManager[object]:
        """The nodes that are ours, while the block lasts; who has them may change meanwhile."""
        return self._lock

    def set_released(self, names: Collection[str], gone: bool) -> None:
        """Note that nodes were given back to the manager, or were not after all; inside `current`."""
        self._inventory.set_released(names, gone)
        self._planned.clear()

    def _plan(self, request: Resources, share: int | None) -> _Planned:
        if len(self._planned) >= SHAPES:
            self._planned.clear()
        planned = self._planned[id(request)] = request, share, self._inventory.plans(request, share)
        return planned
