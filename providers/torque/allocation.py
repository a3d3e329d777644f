"""The allocation of a Torque job, from its environment variables."""

from __future__ import annotations

from collections.abc import Mapping

from psij_parsl.resources.allocation import Allocation
from psij_parsl.resources.variables import nodes_of_file


def allocation(environ: Mapping[str, str]) -> Allocation | None:
    """The hosts of PBS_NODEFILE, which has a line for each core; PBS_NUM_PPN is the number of cores of each.

    Its GPUs are those that the vendor's variable shows, else those of PBS_GPUFILE. No variable has the job's end time
    (PBS_WALLTIME is how long it may run in all): the server is asked for it (`TorqueScheduler.end_query`).
    """
    if not {"PBS_JOBID", "PBS_NODEFILE", "PBS_NUM_PPN"} <= environ.keys():
        return None
    job_id = environ["PBS_JOBID"]
    nodes, siblings = nodes_of_file(
        environ, "PBS_NODEFILE", num_cpus=("NCPUS", "PBS_NUM_PPN"), gpu_file="PBS_GPUFILE"
    )
    queue, cluster = environ.get("PBS_QUEUE", ""), job_id.partition(".")[2]
    return Allocation("torque", job_id, nodes, cluster=cluster, siblings=siblings, queue=queue)
