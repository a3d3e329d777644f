"""The allocation as LSF's job variables tell it."""

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
        found = slots(mcpu)
    elif environ.get("LSB_DJOB_HOSTFILE"):
        found = lines(read_named(environ, "LSB_DJOB_HOSTFILE"))
    else:
        found = lines("\n".join(environ.get("LSB_HOSTS", "").split()))
    first = next(iter(found), "")
    if "CSM_ALLOCATION_ID" in environ and len(found) > 1 and found[first] == 1:
        del found[first]
    job_id = environ["LSB_JOBID"]
    if (index := environ.get("LSB_JOBINDEX", "0")) != "0":
        job_id = f"{job_id}[{index}]"
    nodes, siblings = counted(found, list(found.values()), gpus.visible(environ) or ())
    return Allocation(
        "lsf", job_id, not_empty(nodes, "LSF"), cluster=environ.get("LSF_CLUSTER", ""), siblings=siblings
    )
