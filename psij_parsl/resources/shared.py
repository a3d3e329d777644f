"""NodeResources whose books are the allocation's ledger, which all its processes share."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from .. import signals
from ..errors import DoesNotFit
from ..job import Resources
from ..system import files
from .allocation import Allocation
from .ledger import Holding, Ledger, LedgerState, Part, QueuePlace, Ticket, folder, packed, signature, unpacked
from .node import Assignment, Hardware, Holder, Node
from .node_types import UNIT, Plan, Shape
from .nodes import NodeResources
from .pool import Piece, Taken
from .requests import shape_of

_LOOK_S, _LOOK_MOST_S = 0.01, 0.3  # how often the first in the queue looks, and the last
_REAP_S = 0.5  # how often one of those who wait on a host looks for holders that have died


class SharedNodes(NodeResources):
    """As its base, for any number of processes: concurrent `psij-run launch` commands, Parsl apps, scripts.

    What a process holds comes back when it ends, however it ends. Who gives something back serves the queue as
    well, so that those who wait need only look whether they have been given theirs. A process that died on
    another node is noticed by processes of that node only.
    """

    def __init__(
        self, allocation: Allocation, hardware: Hardware | None = None, *, environ: Mapping[str, str] = os.environ
    ) -> None:
        super().__init__(allocation, hardware)
        self._ledger = Ledger(folder(allocation, environ), durable=len(allocation.nodes) > 1)
        self._view = signature(allocation.nodes, allocation.siblings, self._hardware)
        self._numbers = {name: index for index, name in enumerate(self._pool.names)}
        self._seen: dict[int, Holding] = {}  # the holdings that the pool knows of
        self._on: dict[int, dict[int, Taken]] = {}  # and by node
        self._mine: dict[int, Holding] = {}  # what this process was given, in case the ledger is lost
        self._book = LedgerState()
        self._mutex = threading.Lock()

    # ---- taking and giving -----------------------------------------------------------------------------------

    def assign(
        self, request: Resources, *, share: int | None = None, spread: bool = False, lasts_s: float | None = None
    ) -> Assignment | None:
        """As the base says, among all processes."""
        if lasts_s is not None:
            self._check_time(lasts_s)
        for died in (False, True):  # whether anybody has died is asked only when there is no room
            with self._open(reap=died) as book:
                plans = self._planned(request, share)
                if book.waiting:
                    continue
                key = book.last + 1
                if self._enter(key, plans, shape_of(request, share), spread, [files.process_identity()]):
                    book.last = key
                    return self._given(key)
        return None

    def free(self, assignment: Assignment) -> None:
        """As the base says. The queue is served with what was given back."""
        if assignment.held:
            assignment.held = False
            self._drop(assignment.id)

    def _drop(self, key: int) -> None:
        with self._open() as book:
            self._mine.pop(key, None)
            if book.held.pop(key, None) is not None or book.withdraw(key):
                book.changed = True
                self._agree(book)
                self._serve(book)

    def hold_for(self, assignment: Assignment, pid: int) -> None:
        """As the base says."""
        owner = files.process_identity(pid)
        with self._open() as book:
            holding = book.held.get(assignment.id)
            if holding is not None and owner not in holding.owners:
                holding.owners.append(owner)
                self._mine[assignment.id] = holding
                book.changed = True

    def wait_for(
        self,
        request: Resources,
        timeout: float | None = None,
        *,
        share: int | None = None,
        spread: bool = False,
        lasts_s: float | None = None,
    ) -> Assignment | None:
        """As the base says, in one queue for all processes."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if lasts_s is not None:
            self._check_time(lasts_s)
        key, given = self._queue_up(request, share, spread)
        place: QueuePlace | None = None
        try:
            while given is None:
                place = self._ledger.place(key, place)
                due = self._ledger.reap_due(_REAP_S)
                if place is None or due:
                    with self._open(reap=due) as book:
                        self._planned(request, share)  # nodes may have been given back meanwhile
                        given = self._given(key) if key in book.held else None
                        lost = given is None and book.place(key) is None
                    if lost:  # the ledger was, and our place with it
                        key, given = self._queue_up(request, share, spread)
                    if given is not None:
                        break
                if lasts_s is not None:
                    self._check_time(lasts_s)
                pause = min(_LOOK_MOST_S, _LOOK_S * (1 + (place.before if place else 0)))
                if deadline is not None:
                    pause = min(pause, deadline - time.monotonic())
                if pause <= 0 or signals.should_exit(pause):
                    return None
            if lasts_s is not None:
                self._check_time(lasts_s)  # it may have waited too long for what it got
            key = 0
            return given
        finally:
            if key:
                self._drop(key)

    def _queue_up(self, request: Resources, share: int | None, spread: bool) -> tuple[int, Assignment | None]:
        """Our number, and what it was given at once, if anything."""
        with self._open(reap=True) as book:
            self._planned(request, share)
            key = book.last = book.last + 1
            shape = [*shape_of(request, share)]
            book.waiting.append(Ticket(key, [files.process_identity()], shape, spread, self._view))
            book.changed = True
            self._serve(book)
            return key, self._given(key) if key in book.held else None

    def holders(self) -> tuple[Holder, ...]:
        """As the base says."""
        with self._open(reap=True) as book:
            held = [
                Holder(key, tuple(each.owners), self.shown(tuple(each.parts)), each.since)
                for key, each in sorted(book.held.items())
            ]
            return (*held, *(Holder(each.id, tuple(each.owners), (), None) for each in book.waiting))

    # ---- the book and the pool -------------------------------------------------------------------------------

    @contextmanager
    def _open(self, *, reap: bool = False) -> Iterator[LedgerState]:
        """The book, with the pool in agreement; `reap` takes out the dead and gives what they had to who waits."""
        with self._mutex, self._ledger.transaction() as book:
            if book.born != self._book.born:
                self._restore(book)
            self._book = book
            if reap:
                book.reap()
            self._agree(book)
            if reap:
                self._serve(book)
            yield book

    def _current(self) -> AbstractContextManager[object]:
        return self._open(reap=True)

    @contextmanager
    def _sized(self) -> Iterator[None]:
        with self._mutex:
            self._know(self._ledger.released())
            yield

    def _restore(self, book: LedgerState) -> None:
        """The book was begun again: write back what we hold."""
        for key, holding in self._mine.items():
            if key not in book.held:
                book.held[key] = holding
                book.last = max(book.last, key)
                book.changed = True

    def _agree(self, book: LedgerState) -> None:
        """Make the pool know what the book says."""
        touched: set[int] = set()
        for key in [key for key, holding in self._seen.items() if book.held.get(key) != holding]:
            for part in self._seen.pop(key).parts:
                index = self._numbers.get(part.name)
                if index is not None and self._on[index].pop(key, None) is not None:
                    touched.add(index)
        for key in book.held.keys() - self._seen.keys():
            holding = self._seen[key] = book.held[key]
            for part in holding.parts:
                index = self._numbers.get(part.name)
                if index is not None:
                    self._on.setdefault(index, {})[key] = self._taken(index, part, holding.share)
                    touched.add(index)
        for index in touched:
            self._pool.set_node(index, self._on[index].values())
        self._know(book.released)

    def _know(self, released: Collection[str]) -> None:
        """Make the pool know which nodes were given back."""
        if len(released) != self._pool.gone.bit_count():
            super()._released(set(self._numbers).difference(released), False)  # the manager may have said no
            super()._released(set(released), True)

    def _taken(self, index: int, part: Part, share: int | None) -> Taken:
        kind = self._pool.kind[index]
        bits = kind.bits(unpacked(part.cpus), part.gpus)
        occupancy = (bits & kind.all_cores).bit_count() * UNIT
        if share is not None:
            occupancy = max(occupancy, kind.full // share)
        return Taken(bits, occupancy, part.memory)

    def _enter(self, key: int, plans: list[Plan], shape: Shape, spread: bool, owners: list[str]) -> bool:
        """Take what the shape needs and write it down under that number; False if it is not free."""
        pieces = self._pool.take(plans, shape.num_nodes, spread)
        if pieces is None:
            return False
        holding = Holding(owners, shape.share, [self._part(piece) for piece in pieces], time.time())
        self._book.held[key] = self._seen[key] = holding
        self._book.changed = True
        for index, plan, cut in pieces:
            self._on.setdefault(index, {})[key] = Taken(cut.bits, plan.occupancy, plan.memory)
        return True

    def _part(self, piece: Piece) -> Part:
        index, plan, cut = piece
        return Part(self._pool.names[index], packed(cut.cpus), list(cut.gpus), plan.memory)

    def _serve(self, book: LedgerState) -> None:
        """Give what is free to those who wait, in their order, as far as we can act for them."""
        while book.waiting and book.waiting[0].view == self._view:  # else it sees other cores than we do
            first = book.waiting[0]
            shape = Shape(*first.shape)  # type: ignore[arg-type] # as `_queue_up` wrote it
            try:
                plans = self._shaped(shape)
            except DoesNotFit:  # nodes were given back: its owner will see, and say so
                return
            if not self._enter(first.id, plans, shape, first.spread, first.owners):
                return
            del book.waiting[0]

    def _given(self, key: int) -> Assignment:
        holding = self._mine[key] = self._book.held[key]
        return Assignment(key, holding.share, self, tuple(holding.parts))

    def shown(self, pieces: tuple[Any, ...]) -> tuple[Node, ...]:
        """An assignment's parts as nodes."""
        kinds = self._pool.kind
        return tuple(
            Node(
                part.name,
                unpacked(part.cpus),
                tuple(part.gpus),
                part.memory or None,
                part.name in self._numbers and kinds[self._numbers[part.name]].real_ids,
            )
            for part in pieces
        )

    def _released(self, names: Collection[str], gone: bool) -> None:
        book = self._book
        book.released = [*book.released, *names] if gone else [name for name in book.released if name not in names]
        book.changed = True
        super()._released(names, gone)
        self._ledger.write(book)  # at once, for what follows may take long, or kill us
