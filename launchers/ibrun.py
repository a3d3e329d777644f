"""TACC's ibrun, which starts ranks of the loaded MPI on the job's hosts. https://docs.tacc.utexas.edu/tutorials/

It always begins with the first host of the job, so it cannot start a run on nodes that were assigned.
"""

from psij_parsl.errors import InvalidRequest
from psij_parsl.runs.mpirun import Args, MPIRun, RunShape


class Ibrun(MPIRun):
    """`ibrun`."""

    name = program = "ibrun"
    mpi_families = ("mpich", "openmpi")
    rank_variables = ("MV2_COMM_WORLD_RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID")
    local_rank_variables = (
        "MV2_COMM_WORLD_LOCAL_RANK",
        "MPI_LOCALRANKID",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "SLURM_LOCALID",
    )
    signal_docs = (
        "As the launcher of the MPI that is loaded, which it calls. Not seen at work: no such machine was at hand."
    )

    def mpi(self, run: RunShape) -> Args:
        if run.hosts:
            raise InvalidRequest(
                "ibrun cannot be told on which nodes to run: it begins with the first of the job",
                hint="use --launcher mpiexec, or srun, in which steps can be placed",
            )
        return ["env", f"IBRUN_TASKS_PER_NODE={run.ranks_per_node}", "ibrun", "-n", run.num_ranks]

    serial = per_node = mpi


launcher = Ibrun
