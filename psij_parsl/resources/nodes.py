"""NodeResources: assignment of the nodes, CPUs and GPUs of the current allocation.

::

    nodes = NodeResources.discover()
    with nodes.assign(Resources(ranks_per_node=4, gpus_per_rank=1)) as held:     # None: not now
        run(held[0].name, held[0].cpus, held[0].gpus)

`discover` shares a ledger with every other process of the allocation (`ledger_books.py`); an instance that is made
directly keeps its books in memory (`memory_books.py`), for one process with any number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Protocol

from ..errors import DoesNotFit
from ..job_size import Resources
from . import allocation_control as control
from .allocation import Allocation
from .capacity import how_often
from .discover import described
from .inventory import Inventory
from .memory_books import MemoryBooks
from .node import Assignment, Hardware, Holder, Node, Owner


class Books(Owner, Protocol):
    """The assignments from an inventory: `MemoryBooks` for this process, `LedgerBooks` for all of the allocation."""

    def assign(self, request: Resources, share: int | None, spread: bool) -> Assignment | None: ...

    def hold_for(self, assignment: Assignment, pid: int) -> None: ...

    def wait_for(
        self, request: Resources, timeout: float | None, share: int | None, spread: bool, lasts_s: float | None
    ) -> Assignment | None: ...

    def holders(self) -> tuple[Holder, ...]: ...

    def current(self) -> AbstractContextManager[object]: ...

    def sized(self) -> AbstractContextManager[object]: ...

    def set_released(self, names: Collection[str], gone: bool) -> None: ...


class NodeResources:
    """The nodes, CPUs and GPUs of an allocation; see the module. Every method may be called from any thread.

    A *request* is a `Resources` (or `Job`): nodes, and on each of them ranks with cores, hardware threads, GPUs
    and memory. A core counts once, however many hardware threads it has. Memory is counted only where the
    manager or the site reports how much there is. Every method that takes a request also takes

    - `share`: N for 1/N of each node: N of these fit on one node, however few cores they ask for; 1 for whole
      nodes, with all their cores and GPUs. None, the default, takes just what the ranks need.
    - `spread`: prefer the emptiest nodes. By default tasks are packed: the fullest node that has room, so that
      others stay whole.
    - `lasts_s`: how many seconds it will run, if known: it is refused when the wall time ends before that.

    Whoever waits is served first come, first served: `assign` takes nothing while others wait.
    """

    def __init__(
        self,
        allocation: Allocation,
        hardware: Hardware | None = None,
        *,
        books: Callable[[Inventory, control.EndTime], Books] = MemoryBooks,
    ) -> None:
        self.allocation = allocation
        self._inventory = Inventory(allocation, hardware or Hardware())
        self._pool = self._inventory.pool
        self._end = control.EndTime(allocation)
        self.books = books(self._inventory, self._end)

    @classmethod
    def discover(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        hardware: Hardware | Callable[[Allocation], Hardware | None] | None = None,
        shared: bool = True,
    ) -> NodeResources:
        """The allocation that the environment describes; without one, this host.

        `shared` counts what other processes of the allocation hold, through the ledger; without it the books
        are this object's own. `hardware` is what the site says of its nodes, or a callable that says it of those of an
        allocation. Raises `AllocationError` when the
        environment cannot be read, `JournalError` when there is no place for the ledger.
        """
        allocation = described(environ)
        if callable(hardware):
            hardware = hardware(allocation)
        allocation = allocation.complete(hardware or Hardware(), environ)
        if not shared:
            return NodeResources(allocation, hardware)
        from .ledger_books import LedgerBooks

        return NodeResources(allocation, hardware, books=partial(LedgerBooks, environ=environ))

    # ---- taking and giving -----------------------------------------------------------------------------------

    def assign(
        self, request: Resources, *, share: int | None = None, spread: bool = False, lasts_s: float | None = None
    ) -> Assignment | None:
        """Take what the request needs: all of it at once, or None if that is not free now.

        Raises `DoesNotFit`, with the reason, if it can never be had here.
        """
        if lasts_s is not None:
            self._end.check(lasts_s)
        return self.books.assign(request, share, spread)

    def free(self, assignment: Assignment) -> None:
        """Give back. What is no longer held is ignored."""
        self.books.free(assignment)

    def hold_for(self, assignment: Assignment, pid: int) -> None:
        """Hold it until that process, of this host, has ended as well, should we die before we free it.

        For whoever starts a launcher: were we killed, its ranks would still be where they are. Books in memory
        die with us, so there it does nothing.
        """
        self.books.hold_for(assignment, pid)

    def wait_for(
        self,
        request: Resources,
        timeout: float | None = None,
        *,
        share: int | None = None,
        spread: bool = False,
        lasts_s: float | None = None,
    ) -> Assignment | None:
        """Wait for room, up to `timeout` seconds (None: for ever), then take it.

        None when the time is up, or when `psij_parsl.signals.should_exit()` says that we are to leave. Raises
        `DoesNotFit` as `assign` does, also when, while waiting, the time left has become shorter than `lasts_s`.
        """
        return self.books.wait_for(request, timeout, share, spread, lasts_s)

    # ---- asking ----------------------------------------------------------------------------------------------

    def check(self, request: Resources, *, share: int | None = None, lasts_s: float | None = None) -> None:
        """Raise `DoesNotFit`, with the reason, if the request can never be fulfilled here."""
        with self.books.sized():
            self._inventory.plans(request, share)
            self._end.check(lasts_s)

    def fit(self, request: Resources, *, share: int | None = None) -> int:
        """How many times the request fits now, next to all that is held."""
        with self.books.current():
            try:
                plans = self._inventory.plans(request, share)
            except DoesNotFit:
                return 0
            return how_often(self._pool, plans, request.nodes_at_least)

    def arrange(self, num_ranks: int, request: Resources, *, share: int | None = None) -> Resources:
        """The request for so many ranks in all, on the fewest nodes on which they can ever fit, equally many on each.

        Raises `DoesNotFit` if there is no such number of nodes.
        """
        reason: DoesNotFit | None = None
        with self.books.sized():
            for num_nodes in range(1, num_ranks + 1):
                if num_ranks % num_nodes:
                    continue
                candidate = replace(request, num_nodes=num_nodes, ranks_per_node=num_ranks // num_nodes)
                try:
                    self._inventory.plans(candidate, share)
                except DoesNotFit as error:
                    reason = reason or error
                else:
                    return candidate
        raise reason or DoesNotFit(f"{num_ranks} ranks cannot be placed", hint="ask for at least one")

    def idle(self) -> tuple[Node, ...]:
        """What is free now: each node with its free CPUs, GPUs and memory, also where there are none."""
        return self._parts(busy=False)

    def busy(self) -> tuple[Node, ...]:
        """What is held now, likewise."""
        return self._parts(busy=True)

    def _parts(self, *, busy: bool) -> tuple[Node, ...]:
        with self.books.current():
            return tuple(self._pool.part(index, busy=busy) for index in self._pool.indices())

    def occupancy(self) -> tuple[tuple[int, int], ...]:
        """How much of each node is held, and how much there is, as whole numbers of the same unit."""
        with self.books.current():
            pool = self._pool
            return tuple((pool.type_of[at].full - pool.occupancy(at), pool.type_of[at].full) for at in pool.indices())

    def holders(self) -> tuple[Holder, ...]:
        """Who holds what, and after them who waits, in order. Books in memory keep no names: ()."""
        return self.books.holders()

    def time_left(self) -> float | None:
        """Seconds until the wall time ends, 0 after it; None where there is no limit or it is unknown.

        Where the environment does not say, the manager is asked, once (and again only after a failure).
        """
        return self._end.left()

    # ---- changing the allocation -----------------------------------------------------------------------------

    def release_nodes(self, nodes: int | Collection[str]) -> tuple[str, ...]:
        """Give idle nodes back to the manager, so many or those named; returns their names.

        The first node, where the job's script runs, is never given back. Raises `InvalidRequest` for nodes that
        are busy or not ours, `Unsupported` where the manager cannot do it, `Rejected` where it says no; then
        they stay ours.
        """
        with self.books.current():
            names = control.choose_idle(self._pool, nodes)
            self.books.set_released(names, True)  # first, so that nothing starts there meanwhile
            try:
                control.release(self.allocation, [self._pool.names[index] for index in self._pool.indices()])
            except BaseException:
                self.books.set_released(names, False)
                raise
        return tuple(names)

    def request_nodes(self, number: int) -> None:
        """Ask the manager for more nodes. Raises `Unsupported` where it cannot, `Rejected` where it says no."""
        control.request(self.allocation, number)

    def extend_walltime(self, minutes: int) -> None:
        """Set the job's wall time limit to so many minutes from its start; it may be shorter than before.

        Raises `Unsupported` where the manager cannot do it, `Rejected` where it says no: most let only
        administrators raise it.
        """
        control.extend(self.allocation, minutes)
        self._end.forget()
