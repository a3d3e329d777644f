"""Parsl configurations for a site.

`plan` returns the arguments as plain data; `parsl_config` makes the objects from them, `export.py` Python and YAML.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import Error, InvalidRequest
from ..sites.job_shape import gpu_count, usable_cores
from ..validators import non_negative_int, positive_int
from . import checked
from .addresses import address
from .arguments import executor_name, sorted_out, taken_by
from .block_shape import node
from .interchange import command as interchange_command
from .provider import BlockProvider
from .registry import provider_class
from .vocabulary import minutes

if TYPE_CHECKING:
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.executors.base import ParslExecutor

    from ..resources.node import Hardware
    from ..sites import NodeType, Site
    from .options import ParslOptions

log = logging.getLogger("parsl.psij")  # below Parsl's logger, so that it is written to parsl.log

_PARSL_MPI = ("srun", "aprun", "mpiexec")  # the launchers that Parsl's MPIExecutor supports


@dataclass(frozen=True)
class ConfigPlan:
    """Arguments by name: of the provider's class, of the executor's, and of `parsl.Config`."""

    provider_class: type[BlockProvider]
    provider: dict[str, Any]
    executor_class: str
    executor: dict[str, Any]
    config: dict[str, Any]

    def make_executor(self) -> HighThroughputExecutor:
        """The executor. Raises `InvalidRequest` for what Parsl does not take."""
        from . import executors
        from .error_handlers import consecutive_failures

        kind: type[HighThroughputExecutor] = getattr(executors, self.executor_class)
        arguments = {"block_error_handler": consecutive_failures, **self.executor}
        executor = accepted(kind, **arguments, provider=self.provider_class(**self.provider))
        if "interchange_launch_cmd" not in self.executor:
            executor.interchange_launch_cmd = interchange_command()  # MPIExecutor's own argument takes one word only
        return executor


_SHAPE = 'say sites={"a label": {"site": "a name", ...}, "another label": {...}}'
Sites = (
    Mapping[str, "str | Site | Mapping[str, Any]"] | Sequence["str | Site"]
)  # as `psij_parsl.parsl_config` has them


def parsl_config(site: str | Site | None = None, *, sites: Sites | None = None, **wishes: Any) -> Config:
    """A `parsl.Config`: see `psij_parsl.parsl_config`."""
    from parsl.config import Config

    plans = [plan(site, **wishes)] if sites is None else plans_of(_labelled(site, sites), wishes)
    executors = [one.make_executor() for one in plans]
    config = dict(plans[0].config)
    executors += config.pop("executors", ())
    _differ([executor.label for executor in executors])
    _warn_of_cores(executors)
    return accepted(Config, executors=executors, **config)


def _warn_of_cores(executors: Sequence[ParslExecutor]) -> None:
    """Warn if the blocks of several executors are on this host, which has too few cores for one of each."""
    here = {each.label: provider for each in executors if (provider := _provider_here(each)) is not None}
    if len(here) < 2:
        return
    asked = [provider.cores_per_node or 1 for provider in here.values()]
    total = next(iter(here.values())).whole_node().get("cores_per_node")
    if total is not None and sum(asked) > total:
        warnings.warn(
            f"the blocks of {' and '.join(here)} ask for {' and '.join(map(str, asked))} cores of this host, which gives"
            f" out {total}: one will wait until another has ended; say cores_per_node for each, and the workers follow",
            stacklevel=4,
        )


def _provider_here(executor: ParslExecutor) -> BlockProvider | None:
    provider = getattr(executor, "provider", None)
    return provider if isinstance(provider, BlockProvider) and provider.is_here else None


_T = TypeVar("_T")


def accepted(make: Callable[..., _T], **arguments: Any) -> _T:
    """What a class of Parsl's makes of the arguments. Raises `InvalidRequest` for those of a wrong kind."""
    try:
        return make(**arguments)
    except Error:
        raise
    except Exception as error:  # typeguard's, or Parsl's own, which are of many kinds
        raise InvalidRequest(f"Parsl refuses an argument: {' '.join(str(error).split())}") from error


