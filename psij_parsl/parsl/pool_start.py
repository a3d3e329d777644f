"""What `NodePools` starts: Parsl's executor with its interchange, and the run of its worker pools."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl.executors import HighThroughputExecutor

from ..errors import LaunchError
from ..job import Job
from ..job_size import Resources
from ..platforms.registry import managers
from ..resources.host import is_here
from ..runs.mpirun import MPIRun
from ..runs.variables import OUTER_RUN
from ..system.commands import matcher
from .addresses import LOOPBACK, addresses_of_node
from .interchange import command as interchange_command
from .worker import places

if TYPE_CHECKING:
    from ..resources.node import Node
    from ..sites import Site

_HEARTBEAT_S, _LOST_S = 5, 30
_POLL_MS = 100
_MPI_VARIABLES = ("OMPI_*", "PMIX_*", "PMI_*", "PRTE_*", "HYDI_*", "HYDRA_*", "MPIR_*")


def started_executor(folder: Path, nodes: Sequence[Node], workers: int, site: Site) -> Any:
    """Parsl's executor for so many workers on each of the nodes, without a provider. Raises `LaunchError`."""
    logging.getLogger("parsl").addHandler(logging.NullHandler())
    here = all(is_here(node.name) for node in nodes)
    addresses = [LOOPBACK] if here else addresses_of_node(site)
    executor: Any = HighThroughputExecutor(
        label="htex",
        address=addresses[0],
        interchange_launch_cmd=interchange_command(),
        max_workers_per_node=workers,
        cores_per_worker=1,
        heartbeat_period=_HEARTBEAT_S,
        heartbeat_threshold=_LOST_S,
        poll_period=_POLL_MS,
        encrypted=True,
    )
    executor.run_dir = str(folder)
    if len(addresses) > 1:  # the pools try which one they reach; the interchange takes calls on each
        executor.address, executor.all_addresses = None, {*addresses}
    try:
        executor.start()
    except Exception as error:
        with suppress(Exception):
            executor.shutdown()
        raise LaunchError(
            f"Parsl's interchange could not be started: {error}", hint=f"its log is in {executor.logdir}"
        ) from error
    return executor


def told_to_pools(
    nodes: Sequence[Node], shape: Resources, method: MPIRun, preload: Sequence[str], *, bind: bool
) -> dict[str, Any]:
    """What `worker_pool.py` reads on each node."""
    workers = shape.ranks_per_node
    patterns = [*OUTER_RUN, *method.scrub_environment, *_MPI_VARIABLES]
    patterns += [pattern for manager in managers() for pattern in manager.variables]
    of_launch, of_outer_run = matcher(tuple(patterns)), matcher(OUTER_RUN)
    return {
        "launch_variables": patterns,
        "own_variables": {
            name: value
            for name, value in os.environ.items()
            if of_launch.fullmatch(name) and not of_outer_run.fullmatch(name)
        },
        "workers": workers,
        "preload": [*preload],
        "path": [path for path in sys.path if path],
        "places": {node.name: places(node, workers, shape.cpus_per_rank) if bind else [] for node in nodes},
    }


def pool_command(folder: Path, parsls: str) -> list[str]:
    """Our pool with the arguments of Parsl's command, which quotes no path: it may have blanks and braces."""
    stand_in = "@FOLDER@"
    words = shlex.split(parsls.replace(str(folder), stand_in).format(block_id=""))
    arguments = [word.replace(stand_in, str(folder)) for word in words[1:]]
    return [sys.executable, "-m", "psij_parsl.parsl.worker_pool", str(folder), *arguments]


def pool_job(command: Sequence[str], num_nodes: int, shape: Resources, environment: Mapping[str, str]) -> Job:
    """The run of the pools: one on each node, which has all of the node's part."""
    return Job(
        command=command,
        num_nodes=num_nodes,
        ranks_per_node=1,
        cpus_per_rank=shape.ranks_per_node * shape.cpus_per_rank,
        threads_per_core=shape.threads_per_core,
        gpus_per_node=shape.gpus_on_node or None,
        memory_per_node=shape.memory_on_node or None,
        job_mode="serial",
        environment=environment,
    )
