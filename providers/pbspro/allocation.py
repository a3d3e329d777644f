"""The allocation of a PBS Pro job, from its environment variables."""

from __future__ import annotations

from collections.abc import Mapping

from psij_parsl.resources.allocation import Allocation
from psij_parsl.resources.variables import nodes_of_file


def allocation(environ: Mapping[str, str]) -> Allocation | None:
    """The hosts of PBS_NODEFILE, which has a line for each rank; None outside a job, and in a job of Torque.

    NCPUS is the number of CPUs of the first chunk (PBS Pro user's guide, "PBS Environmental Variables"). No variable
    of PBS has the job's end time: the server is asked for it (`PBSProScheduler.end_query`). The GPUs are those that
    the vendor's variable shows, as PBS's cgroups hook sets it.
    """
    if not {"PBS_JOBID", "PBS_NODEFILE"} <= environ.keys() or "PBS_NUM_PPN" in environ:
        return None
    job_id = environ["PBS_JOBID"]
    nodes, siblings = nodes_of_file(environ, "PBS_NODEFILE", num_cpus=("NCPUS",), gpu_file="PBS_GPUFILE")
    queue, cluster = environ.get("PBS_QUEUE", ""), job_id.partition(".")[2]
    return Allocation("pbspro", job_id, nodes, cluster=cluster, siblings=siblings, queue=queue)
