"""What a job asks of each of its nodes, whichever way it says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..job_size import Resources
from ..platforms.registry import platform

if TYPE_CHECKING:
    from ..resources.node import Hardware

#: Parameters of several platforms that say the GPUs of a node.
GPU_PARAMETERS = ("gpus_per_node", "ngpus", "gpus")
#: Parameters of several platforms that say the CPUs of a node, hardware threads where the manager counts those.
CPU_PARAMETERS = ("ncpus", "ppn", "slots_per_node")
_DIGITS = 12  # of a number that can be one
#: One long option by whose name it is clear that it asks for neither GPUs nor memory.
_ABOUT_OTHER_THINGS = re.compile(r"--(?!\S*(gpu|gres|tres|mem))\S*", re.IGNORECASE)


class Shape(NamedTuple):
    """What a job asks of each of its nodes: cores, GPUs, and MB of memory; and the hardware threads to use of a core.

    `cpus` is what a parameter says of a node's CPUs, as the manager counts them; None, as for memory, if nothing does.
    """

    cores: int
    gpus: int
    memory: int | None
    cpus: int | None = None
    threads: int = 1


def shape_of(platform_name: str, job: Resources, parameters: Mapping[str, Any]) -> Shape:
    """The shape of a job; what a parameter says, or an option that it passes on, counts where its fields say nothing."""
    options = _passed_on(platform_name, parameters)
    gpus = job.gpus_on_node or next(
        (gpu_count(value) for name in GPU_PARAMETERS if (value := parameters.get(name))), 0
    )
    memory, passed_on = job.memory_on_node, options.get("memory_per_node")
    if memory is None and isinstance(passed_on, int):
        memory = passed_on
    cpus = next((_whole(value) for name in CPU_PARAMETERS if (value := parameters.get(name))), None)
    return Shape(job.cores_per_node, gpus or _gpus_of(options, job), memory or None, cpus, job.threads_per_core)


def _passed_on(platform_name: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """The words of options that parameters pass on, where there can be some that matter: to read them takes a while."""
    passed = {
        name: value
        for name, value in parameters.items()
        if value and name not in GPU_PARAMETERS and _may_matter(name, value)
    }
    if not passed or not (described := platform(platform_name)).directives:
        return {}
    from ..platforms.directives.passed_on import words_passed_on

    return words_passed_on(described.directive_table, passed)


def _may_matter(name: str, value: Any) -> bool:
    """Whether a parameter can pass on an option about GPUs or memory. A long option's name tells."""
    if name != "directives":
        return "gpu" in f"{name}={value}".lower()
    options = value if isinstance(value, list | tuple) else [value]
    return not all(_ABOUT_OTHER_THINGS.fullmatch(str(option)) for option in options)


def _gpus_of(options: Mapping[str, Any], job: Resources) -> int:
    """The GPUs of a node by the words of options: for a node, a rank, or all of the job."""
    per_node, per_rank, in_all = (options.get(name) for name in ("gpus_per_node", "gpus_per_rank", "gpus"))
    if isinstance(per_node, int):
        return per_node
    if isinstance(per_rank, int):
        return per_rank * job.ranks_per_node
    return -(-in_all // job.nodes_at_least) if isinstance(in_all, int) else 0


def _whole(said: Any) -> int | None:
    text = str(said)
    return int(text) if text.isdecimal() and len(text) < _DIGITS else None


def gpu_count(said: Any) -> int:
    """The number of GPUs in `4`, or in `a100:4` as some managers have it; 0 for None."""
    last = str(said or 0).rpartition(":")[2]
    number = _whole(last)
    return 1 if number is None else number


def usable_cores(hardware: Hardware) -> int | None:
    """The number of a node's cores without a CPU that is blocked for jobs; None where it is unknown."""
    if not hardware.cpus:
        return None
    cores = hardware.siblings or [(cpu,) for cpu in range(hardware.cpus)]
    return sum(hardware.blocked.isdisjoint(core) for core in cores)
