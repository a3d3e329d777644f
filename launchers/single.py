"""No launcher: the command itself runs once."""

from psij_parsl.errors import InvalidRequest
from psij_parsl.runs.mpirun import Args, MPIRun, RunShape


class Single(MPIRun):
    """One rank, started directly."""

    name = "single"
    this_host_only = True
    takes_options = False
    mpi_families = ("mpich", "openmpi")  # one rank needs no PMI
    parent_stays = False
    signals_groups = False
    signal_docs = "The rank is the launcher."

    def mpi(self, run: RunShape) -> Args:
        if run.num_ranks > 1:
            raise InvalidRequest(
                f"{run.num_ranks} ranks need a launch method", hint="--launcher srun, or `launcher` in the site file"
            )
        return []

    serial = per_node = mpi


launcher = Single