def plans_of(sites: Mapping[str, str | Site | Mapping[str, Any]], shared: Mapping[str, Any]) -> list[ConfigPlan]:
    """The arguments of a configuration with an executor for each label, and with the `shared` wishes.

    Raises `InvalidRequest` or `SiteError`.
    """
    if not sites:
        raise InvalidRequest("there is no site in sites", hint=_SHAPE)
    if "label" in shared:
        raise InvalidRequest("several sites cannot have one label", hint=_SHAPE)
    plans = []
    for label, own in sites.items():
        wishes = dict(own) if isinstance(own, Mapping) else {"site": own}
        site = wishes.pop("site", None)
        if of_all := [name for name in wishes if name == "label" or name in taken_by("Config")]:
            hint = "the key in sites is the label" if of_all[0] == "label" else "say it once, outside"
            raise InvalidRequest(f"{label}: {of_all[0]} is one for all sites", hint=hint)
        try:
            plans.append(plan(site, **{**shared, **wishes, "label": label}))
        except Error as error:
            raise type(error)(f"{label}: {error.message}", hint=error.hint) from error
    return plans


def _labelled(site: str | Site | None, sites: Sites) -> Mapping[str, str | Site | Mapping[str, Any]]:
    """The sites by label. Raises `InvalidRequest` if there is a site besides, or a label twice."""
    if site is not None:
        raise InvalidRequest("site and sites are both given", hint="put all of them into sites")
    if isinstance(sites, Mapping):
        return sites
    names = [each if isinstance(each, str) else each.name for each in sites]
    _differ(names)
    return {each if isinstance(each, str) else each.name: each for each in sites}


def _differ(labels: Sequence[str]) -> None:
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise InvalidRequest(f"there are two executors with the label {twice!r}", hint=_SHAPE)


def plan(site: str | Site | None = None, **wishes: Any) -> ConfigPlan:
    """The arguments of a configuration with one executor. Raises `InvalidRequest` or `SiteError`."""
    from ..sites import find

    machine = find(site) if site is None or isinstance(site, str) else site
    provider = provider_class(machine.platform)
    given = sorted_out(wishes, provider)
    options = given.options
    arguments = _provider_arguments(options, given.block, machine, provider)
    shape = provider(**arguments)  # raises the errors of a block's arguments
    arguments |= _of_queue(options, arguments, machine, shape)
    config = {
        "strategy": checked.strategy(options.strategy),
        "strategy_period": options.strategy_period,
        "max_idletime": options.max_idletime,
        "retries": options.retries,
        "run_dir": options.run_dir,
        **given.config,
    }
    node_type = _node_type(machine, shape)
    hardware = node_type.hardware if node_type is not None and "cores_per_node" not in given.block else None
    executor = {**_executor_arguments(options, provider(**arguments), machine, hardware), **given.executor}
    return ConfigPlan(provider, arguments, executor_name(wishes), executor, config)


def _provider_arguments(
    options: ParslOptions, block: Mapping[str, Any], machine: Site, provider: type[BlockProvider]
) -> dict[str, Any]:
    init_blocks, min_blocks, max_blocks = checked.blocks(options.init_blocks, options.min_blocks, options.max_blocks)
    arguments = {
        "site": None if machine.built_in else machine,
        "project": options.project,
        "queue": options.queue,
        "num_nodes": options.num_nodes,
        "wall_time_min": options.wall_time_min,
        **block,
    }
    if options.wall_time_min is not None:
        arguments["wall_time_min"] = minutes("wall_time_min", options.wall_time_min)
    if node(machine.defaults)["cores_per_node"] is None:
        arguments = {**provider.whole_node(), **arguments}
    return {
        **{name: value for name, value in arguments.items() if value is not None},
        "job_mode": options.job_mode,
        "init_blocks": init_blocks,
        "min_blocks": min_blocks,
        "max_blocks": max_blocks,
        "parallelism": options.parallelism,
        "watchdog_s": options.watchdog_s,
    }


def _of_queue(
    options: ParslOptions, arguments: Mapping[str, Any], machine: Site, shape: BlockProvider
) -> dict[str, Any]:
    """What a block's queue and node type add: all GPUs of its nodes, and no more blocks than the queue takes."""
    added: dict[str, Any] = {}
    queue_name = shape.of_site.get("queue_name", "")
    node_type = _node_type(machine, shape)
    gpus = node_type.hardware.gpus if node_type is not None and node_type.name else ()
    said = options.accelerators is not None or shape.gpus_per_node is not None or "cores_per_node" in arguments
    if gpus and not said:
        added["gpus_per_node"] = len(gpus)
    caps = [
        cap for queue in machine.queues_named(queue_name) for cap in (queue.jobs.queued, queue.project_jobs.queued)
    ]
    cap = min((number for number in caps if number is not None), default=None)
    if cap is not None and arguments["max_blocks"] > cap:
        log.warning(
            "max_blocks is %d, for the queue %s of %s takes no more than that of %d",
            cap,
            queue_name,
            machine.name,
            arguments["max_blocks"],
        )
        added |= {name: min(arguments[name], cap) for name in ("init_blocks", "min_blocks", "max_blocks")}
    return added


