"""The allocation of a job of the local manager: a number of cores of this host, until its wall time ends."""

from __future__ import annotations

from collections.abc import Mapping

from psij_parsl.resources import gpus, host
from psij_parsl.resources.allocation import Allocation, counted


def allocation(environ: Mapping[str, str]) -> Allocation | None:
    """From PSIJ_LOCAL_JOB_ID, PSIJ_LOCAL_CORES and PSIJ_LOCAL_END (seconds since the epoch); None outside a job.

    The manager counts cores. It selects neither cores nor GPUs: the job's GPUs are those that the environment shows.
    """
    job_id, cores = environ.get("PSIJ_LOCAL_JOB_ID"), environ.get("PSIJ_LOCAL_CORES", "")
    if not job_id or not cores.isdigit():
        return None
    nodes, siblings = counted([host.name()], [int(cores)], gpus.visible(environ) or ())
    end = environ.get("PSIJ_LOCAL_END", "")
    return Allocation(
        "local",
        job_id,
        nodes,
        end=float(end) if end.isdigit() else None,
        cluster=environ.get("PSIJ_LOCAL_HOME", ""),
        siblings=siblings,
        gpus_told=True,
    )
