"""Queries and changes of a running allocation at its resource manager: end time, nodes, wall time."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DoesNotFit, Error, InvalidRequest, PluginError, Unsupported, nearest
from ..platforms import registry
from .allocation import Allocation
from .pool import Pool

if TYPE_CHECKING:
    from ..platforms.scheduler import Scheduler

_AGAIN_S = 60.0  # after a failure the manager is left alone for so long


def scheduler_of(allocation: Allocation) -> Scheduler:
    """The scheduler of the job's platform. Raises `Unsupported` where there is no job, or no such platform here."""
    if not allocation.id:
        raise Unsupported(f"{allocation.platform}: there is no job here", hint="this works inside a job only")
    try:
        return registry.platform(allocation.platform).scheduler_class()
    except PluginError as error:
        raise Unsupported(
            f"{allocation.platform} cannot be asked: {error.message}", hint="use the manager's own commands"
        ) from error


class EndTime:
    """The end of the wall time: from the environment, else queried from the manager when first needed."""

    def __init__(self, allocation: Allocation) -> None:
        self._allocation = allocation
        self._end = allocation.end
        self._known = allocation.end is not None or not allocation.id
        self._not_before = 0.0

    def forget(self) -> None:
        """It has changed: ask again."""
        self._known, self._not_before = False, 0.0

    def left(self) -> float | None:
        """Seconds until then; None where there is no end or it cannot be told."""
        if not self._known and time.monotonic() >= self._not_before:
            try:
                self._end = scheduler_of(self._allocation).end_time(self._allocation.id)
                self._known = True
            except Unsupported:
                self._known = True
            except Error:
                self._not_before = time.monotonic() + _AGAIN_S
        return None if self._end is None else max(0.0, self._end - time.time())

    def check(self, lasts_s: float | None) -> None:
        """Raise `DoesNotFit` where what runs for so many seconds would outlast the wall time."""
        if lasts_s is None:
            return
        left = self.left()
        if left is not None and left < lasts_s:
            raise DoesNotFit(
                f"it is to run for {lasts_s:.0f} s, and the wall time ends in {left:.0f} s",
                hint="run it in another job, or say a shorter time",
            )


def choose_idle(pool: Pool, nodes: int | Collection[str]) -> list[str]:
    """The nodes to give back: the last idle ones, or those named. Raises `InvalidRequest` if these are not idle."""
    ours = list(pool.indices())
    idle = [pool.names[index] for index in ours if index and pool.state[index] == pool.type_of[index].all]
    if isinstance(nodes, int):
        if not 0 < nodes <= len(idle):
            raise InvalidRequest(
                f"{nodes} nodes cannot be given back: {len(idle)} are idle, the first one not counted",
                hint="wait until tasks have ended",
            )
        return idle[-nodes:]
    names = [pool.names[index] for index in ours]
    for name in nodes:
        if name not in names:
            raise InvalidRequest(f"{name!r} is not a node of this allocation", hint=nearest(name, names))
        if name not in idle:
            why = "the job's script runs there" if name == pool.names[0] else "something runs there"
            raise InvalidRequest(f"{name} cannot be given back: {why}", hint="name idle nodes")
    return sorted(set(nodes), key=names.index)


def release(allocation: Allocation, keep: Sequence[str]) -> None:
    """Let the job go on with those nodes only."""
    scheduler_of(allocation).release_nodes(allocation.id, keep)


def request(allocation: Allocation, number: int) -> None:
    """Ask for more nodes for the job."""
    if number < 1:
        raise InvalidRequest(f"{number} nodes cannot be asked for", hint="ask for at least one")
    scheduler_of(allocation).request_nodes(allocation.id, number)


def extend(allocation: Allocation, minutes: int) -> None:
    """Set the job's wall time limit."""
    if minutes < 1:
        raise InvalidRequest(
            f"{minutes} minutes is no wall time", hint="at least one; it counts from the job's start"
        )
    scheduler = scheduler_of(allocation)
    scheduler.extend(allocation.id, minutes)
    folder = os.environ.get("PSIJ_JOB_FOLDER")
    if folder and scheduler.same_id(os.environ.get("PSIJ_NATIVE_ID", ""), allocation.id):
        with suppress(OSError):  # its script may be about to warn it of the end
            (Path(folder) / "wall_time").write_text(f"{minutes}\n", encoding="ascii")
