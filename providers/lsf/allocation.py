"""The allocation of an LSF job, from its environment variables."""

from __future__ import annotations

from collections.abc import Mapping

from psij_parsl.resources import gpus
from psij_parsl.resources.allocation import Allocation, counted
from psij_parsl.resources.hostlist import lines, slots
from psij_parsl.resources.variables import not_empty, read_named


def allocation(environ: Mapping[str, str]) -> Allocation | None:
    """LSF: LSB_MCPU_HOSTS `h1 4 h2 4`, or LSB_DJOB_HOSTFILE with a line per slot, or LSB_HOSTS.

    https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=variables-environment-variables-set-job-execution
    Where the job's script runs on a launch node (CSM: Summit, Lassen), its one slot is not part of the job.
    """
    if "LSB_JOBID" not in environ:
        return None
    if mcpu := environ.get("LSB_MCPU_HOSTS"):
        slots_of_host = slots(mcpu)
    elif environ.get("LSB_DJOB_HOSTFILE"):
        slots_of_host = lines(read_named(environ, "LSB_DJOB_HOSTFILE"))
    else:
        slots_of_host = lines("\n".join(environ.get("LSB_HOSTS", "").split()))
    first = next(iter(slots_of_host), "")
    if "CSM_ALLOCATION_ID" in environ and len(slots_of_host) > 1 and slots_of_host[first] == 1:
        del slots_of_host[first]
    job_id = environ["LSB_JOBID"]
    if (index := environ.get("LSB_JOBINDEX", "0")) != "0":
        job_id = f"{job_id}[{index}]"
    nodes, siblings = counted(slots_of_host, list(slots_of_host.values()), gpus.visible(environ) or ())
    return Allocation(
        "lsf",
        job_id,
        not_empty(nodes, "LSF"),
        cluster=environ.get("LSF_CLUSTER", ""),
        siblings=siblings,
        queue=environ.get("LSB_QUEUE", ""),
    )
