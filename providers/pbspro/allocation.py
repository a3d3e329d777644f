"""The allocation as PBS Pro's job variables tell it."""

from __future__ import annotations

from collections.abc import Mapping

from psij_parsl.resources.allocation import Allocation
from psij_parsl.resources.variables import nodes_of_file


def allocation(environ: Mapping[str, str]) -> Allocation | None:
    """The hosts of PBS_NODEFILE, which has a line for each rank; None outside a job, and in one of Torque.

    NCPUS is the number of CPUs of the first chunk (PBS Pro user's guide, "PBS Environmental Variables"). PBS tells a
    job no end: it is asked of the server (`PBSProScheduler.end_query`). GPUs are what the vendor's variable shows, as
    PBS's cgroups hook sets it.
    """
    if not {"PBS_JOBID", "PBS_NODEFILE"} <= environ.keys() or "PBS_NUM_PPN" in environ:
        return None
    job_id = environ["PBS_JOBID"]
    nodes, siblings = nodes_of_file(environ, "PBS_NODEFILE", num_cpus=("NCPUS",), gpu_file="PBS_GPUFILE")
    return Allocation("pbspro", job_id, nodes, cluster=job_id.partition(".")[2], siblings=siblings)
