"""Where an acceptance runs: queues and node types of a site, and the small jobs that they take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import InvalidRequest
from ...job import Job
from ...platforms.registry import platform
from ...sites.findings import settle
from ...sites.job_checks import tier_of
from ...sites.job_shape import usable_cores
from ...sites.matching import matches

if TYPE_CHECKING:
    from ...sites import NodeType, Queue, Site

_MINUTES = 5
_LEAST_MEMORY_MB = 1024
#: What stands for a queue that has no name.
MANAGERS = "the manager's own choice of a queue"


@dataclass(frozen=True)
class Target:
    """A queue and a type of its nodes; None where the site does not say, '' for the queue of the manager's choice."""

    name: str = ""
    queue: Queue | None = None
    node_type: NodeType | None = None

    @property
    def where(self) -> str:
        """The queue, and the node type if it has a name."""
        typed = f"{self.node_type.name} nodes" if self.node_type is not None and self.node_type.name else ""
        return ", ".join(filter(None, (self.name, typed)))

    @property
    def least_nodes(self) -> int:
        return self.queue.min_nodes if self.queue is not None else 1

    @property
    def gpus(self) -> int:
        """The number of GPUs of a node."""
        return len(self.node_type.hardware.gpus) if self.node_type is not None else 0

    @property
    def cores(self) -> int | None:
        """The number of cores of a node that jobs may use; None where it is unknown."""
        return usable_cores(self.node_type.hardware) if self.node_type is not None else None

    def refusal(self, nodes: int) -> str:
        """Why there can be no job of that many nodes; '' if there can be one."""
        count = self.node_type.count if self.node_type is not None else None
        if count is not None and count < nodes:
            return f"there {'is' if count == 1 else 'are'} only {count} of these nodes"
        if self.queue is not None and not any(tier.holds(nodes) for tier in self.queue.tiers):
            return f"the queue takes no jobs of {nodes} nodes"
        return ""


@dataclass(frozen=True)
class JobMaker:
    """Makes the jobs of an acceptance, with what the user gives for all of them."""

    site: Site
    project: str | None = None
    parameters: Mapping[str, Any] | None = None

    def job(self, target: Target, command: Sequence[str], **fields: Any) -> Job:
        """A job for a target, completed by the site; `fields` of a `Job` win. Else it has one rank on each node, in mode script.

        Raises `InvalidRequest`, with everything at once, for what the site refuses.
        """
        completion = self.site.completion(self.values(target, fields))
        job = Job(**{**completion.fields, "command": command})
        settle([*completion.findings, *self.site.check(job)])
        return job

    def values(self, target: Target, fields: Mapping[str, Any]) -> dict[str, Any]:
        """What is asked for, before the site fills it up."""
        nodes = fields.get("num_nodes", target.least_nodes)
        values: dict[str, Any] = {
            "queue": target.name or None,
            "project": self.project,
            "num_nodes": nodes,
            "wall_time_min": self.minutes(target, nodes),
            "ranks_per_node": 1,
            "cpus_per_rank": 1,
            "gpus_per_rank": self._gpus(target),
            "job_mode": "script",
            "parameters": self._parameters(target),
            **fields,
        }
        if "memory_per_node" in self._names("required", target):
            values.setdefault("memory_per_node", _LEAST_MEMORY_MB)
        return values

    def minutes(self, target: Target, nodes: int) -> int:
        """Five minutes, or what the queue takes that is next to that."""
        queue = target.queue
        if queue is None:
            return _MINUTES
        tier = tier_of(queue, Job(command=["true"], num_nodes=nodes))
        longest = tier.longest(nodes) if tier is not None else None
        return max(queue.min_time_min or 1, min(_MINUTES, int(longest or _MINUTES)))

    def _gpus(self, target: Target) -> int:
        """One GPU for each rank on nodes with GPUs, unless it must not be asked for."""
        return int(bool(target.gpus) and "gpus_per_rank" not in self._names("forbidden", target))

    def _parameters(self, target: Target) -> dict[str, Any]:
        """The user's parameters, with what selects the node type, and the first choice of what must be said."""
        declared = platform(self.site.platform).template_class.params
        settings = [one for one in (self.site, target.node_type, target.queue) if one is not None]
        choices = {name: allowed for one in settings for name, allowed in one.choices.items()}
        given = {name for one in settings for name in one.parameters}
        needed = (self._names("required", target) & choices.keys() & declared.keys()) - given
        several = target.queue is not None and len(target.queue.node_types) > 1
        own = target.node_type.parameters if several and target.node_type is not None else {}
        return {**{name: choices[name][0] for name in needed}, **own, **(self.parameters or {})}

    def _names(self, which: str, target: Target) -> set[str]:
        settings = (self.site, target.node_type, target.queue)
        return {name for one in settings if one is not None for name in getattr(one, which)}


