"""Queues and node types of a site, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..resources.node import Hardware
from .settings import Settings

#: Parameters of a queue by which it says what its name is to the manager, if that is another.
RENDERED_NAMES = ("queue", "partition")


@dataclass(frozen=True, kw_only=True)
class NodeType(Settings):
    """Nodes that are alike. `count` is how many there are, None where unknown; `gpu_kind` the vendor of their GPUs:
    nvidia, amd or intel, '' where unknown."""

    name: str = ""
    description: str = ""
    count: int | None = None
    gpu_kind: str = ""
    hardware: Hardware = field(default_factory=Hardware)

    @property
    def key(self) -> tuple[str, ...]:
        """Its table in the site's file."""
        return ("nodes", self.name) if self.name else ("node",)


@dataclass(frozen=True)
class Tier:
    """How long jobs of that many nodes may run; None stands for no limit.

    Minutes, and nodes times hours. `leads_to` is the queue to which the manager hands such jobs on.
    """

    min_nodes: int = 1
    max_nodes: int | None = None
    max_time_min: int | None = None
    node_hours: float | None = None
    leads_to: str = ""

    def holds(self, nodes: int) -> bool:
        """Whether it is for jobs of that many nodes."""
        return self.min_nodes <= nodes and (self.max_nodes is None or nodes <= self.max_nodes)

    def longest(self, nodes: int) -> float | None:
        """The longest wall time of a job of that many nodes, in minutes; None for no limit."""
        limits = [] if self.max_time_min is None else [float(self.max_time_min)]
        if self.node_hours is not None:
            limits.append(self.node_hours * 60 / nodes)
        return min(limits, default=None)


@dataclass(frozen=True)
class JobCap:
    """How many jobs may run at once, and how many may be queued, running ones included; None stands for no limit."""

    running: int | None = None
    queued: int | None = None


@dataclass(frozen=True, kw_only=True)
class Queue(Settings):
    """A queue as people name it, what it renders, and its limits; None stands for no limit.

    `node_types` are the names of the types of its nodes. `default`: the manager puts jobs here that name no queue.
    `strict`: a job beyond the limits is refused, and not only warned of. `auto`: may be chosen for a job whose
    queue is `auto`. `min_time_min` is in minutes, `min_memory` and `max_memory` MB on a node, `preempt_grace_s` the
    seconds that a preempted job has, None if jobs are not preempted; `max_cores` and `max_gpus` are of a whole job.
    `array_max` is the greatest number of elements of an array, `array_max_index` the greatest index. `account` is what is
    rendered for a project, with `{project}`. `gpus_implied`: GPUs come with the queue and are not asked for. `charge` is
    the charge of a node-hour, in the machine's own units.
    """

    name: str = ""
    description: str = ""
    node_types: tuple[str, ...] = ()
    default: bool = False
    strict: bool = False
    auto: bool = True
    whole_nodes: bool = False
    tiers: tuple[Tier, ...] = ()
    min_time_min: int | None = None
    max_cores: int | None = None
    max_gpus: int | None = None
    min_memory: int | None = None
    max_memory: int | None = None
    array_max: int | None = None
    array_max_index: int | None = None
    jobs: JobCap = JobCap()
    project_jobs: JobCap = JobCap()
    account: str = ""
    gpus_implied: bool = False
    charge: float | None = None
    preempt_grace_s: float | None = None

    @property
    def rendered(self) -> str:
        """The queue's name to the manager; '' if it has none."""
        own = next((str(self.parameters[name] or "") for name in RENDERED_NAMES if name in self.parameters), None)
        return self.name if own is None else own

    @property
    def own_parameters(self) -> dict[str, Any]:
        """Its parameters without the queue's name to the manager."""
        return {name: value for name, value in self.parameters.items() if name not in RENDERED_NAMES}

    @property
    def min_nodes(self) -> int:
        return min((tier.min_nodes for tier in self.tiers), default=1)

    @property
    def max_nodes(self) -> int | None:
        return _greatest([tier.max_nodes for tier in self.tiers])

    @property
    def max_time_min(self) -> int | None:
        """The greatest wall time of all tiers, in minutes."""
        return _greatest([tier.max_time_min for tier in self.tiers])

    @property
    def can_be_chosen(self) -> bool:
        """Whether a job whose queue is `auto` may go there."""
        return self.auto and self.preempt_grace_s is None


def _greatest(limits: list[int | None]) -> int | None:
    known = [limit for limit in limits if limit is not None]
    return max(known) if known and len(known) == len(limits) else None
