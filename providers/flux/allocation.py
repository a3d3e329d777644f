"""The allocation of a Flux job or instance. Flux's commands are asked for it: its variables name no hosts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from psij_parsl.errors import AllocationError, Unavailable
from psij_parsl.resources import gpus, host
from psij_parsl.resources.allocation import Allocation
from psij_parsl.resources.hostlist import expand, numbers
from psij_parsl.resources.node import Node
from psij_parsl.resources.variables import not_empty

if TYPE_CHECKING:
    from psij_parsl.system.commands import Runner


def allocation(environ: Mapping[str, str], run: Runner | None = None) -> Allocation | None:
    """The allocation of the current Flux instance (`flux batch`, `flux alloc`), or of a job in one (FLUX_JOB_ID).

    The environment names no hosts, so Flux is asked: `flux resource R` in an instance, `flux job info ID R` in a
    job; both print a resource set
    (https://flux-framework.readthedocs.io/projects/flux-rfc/en/latest/spec_20.html). Raises `AllocationError`
    when it does not answer.
    """
    if "FLUX_URI" not in environ:
        return None
    job_id = environ.get("FLUX_JOB_ID", "")
    argv = ["flux", "job", "info", job_id, "R"] if job_id else ["flux", "resource", "R"]
    from psij_parsl.system.bounds import Bounds
    from psij_parsl.system.commands import CommandRunner

    runner = run or partial(
        CommandRunner(keep_env=("FLUX_*", "LUA_*", "PYTHONPATH"), timeout_s=20.0), bounds=Bounds()
    )
    try:
        output = runner(argv)
    except Unavailable as error:
        raise AllocationError(
            f"Flux cannot be asked for this job's nodes: {error.message}", hint=error.hint
        ) from error
    if output.rc != 0:
        raise AllocationError(f"{' '.join(argv)} failed: {output.text}", hint="is Flux's broker still running?")
    cluster = environ["FLUX_URI"]
    return read_flux(output.stdout, job_id or environ.get("FLUX_ENCLOSING_ID", ""), cluster, gpus.visible(environ))


def read_flux(text: str, job_id: str, cluster: str = "", visible: Sequence[str] | None = None) -> Allocation:
    """The allocation that a resource set in Flux's JSON describes. Raises `AllocationError` if it is none."""
    try:
        execution = json.loads(text)["execution"]
        names = [name for host_list in execution["nodelist"] for name in expand(host_list)]
        cores: dict[int, tuple[int, ...]] = {}
        devices: dict[int, tuple[str, ...]] = {}
        for part in execution["R_lite"]:
            for rank in numbers(str(part["rank"])):
                cores[rank] = numbers(part["children"].get("core", ""))
                devices[rank] = tuple(map(str, numbers(part["children"].get("gpu", ""))))
        end = float(execution.get("expiration", 0)) or None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AllocationError(f"cannot read Flux's resource set {text[:200]!r}: {error}") from error
    topology = host.siblings() if any(map(host.is_here, names)) else ()
    nodes = []
    for name, rank in zip(names, sorted(cores), strict=False):
        real = bool(topology) and max(cores[rank], default=0) < len(topology)
        cpus = tuple(cpu for core in cores[rank] for cpu in topology[core]) if real else cores[rank]
        gpu_ids = devices[rank]
        if visible and host.is_here(name) and len(visible) == len(gpu_ids):
            gpu_ids = tuple(visible)
        nodes.append(Node(name, tuple(sorted(cpus)), gpu_ids, None, real))
    return Allocation("flux", job_id, not_empty(tuple(nodes), "Flux"), end, cluster, topology, gpus_told=True)
