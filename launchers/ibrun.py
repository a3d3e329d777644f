"""TACC's ibrun, which starts whatever MPI is loaded over the job's hosts. https://docs.tacc.utexas.edu/tutorials/

It begins with the first host of the job, always, so it cannot start a run on nodes that were assigned.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from psij_parsl.errors import InvalidRequest
from psij_parsl.job import Resources
from psij_parsl.runs.mpirun import MPIRun

_LINE = ("env", "IBRUN_TASKS_PER_NODE={{ ranks_per_node }}", "ibrun", "-n", "{{ num_ranks }}")


class Ibrun(MPIRun):
    """`ibrun`."""

    name = "ibrun"
    program = "ibrun"
    mpi_families = ("mpich", "openmpi")
    mpi = serial = per_node = _LINE
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

    def argv(
        self,
        shape: Resources,
        *,
        mode: str = "mpi",
        hosts: Sequence[str] = (),
        stdin: bool = False,
        name: str = "",
        script: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """As the base says. Raises `InvalidRequest` for hosts."""
        if hosts:
            raise InvalidRequest(
                "ibrun cannot be told on which nodes to run: it begins with the first of the job",
                hint="use --launcher mpiexec, or srun, in which steps can be placed",
            )
        return super().argv(shape, mode=mode, stdin=stdin, name=name, script=script)


launcher = Ibrun
