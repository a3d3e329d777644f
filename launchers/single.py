"""No launcher: the command itself, once."""

from psij_parsl.errors import InvalidRequest
from psij_parsl.job import Resources
from psij_parsl.mpirun import MPIRun


class Single(MPIRun):
    """One rank, started directly."""

    name = "single"
    mpi = serial = ("env",)

    def argv(self, shape: Resources, *, mode: str = "mpi", hosts: object = ()) -> list[str]:
        """No words at all. Raises `InvalidRequest` for more than one rank."""
        if shape.num_ranks > 1:
            raise InvalidRequest(
                f"{shape.num_ranks} ranks need a launch method",
                hint="--launcher srun, or `launcher` in the site file",
            )
        return []


launcher = Single
