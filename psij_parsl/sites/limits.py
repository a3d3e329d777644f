"""The limits of a site's queues, and checking a job against them before it is submitted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..job import Job


@dataclass(frozen=True)
class QueueLimits:
    """The limits of one queue; None stands for no limit. `max_wall_time_min` is in minutes.

    `default`: the manager puts jobs here that name no queue. `strict`: a job beyond the limits is refused, and not
    only warned of.
    """

    description: str = ""
    min_nodes: int | None = None
    max_nodes: int | None = None
    max_wall_time_min: int | None = None
    default: bool = False
    strict: bool = False


@dataclass(frozen=True)
class LimitViolation:
    """A limit that a job exceeds; `level` says whether it is refused or only warned of."""

    level: Literal["refuse", "warn"]
    text: str
    hint: str = ""


def violations(queue: QueueLimits, job: Job) -> Iterator[tuple[str, str]]:
    """Each limit that the job is beyond: its key, and a sentence to follow the queue's name."""
    nodes, minutes = job.num_nodes, job.wall_time_min
    if queue.max_nodes is not None and nodes > queue.max_nodes:
        yield "max_nodes", f"takes at most {queue.max_nodes} nodes, and the job asks for {nodes}"
    if queue.min_nodes is not None and nodes < queue.min_nodes:
        yield "min_nodes", f"takes jobs from {queue.min_nodes} nodes on, and the job asks for {nodes}"
    if queue.max_wall_time_min is not None and minutes > queue.max_wall_time_min:
        most = queue.max_wall_time_min
        yield "max_wall_time_min", f"lets jobs run {most} minutes at most, and the job asks for {minutes}"
