"""Assignments kept in the allocation's ledger, for any number of processes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from .. import signals
from ..errors import DoesNotFit
from ..job_size import Resources
from ..system.processes import process_identity
from .allocation_control import EndTime
from .inventory import Inventory
from .ledger import Holding, Ledger, LedgerState, QueuePlace, Ticket, folder, signature
from .ledger_pool import LedgerPool
from .node import Assignment, Holder, Node
from .node_types import Shape
from .requests import shape_of

_LOOK_S, _LOOK_MOST_S = 0.01, 0.3  # how often the first in the queue looks, and the last
_REAP_S = 0.5  # how often one of those who wait on a host looks for holders that have died


class LedgerBooks:
    """Assignments shared by concurrent `psij-run launch` commands, Parsl apps, scripts; methods as in `NodeResources`.

    What a process holds comes back when it ends, however it ends. Who gives something back serves the queue as
    well, so that those who wait need only look whether they have been given theirs. A process that died on
    another node is noticed by processes of that node only.
    """

    def __init__(self, inventory: Inventory, end: EndTime, environ: Mapping[str, str] = os.environ) -> None:
        self._inventory, self._end, self._pool = inventory, end, LedgerPool(inventory)
        allocation = inventory.allocation
        self.ledger = Ledger(folder(allocation, environ), durable=len(allocation.nodes) > 1)
        self._view = signature(allocation.nodes, allocation.siblings, inventory.hardware)
        self._mine: dict[int, Holding] = {}  # what this process was given, in case the ledger is lost
        self._state = LedgerState()
        self._mutex = threading.Lock()

    # ---- taking and giving -----------------------------------------------------------------------------------

    def assign(self, request: Resources, share: int | None, spread: bool) -> Assignment | None:
        """Take what the request needs, among all processes; None if that is not free now."""
        for died in (False, True):  # whether anybody has died is asked only when there is no room
            with self._opened(reap=died) as state:
                plans = self._inventory.plans(request, share)
                if state.waiting:
                    continue
                key = state.last + 1
                if self._pool.take(state, key, plans, shape_of(request, share), spread, [process_identity()]):
                    state.last = key
                    return self._assignment_of(key)
        return None

    def free(self, assignment: Assignment) -> None:
        """Give back, and serve the queue with it."""
        if assignment.held:
            assignment.held = False
            self._drop(assignment.id)

    def _drop(self, key: int) -> None:
        with self._opened() as state:
            self._mine.pop(key, None)
            if state.held.pop(key, None) is not None or state.withdraw(key):
                state.changed = True
                self._pool.update(state)
                self._serve_queue(state)

    def hold_for(self, assignment: Assignment, pid: int) -> None:
        """Hold it until that process, of this host, has ended as well."""
        owner = process_identity(pid)
        with self._opened() as state:
            holding = state.held.get(assignment.id)
            if holding is not None and owner not in holding.owners:
                holding.owners.append(owner)
                self._mine[assignment.id] = holding
                state.changed = True

    def wait_for(
        self, request: Resources, timeout: float | None, share: int | None, spread: bool, lasts_s: float | None
    ) -> Assignment | None:
        """Wait for room, in one queue for all processes, then take it."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self._end.check(lasts_s)
        key, assignment = self._queue_up(request, share, spread)
        place: QueuePlace | None = None
        try:
            while assignment is None:
                place = self.ledger.place(key, place)
                due = self.ledger.reap_due(_REAP_S)
                if place is None or due:
                    with self._opened(reap=due) as state:
                        self._inventory.plans(request, share)  # nodes may have been given back meanwhile
                        assignment = self._assignment_of(key) if key in state.held else None
                        lost = assignment is None and state.place(key) is None
                    if lost:  # the ledger was, and our place with it
                        key, assignment = self._queue_up(request, share, spread)
                    if assignment is not None:
                        break
                self._end.check(lasts_s)
                pause = min(_LOOK_MOST_S, _LOOK_S * (1 + (place.before if place else 0)))
                if deadline is not None:
                    pause = min(pause, deadline - time.monotonic())
                if pause <= 0 or signals.should_exit(pause):
                    return None
            self._end.check(lasts_s)  # it may have waited too long for what it got
            key = 0
            return assignment
        finally:
            if key:
                self._drop(key)

    def _queue_up(self, request: Resources, share: int | None, spread: bool) -> tuple[int, Assignment | None]:
        """Our number, and what it was given at once, if anything."""
        with self._opened(reap=True) as state:
            self._inventory.plans(request, share)
            key = state.last = state.last + 1
            shape = [*shape_of(request, share)]
            state.waiting.append(Ticket(key, [process_identity()], shape, spread, self._view))
            state.changed = True
            self._serve_queue(state)
            return key, self._assignment_of(key) if key in state.held else None

    def holders(self) -> tuple[Holder, ...]:
        """Who holds what, and after them who waits, in order."""
        with self._opened(reap=True) as state:
            held = [
                Holder(key, tuple(holding.owners), self.shown(tuple(holding.parts)), holding.since)
                for key, holding in sorted(state.held.items())
            ]
            return (*held, *(Holder(ticket.id, tuple(ticket.owners), (), None) for ticket in state.waiting))

    # ---- the ledger and the pool -------------------------------------------------------------------------------

    @contextmanager
    def _opened(self, *, reap: bool = False) -> Iterator[LedgerState]:
        """The books, with the pool in agreement; `reap` takes out the dead and gives what they had to who waits."""
        with self._mutex, self.ledger.transaction() as state:
            if state.born != self._state.born:
                self._write_back(state)
            self._state = state
            if reap:
                state.reap()
            self._pool.update(state)
            if reap:
                self._serve_queue(state)
            yield state

    def current(self) -> AbstractContextManager[object]:
        """The books, as they are now and while the block lasts."""
        return self._opened(reap=True)

    @contextmanager
    def sized(self) -> Iterator[None]:
        """The nodes that are ours, while the block lasts; who has them may change meanwhile."""
        with self._mutex:
            self._pool.note_released(self.ledger.released())
            yield

    def _write_back(self, state: LedgerState) -> None:
        """The ledger was begun again: write back what we hold."""
        for key, holding in self._mine.items():
            if key not in state.held:
                state.held[key] = holding
                state.last = max(state.last, key)
                state.changed = True

    def _serve_queue(self, state: LedgerState) -> None:
        """Give what is free to those who wait, in their order, as far as we can act for them."""
        while state.waiting and state.waiting[0].view == self._view:  # else it sees other cores than we do
            first = state.waiting[0]
            shape = Shape(*first.shape)  # type: ignore[arg-type] # as `_queue_up` wrote it
            try:
                plans = self._inventory.plans_of(shape)
            except DoesNotFit:  # nodes were given back: its owner will see, and say so
                return
            if not self._pool.take(state, first.id, plans, shape, first.spread, first.owners):
                return
            del state.waiting[0]

    def _assignment_of(self, key: int) -> Assignment:
        holding = self._mine[key] = self._state.held[key]
        return Assignment(key, holding.share, self, tuple(holding.parts))

    def shown(self, pieces: tuple[Any, ...]) -> tuple[Node, ...]:
        """An assignment's parts as nodes."""
        return self._pool.shown(pieces)

    def set_released(self, names: Collection[str], gone: bool) -> None:
        """Note that nodes were given back to the manager, or were not after all; inside `current`."""
        state = self._state
        state.released = [*state.released, *names] if gone else [name for name in state.released if name not in names]
        state.changed = True
        self._inventory.set_released(names, gone)
        self.ledger.write(state)  # at once, for what follows may take long, or kill us