def queue_targets(site: Site, names: Iterable[str]) -> list[Target]:
    """A target for each of these queues, or for all of the site; one without a name where it has none."""
    chosen = list(dict.fromkeys(names)) or list(site.queues) or [""]
    return [_target(site, name) for name in chosen]


def node_targets(site: Site, names: Sequence[str], maker: JobMaker) -> list[list[Target]]:
    """For each node type the queues to run its jobs in, the best first.

    That is one in which jobs come to no other type of nodes; of such, the one that is best for a small job or was named
    first. A queue that is for tests, preemptable or by request is used only if it is named, or there is no other.
    """
    if names or not site.queues:
        targets = queue_targets(site, names)
    else:
        values = {
            "num_nodes": 1,
            "wall_time_min": _MINUTES,
            "project": maker.project or site.defaults.get("project") or "PROJECT",
            "parameters": maker.parameters or {},
        }
        found = matches(site, values)
        usual = str(site.defaults.get("queue") or "")
        found.sort(key=lambda match: not (match.fits and (match.queue.default or match.queue.name == usual)))
        unasked = [match.queue.name for match in found if match.fits and match.queue.can_be_chosen]
        fitting = [match.queue.name for match in found if match.fits]
        targets = queue_targets(site, unasked or fitting[:1] or list(site.queues)[:1])
    by_type: dict[str, list[Target]] = {}
    for target in targets:
        for node_type in _types(site, target):
            key = node_type.name if node_type is not None else ""
            by_type.setdefault(key, []).append(Target(target.name, target.queue, node_type))
    return [sorted(found, key=lambda one: not _selects(site, one)) for found in by_type.values()]


def _selects(site: Site, target: Target) -> bool:
    """Whether jobs for the target come to no other type of nodes: by its queue, its parameters or its GPUs."""
    own = target.node_type
    others = [one for one in _types(site, target) if one is not None and one is not own]
    if own is None or not others:
        return True
    by_parameters = bool(own.parameters) and all(own.parameters != one.parameters for one in others)
    by_gpus = bool(target.gpus) and not any(one.hardware.gpus for one in others)
    return by_parameters or (by_gpus and target.queue is not None and not target.queue.gpus_implied)


def _types(site: Site, target: Target) -> Sequence[NodeType | None]:
    if target.queue is not None:
        return [site.node_types[name] for name in target.queue.node_types] or [None]
    return [site.node_type()]


def _target(site: Site, name: str) -> Target:
    queue = site.queues.get(name)
    types = queue.node_types if queue is not None else ()
    return Target(name, queue, site.node_types[types[0]] if types else None)


def refuse_unknown(site: Site, names: Iterable[str]) -> None:
    """Raise `InvalidRequest` for a queue that the site's file does not have, though it has others."""
    from ...errors import nearest

    for name in names:
        if site.queues and name not in site.queues:
            raise InvalidRequest(f"{site.name} has no queue {name!r}", hint=nearest(name, site.queues))