def _node_type(machine: Site, shape: BlockProvider) -> NodeType | None:
    return machine.node_type(shape.of_site.get("queue_name", ""), shape.of_site.get("node_type", ""))


def _executor_arguments(
    options: ParslOptions, block: BlockProvider, machine: Site, hardware: Hardware | None
) -> dict[str, Any]:
    """The arguments of Parsl's executor for such blocks."""
    workers_per_node = checked.checked("workers_per_node", options.workers_per_node, positive_int)
    cores_per_worker = checked.checked("cores_per_worker", options.cores_per_worker, checked.above_0)
    drain_min = checked.checked("drain_min", options.drain_min, non_negative_int)
    arguments: dict[str, Any] = {
        "label": options.label,
        "encrypted": options.encrypted,
        "address": address(machine, options.address, options.interface, local=block.is_here),
        "drain_period": _drain_period(block.wall_time_min, drain_min),
        **({"worker_port_range": options.worker_port_range} if options.worker_port_range else {}),
    }
    if options.job_mode == "mpi":
        method = next(iter({block.method} & {*_PARSL_MPI}), "mpiexec")
        return {
            **arguments,
            "max_workers_per_block": workers_per_node or block.num_nodes,
            "mpi_launcher": options.mpi_launcher or method,
        }
    devices = _devices(block.gpus_per_node, hardware) if options.accelerators is None else options.accelerators
    cores = block.cores_per_node or (usable_cores(hardware) if hardware else None)
    workers = workers_per_node or _workers(cores, cores_per_worker, devices)
    nearest_cores = _nearest_cpus(hardware, devices, workers or 0)
    bindable = workers is not None and workers <= _bindable(block, cores or 0)
    return {
        **arguments,
        "max_workers_per_node": workers,
        "cores_per_worker": cores_per_worker,
        "cpu_affinity": options.cpu_affinity or nearest_cores or ("block" if bindable else "none"),
        **({"available_accelerators": devices} if devices else {}),
    }


def _workers(cores: int | None, cores_per_worker: float, devices: int | Sequence[str]) -> int | None:
    if devices:
        return devices if isinstance(devices, int) else len(devices)
    return max(1, int(cores / cores_per_worker)) if cores else None


def _devices(gpus: int | str | None, hardware: Hardware | None) -> int | list[str]:
    """A block's GPUs of a node: their names if these are no plain numbers, else their number."""
    names = hardware.gpus if hardware is not None else ()
    count = len(names) if gpus is None else gpu_count(gpus)
    plain = all(name == str(at) for at, name in enumerate(names[:count]))
    return count if plain else list(names[:count])


def _nearest_cpus(hardware: Hardware | None, devices: int | Sequence[str], workers: int) -> str:
    """The CPUs nearest to each worker's GPU, in Parsl's syntax; '' if they are unknown."""
    names = [*map(str, range(devices))] if isinstance(devices, int) else devices
    if hardware is None or not 0 < workers <= len(names) or not {*names} <= hardware.gpu_cpus.keys():
        return ""
    near = (sorted({*hardware.gpu_cpus[name]} - hardware.blocked) for name in names)
    return f"list:{':'.join(','.join(map(str, cpus)) for cpus in near)}"


def _bindable(provider: BlockProvider, cores: int) -> int:
    """The number of cores that workers can be bound to; Parsl's workers crash when bound to more than there are."""
    return min(cores, len(os.sched_getaffinity(0))) if provider.is_here else cores


def _drain_period(wall_time_min: int, drain_min: int | None) -> int | None:
    """Seconds from a block's start until its workers take no more tasks; None for a block that is too short."""
    reserve = max(1, min(10, wall_time_min // 10)) if drain_min is None else drain_min
    return (wall_time_min - reserve) * 60 if 0 < reserve < wall_time_min else None
