"""NodeResources: who has what of the allocation that one stands in.

::

    nodes = NodeResources.discover()
    with nodes.assign(Resources(ranks_per_node=4, gpus_per_rank=1)) as held:     # None: not now
        run(held[0].name, held[0].cpus, held[0].gpus)

`discover` shares a ledger with every other process of the allocation (`shared.py`); an instance that is made
directly keeps its books in memory, for one process with any number of threads.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from .. import signals
from ..errors import DoesNotFit
from ..job import Resources
from . import allocation_control as manager
from .allocation import Allocation
from .discover import discover
from .node import Assignment, Hardware, Holder, Node
from .node_types import Plan, Shape
from .pool import Pool
from .requests import plans_for, shape_of

_LOOK_S = 0.1  # how long a waiting thread sleeps before it looks for a signal
_SHAPES = 1024  # shapes whose plans are remembered

_Asked = tuple[Resources, int | None, list[Plan]]


class NodeResources:
    """The nodes, CPUs and GPUs of an allocation; see the module. Every method may be called from any thread.

    A *request* is a `Resources` (or `Job`): nodes, and on each of them ranks with cores, hardware threads, GPUs
    and memory. A core counts once, however many hardware threads it has. Memory is counted only where the
    manager or the site told how much there is. Every method that takes a request also takes

    - `share`: N for 1/N of each node: N of these fit on one node, however few cores they ask for; 1 for whole
      nodes, with all their cores and GPUs. None, the default, takes just what the ranks need.
    - `spread`: prefer the emptiest nodes. By default tasks are packed: the fullest node that has room, so that
      others stay whole.
    - `lasts_s`: how many seconds it will run, if known: it is refused when the wall time ends before that.

    Whoever waits is served first come, first served: `assign` takes nothing while others wait.
    """

    def __init__(self, allocation: Allocation, hardware: Hardware | None = None) -> None:
        self.allocation = allocation
        self._hardware = hardware or Hardware()
        self._pool = Pool(allocation.nodes, allocation.siblings, self._hardware)
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)
        self._queue: deque[object] = deque()  # threads that wait, the first first
        self._plans: dict[Shape, list[Plan]] = {}
        self._asked: dict[int, _Asked] = {}  # most ask for the same again: requests by identity
        self._last_id = 0
        self._end = manager.EndTime(allocation)

    @classmethod
    def discover(
        cls, environ: Mapping[str, str] = os.environ, *, hardware: Hardware | None = None, shared: bool = True
    ) -> NodeResources:
        """The allocation that the environment tells of; without one, this host.

        `shared` counts what other processes of the allocation hold, through the ledger; without it the books
        are this object's own. `hardware` is what the site says of its nodes. Raises `AllocationError` when the
        environment cannot be read, `JournalError` when there is no place for the ledger.
        """
        allocation = discover(environ, hardware)
        if not shared:
            return NodeResources(allocation, hardware)
        from .shared import SharedNodes

        return SharedNodes(allocation, hardware, environ=environ)

    # ---- taking and giving -----------------------------------------------------------------------------------

    def assign(
        self, request: Resources, *, share: int | None = None, spread: bool = False, lasts_s: float | None = None
    ) -> Assignment | None:
        """Take what the request needs: all of it at once, or None if that is not free now.

        Raises `DoesNotFit`, with the reason, if it can never be had here.
        """
        if lasts_s is not None:
            self._check_time(lasts_s)
        with self._lock:
            known = self._asked.get(id(request))
            if known is None or known[0] is not request or known[1] != share:
                known = self._remember(request, share)
            if self._queue:
                return None
            pieces = self._pool.take(known[2], request.num_nodes, spread)
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
        """Hold it until that process, of this host, has ended as well, should we die before we free it.

        For whoever starts a launcher: were we killed, its ranks would still be where they are. Books in memory
        die with us, so there it does nothing.
        """

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
        deadline = None if timeout is None else time.monotonic() + timeout
        me = object()
        with self._lock:
            plans = self._planned(request, share)
            self._queue.append(me)
            try:
                while True:
                    if lasts_s is not None:
                        self._check_time(lasts_s)
                    if self._queue[0] is me and (pieces := self._pool.take(plans, request.num_nodes, spread)):
                        self._last_id += 1
                        return Assignment(self._last_id, share, self, pieces)
                    left = _LOOK_S if deadline is None else min(_LOOK_S, deadline - time.monotonic())
                    if left <= 0 or signals.should_exit():
                        return None
                    self._freed.wait(left)
                    plans = self._planned(request, share)  # nodes may have been given back meanwhile
            finally:
                self._queue.remove(me)
                self._freed.notify_all()  # the next one is the first now

    def shown(self, pieces: tuple[Any, ...]) -> tuple[Node, ...]:
        """An assignment's pieces as nodes."""
        names = self._pool.names
        return tuple(
            Node(names[index], cut.cpus, cut.gpus, plan.memory or None, plan.kind.real_ids)
            for index, plan, cut in pieces
        )

    def _remember(self, request: Resources, share: int | None) -> _Asked:
        if len(self._asked) >= _SHAPES:
            self._asked.clear()
        found = self._asked[id(request)] = request, share, self._planned(request, share)
        return found

    def _planned(self, request: Resources, share: int | None) -> list[Plan]:
        return self._shaped(shape_of(request, share))

    def _shaped(self, shape: Shape) -> list[Plan]:
        plans = self._plans.get(shape)
        if plans is None:
            if len(self._plans) >= _SHAPES:
                self._plans.clear()
            plans = self._plans[shape] = plans_for(self._pool, shape)
        return plans

    def _current(self) -> AbstractContextManager[object]:
        """The books, as they are now and while the block lasts."""
        return self._lock

    def _sized(self) -> AbstractContextManager[object]:
        """The nodes that are ours, while the block lasts; who has them may change meanwhile."""
        return self._lock

    # ---- asking ----------------------------------------------------------------------------------------------

    def check(self, request: Resources, *, share: int | None = None, lasts_s: float | None = None) -> None:
        """Raise `DoesNotFit`, with the reason, if the request can never be fulfilled here."""
        with self._sized():
            self._planned(request, share)
            if lasts_s is not None:
                self._check_time(lasts_s)

    def fit(self, request: Resources, *, share: int | None = None) -> int:
        """How many times the request fits now, beside all that is held."""
        with self._current():
            try:
                plans = self._planned(request, share)
            except DoesNotFit:
                return 0
            return self._pool.times(plans, request.num_nodes)

    def arrange(self, num_ranks: int, request: Resources, *, share: int | None = None) -> Resources:
        """The request for so many ranks in all, on the fewest nodes on which they can ever fit, equally many on each.

        Raises `DoesNotFit` if there is no such number of nodes.
        """
        reason: DoesNotFit | None = None
        with self._sized():
            for num_nodes in range(1, num_ranks + 1):
                if num_ranks % num_nodes:
                    continue
                tried = replace(request, num_nodes=num_nodes, ranks_per_node=num_ranks // num_nodes)
                try:
                    self._planned(tried, share)
                except DoesNotFit as error:
                    reason = reason or error
                else:
                    return tried
        raise reason or DoesNotFit(f"{num_ranks} ranks cannot be placed", hint="ask for at least one")

    def idle(self) -> tuple[Node, ...]:
        """What is free now: each node with its free CPUs, GPUs and memory, also where there are none."""
        return self._parts(busy=False)

    def busy(self) -> tuple[Node, ...]:
        """What is held now, likewise."""
        return self._parts(busy=True)

    def _parts(self, *, busy: bool) -> tuple[Node, ...]:
        with self._current():
            return tuple(self._pool.part(index, busy=busy) for index in self._pool.indices())

    def occupancy(self) -> tuple[tuple[int, int], ...]:
        """How much of each node is held, and how much there is, as whole numbers of the same unit."""
        with self._current():
            pool = self._pool
            return tuple((pool.kind[at].full - pool.occupancy(at), pool.kind[at].full) for at in pool.indices())

    def holders(self) -> tuple[Holder, ...]:
        """Who holds what, and after them who waits, in order. Books in memory know nobody's name: ()."""
        return ()

    def time_left(self) -> float | None:
        """Seconds until the wall time ends, 0 after it; None where there is no limit or nobody can tell.

        Where the environment does not say, the manager is asked, once (and again only after a failure).
        """
        return self._end.left()

    def _check_time(self, lasts_s: float) -> None:
        left = self._end.left()
        if left is not None and left < lasts_s:
            raise DoesNotFit(
                f"it is to run for {lasts_s:.0f} s, and the wall time ends in {left:.0f} s",
                hint="run it in another job, or say a shorter time",
            )

    # ---- changing the allocation -----------------------------------------------------------------------------

    def release_nodes(self, nodes: int | Collection[str]) -> tuple[str, ...]:
        """Give idle nodes back to the manager, so many or those named; returns their names.

        The first node, where the job's script runs, is never given back. Raises `InvalidRequest` for nodes that
        are busy or not ours, `Unsupported` where the manager cannot do it, `Rejected` where it says no; then
        they stay ours.
        """
        with self._current():
            names = manager.choose_idle(self._pool, nodes)
            self._released(names, True)  # first, so that nothing starts there meanwhile
            try:
                manager.release(self.allocation, [self._pool.names[index] for index in self._pool.indices()])
            except BaseException:
                self._released(names, False)
                raise
        return tuple(names)

    def _released(self, names: Collection[str], gone: bool) -> None:
        for index, name in enumerate(self._pool.names):
            if name in names:
                self._pool.remove(index, gone=gone)
        self._plans.clear()
        self._asked.clear()

    def request_nodes(self, number: int) -> None:
        """Ask the manager for more nodes. Raises `Unsupported` where it cannot, `Rejected` where it says no."""
        manager.request(self.allocation, number)

    def extend_walltime(self, minutes: int) -> None:
        """Set the job's wall time limit to so many minutes from its start; it may be shorter than before.

        Raises `Unsupported` where the manager cannot do it, `Rejected` where it says no: most let only
        administrators raise it.
        """
        manager.extend(self.allocation, minutes)
        self._end.forget()
