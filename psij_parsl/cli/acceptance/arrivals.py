"""Whether a job has come to a node of the type that it was for: what shows of the node, against the site's file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from ...errors import Error
from ...sites.generation.generating import asked_facts
from ...sites.job_shape import usable_cores
from ...sites.joining import parts
from .targets import MANAGERS, Target

if TYPE_CHECKING:
    from ...platforms.platform import Platform
    from ...sites import NodeType, Site

_ALIKE = 1.05  # amounts of memory that differ less are the same


@dataclass(frozen=True)
class Seen:
    """What shows of a node: CPUs, MB of memory, GPUs, and the words by which jobs can ask for it; None if unknown.

    `told`: by the manager, which gives a job no more than that; the kernel, on the node, keeps some memory back.
    """

    cpus: int | None = None
    memory: int | None = None
    gpus: int | None = None
    words: frozenset[str] = frozenset()
    told: bool = False


class Arrival(NamedTuple):
    """Where a job came to. `other`: a node of another type of its queue. `wrong`: a node as the file has none there.

    `remark` is what else is to be told of a node that is of the right type. All are '' if there is nothing to tell.
    """

    other: str = ""
    wrong: str = ""
    remark: str = ""


@dataclass
class Arrivals:
    """Knows nodes by what the manager says of them, and those that it does not tell of by what jobs there have seen."""

    site: Site
    platform: Platform
    by_jobs: dict[str, Seen] = field(default_factory=dict)

    def tell(self, host: str, seen: Seen) -> None:
        """A job has seen that of its node."""
        self.by_jobs[_short(host)] = seen

    def judged(self, target: Target, hosts: Sequence[str]) -> Arrival:
        """What there is to tell of a job for that target that ran on those hosts."""
        found = [self._judged(target, host) for host in hosts]
        return next((one for one in found if one.other or one.wrong), next(iter(found), Arrival()))

    def _judged(self, target: Target, host: str) -> Arrival:
        asked = target.node_type
        seen = self._by_manager.get(_short(host)) or self.by_jobs.get(_short(host))
        if asked is None or seen is None:
            return Arrival()
        if target.queue is not None and target.queue.gpus_implied:  # the manager need not know of them
            seen = replace(seen, gpus=None)
        here = target.queue.node_types if target.queue is not None else tuple(self.site.node_types)
        nearest = self._nearest(seen, [self.site.node_types[name] for name in here])
        if asked in nearest:
            alike = [one.name for one in nearest if one is not asked]
            return Arrival(remark=f"nothing that shows tells it from {' or '.join(alike)} nodes" if alike else "")
        queue = f"queue {target.name}" if target.name else MANAGERS
        if nearest:
            names = " or ".join(one.name for one in nearest)
            return Arrival(other=f"the job came to a node of type {names}, {host}: {queue} does not tell them apart")
        if elsewhere := self._nearest(seen, self.site.node_types.values()):
            names = " or ".join(one.name for one in elsewhere)
            return Arrival(wrong=f"{host} is a node of type {names}, which the file does not have in {queue}")
        of_type = (
            f"is no {asked.name} node, and of no other type of the file" if asked.name else "is not as the file says"
        )
        return Arrival(wrong=f"{host} {of_type}: it has {', '.join(self._lacks(asked, seen))}")

    def _nearest(self, seen: Seen, types: Iterable[NodeType]) -> list[NodeType]:
        """Those of the types that a node may be of: several if nothing that shows tells them apart."""
        fitting = [one for one in types if not any(self._lacks(one, seen))]
        return [one for one in fitting if not any(_nearer(seen, other, one) for other in fitting)]

    @cached_property
    def _by_manager(self) -> Mapping[str, Seen]:
        try:
            nodes = asked_facts(self.platform, self.platform.scheduler_class()).nodes
        except Error:
            return {}
        knows_gpus = any(one.gpus for one in nodes)
        return {
            _short(one.name): Seen(
                one.cpus,
                one.memory,
                one.gpus if knows_gpus else None,
                one.features | _words(one.gpu_model),
                told=True,
            )
            for one in nodes
        }

    def _lacks(self, node_type: NodeType, seen: Seen) -> Iterator[str]:
        """What the file says of a type, and the node has not."""
        hardware = node_type.hardware
        cores = usable_cores(hardware)
        if cores is not None and seen.cpus is not None and seen.cpus < cores:
            yield f"{seen.cpus} CPUs of {hardware.cpus}"
        if seen.gpus is not None and seen.gpus < (gpus := _whole_gpus(node_type)):
            yield f"{seen.gpus or 'no'} GPUs of {gpus}"
        if (
            hardware.memory
            and seen.memory is not None
            and seen.memory * (1 if seen.told else _ALIKE) < hardware.memory
        ):
            yield f"{seen.memory} MB of {hardware.memory}"
        for name in self._selecting(node_type):
            if not _words(name) & seen.words:
                yield f"not the feature {name}"

    def _selecting(self, node_type: NodeType) -> Iterator[str]:
        """The parts of a type's parameters that name features of nodes."""
        declared = self.platform.template_class.params
        for name, value in node_type.parameters.items():
            for part in parts(declared.get(name), value):
                if _words(part) & self._known_words:
                    yield str(part)

    @cached_property
    def _known_words(self) -> frozenset[str]:
        return frozenset[str]().union(*(seen.words for seen in self._by_manager.values()))


def _whole_gpus(node_type: NodeType) -> int:
    """The number of GPUs, of which the file may count the tiles: `0.0`, `0.1`."""
    return len({gpu.partition(".")[0] for gpu in node_type.hardware.gpus})


def _nearer(seen: Seen, other: NodeType, one: NodeType) -> bool:
    """Whether a node that has what both types say is rather of the other one, which says more."""
    if (gpus := _whole_gpus(other) - _whole_gpus(one)) != 0:
        return gpus > 0 and seen.gpus is not None
    cores = [usable_cores(each.hardware) or 0 for each in (other, one)]
    memory = [each.hardware.memory or 0 for each in (other, one)]
    at_least = cores[0] >= cores[1] and memory[0] * _ALIKE >= memory[1]
    return at_least and (cores[0] > cores[1] or memory[0] > memory[1] * _ALIKE)


def _words(text: str) -> frozenset[str]:
    """A text, and the names in it: of `a100|h100` each."""
    return frozenset(filter(None, (text, *re.split(r"[\s|&,*()\[\]]+", text))))


def _short(host: str) -> str:
    return host.partition(".")[0]
