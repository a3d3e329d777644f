"""Nodes, assignments of parts of them, and hardware descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from ..errors import InvalidRequest


class Node(NamedTuple):
    """A node's name, CPU ids and GPU ids.

    In an assignment both are in the order of the node's ranks: with 4 ranks, the first quarter is rank 0's (see
    `per_rank`). CPU ids are the operating system's, one per hardware thread. GPU ids are what the vendor's
    variable takes (`0`, `GPU-5d…`, `0.1` for a tile). `memory` is MB, None where unknown. `real_ids` is
    False where the manager reported only the number of CPUs: then they are 0, 1, …, good for counting and no
    good for binding.
    """

    name: str
    cpus: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()
    memory: int | None = None
    real_ids: bool = True

    def per_rank(self, ranks: int) -> tuple[Node, ...]:
        """This node cut into equal parts, one for each of its ranks. Raises `InvalidRequest` if it is too small."""
        cpus, gpus = len(self.cpus) // ranks, len(self.gpus) // ranks
        if not cpus:
            raise InvalidRequest(f"{ranks} ranks cannot have a CPU each: {self.name} has {len(self.cpus)}")
        memory = None if self.memory is None else self.memory // ranks
        return tuple(
            Node(
                self.name,
                self.cpus[rank * cpus : (rank + 1) * cpus],
                self.gpus[rank * gpus : (rank + 1) * gpus],
                memory,
                self.real_ids,
            )
            for rank in range(ranks)
        )


class Owner(Protocol):
    """The books that made an assignment and take it back; `pieces` are their own record of it."""

    def free(self, assignment: Assignment) -> None: ...

    def shown(self, pieces: tuple[Any, ...]) -> tuple[Node, ...]: ...


class Assignment:
    """Assigned nodes with their CPUs and GPUs, held until freed; made by `NodeResources.assign`.

    As a context manager it yields the nodes and frees itself. `share` is N where 1/N of each node was asked for,
    else None. `id` is unique among what one `NodeResources`, or all that share a ledger, give.
    """

    __slots__ = ("_nodes", "_owner", "held", "id", "pieces", "share")

    def __init__(self, id: int, share: int | None, owner: Owner, pieces: tuple[Any, ...]) -> None:
        self.id, self.share, self._owner, self.pieces = id, share, owner, pieces
        self.held = True
        self._nodes: tuple[Node, ...] | None = None

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes, in the order of the run's; also after it was freed."""
        if self._nodes is None:
            self._nodes = self._owner.shown(self.pieces)
        return self._nodes

    def free(self) -> None:
        """Give it back. Freeing twice is fine."""
        self._owner.free(self)

    def __enter__(self) -> tuple[Node, ...]:
        return self.nodes

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owner.free(self)

    def __repr__(self) -> str:
        return f"Assignment({self.id!r}, {self.nodes!r}, share={self.share!r})"


class Holder(NamedTuple):
    """The processes that hold a part of the allocation, or wait for one: then there are no `nodes` yet.

    `processes` are host/boot/pid/start of each: see `system.processes.process_identity`. `since` is in seconds
    since the epoch.
    """

    id: int
    processes: tuple[str, ...]
    nodes: tuple[Node, ...]
    since: float | None


@dataclass(frozen=True)
class Hardware:
    """The hardware of a site's nodes, for where the environment does not report it, or reports it wrongly.

    `cpus` and `memory` (MB) count only where the manager reports neither; `gpus` likewise. `blocked` CPU ids are
    never assigned. `gpu_cpus` names, for each GPU id, the CPU ids nearest to it. `siblings` are the CPU ids that
    are hardware threads of one core, core by core; without it each CPU is a core.
    """

    cpus: int | None = None
    gpus: tuple[str, ...] = ()
    memory: int | None = None
    blocked: frozenset[int] = frozenset()
    gpu_cpus: Mapping[str, Sequence[int]] = field(default_factory=dict)
    siblings: tuple[tuple[int, ...], ...] = ()
