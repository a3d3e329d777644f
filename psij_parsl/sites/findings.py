"""What is wrong with a request, by a site's rules: all of it at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from ..errors import InvalidRequest

_RANKS = ("num_nodes", "ranks", "ranks_per_node", "cpus_per_rank")
_GPUS = ("gpus_per_node", "gpus_per_rank", "gpu_kind")
#: The fields of a job that a rule is about.
_ABOUT: Mapping[str, tuple[str, ...]] = {
    "nodes": ("num_nodes",),
    "cpus": _RANKS,
    "max_cores": _RANKS,
    "gpus": _GPUS,
    "max_gpus": _GPUS,
    "memory": ("memory_per_node", "memory_per_core", "memory_per_gpu"),
    "array": ("array",),
    "queue": ("queue",),
    "project": ("project",),
    **dict.fromkeys(("time", "min_time"), ("wall_time_min",)),
}


class Finding(NamedTuple):
    """One thing that a site finds wrong with a job.

    `level`: the job is refused, or only warned of. `key` names the rule: queue, nodes, time, min_time, project, required,
    forbidden, choices, cpus, gpus, memory, array, max_cores, max_gpus, jobs.
    """

    level: Literal["refuse", "warn"]
    key: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.hint})" if self.hint else self.text


def settle(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that are only warnings. Raises `InvalidRequest`, which says all the others at once."""
    found = list(dict.fromkeys(findings))
    refusals = [finding for finding in found if finding.level == "refuse"]
    if len(refusals) == 1:
        raise InvalidRequest(refusals[0].text, hint=refusals[0].hint, about=_ABOUT.get(refusals[0].key, ()))
    if refusals:
        listed = "\n".join(f"  {finding}" for finding in refusals)
        about = {name for finding in refusals for name in _ABOUT.get(finding.key, ())}
        raise InvalidRequest(f"the job is refused for {len(refusals)} reasons:\n{listed}", about=about)
    return found
