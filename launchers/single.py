"""No launcher: the command itself, once."""

from collections.abc import Mapping, Sequence
from typing import Any

from psij_parsl.errors import InvalidRequest
from psij_parsl.job import Resources
from psij_parsl.runs.mpirun import MPIRun


class Single(MPIRun):
    """One rank, started directly."""

    name = "single"
    mpi = serial = per_node = ("env",)
    this_host_only = True
    takes_options = False
    mpi_families = ("mpich", "openmpi")  # one rank finds itself
    parent_stays = False
    signals_groups = False
    signal_docs = "The rank is the launcher."

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
        """No words at all. Raises `InvalidRequest` for more than one rank."""
        if shape.num_ranks > 1:
            raise InvalidRequest(
                f"{shape.num_ranks} ranks need a launch method",
                hint="--launcher srun, or `launcher` in the site file",
            )
        return []


launcher = Single
