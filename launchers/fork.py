"""N copies on this host, without any MPI: what a laptop has.

Each copy knows its place from PSIJ_RANK, PSIJ_NUM_RANKS and PSIJ_LOCAL_RANK.
"""

from psij_parsl.errors import InvalidRequest
from psij_parsl.job import Resources
from psij_parsl.mpirun import MPIRun

# Run as: bash -c TEXT psij-fork RANKS COMMAND... The exit code is the first failing copy's.
_START = """n=$1; shift; pids=; trap 'kill -s TERM $pids 2>/dev/null' TERM INT
for ((r = 0; r < n; r++)); do
  PSIJ_RANK=$r PSIJ_LOCAL_RANK=$r PSIJ_NUM_RANKS=$n "$@" & pids="$pids $!"
done
code=0
"""
_ALL = _START + 'for p in $pids; do wait "$p" || { c=$?; [ "$code" != 0 ] || code=$c; }; done; exit "$code"'
_TOGETHER = (
    _START
    + "for ((r = 0; r < n; r++)); do wait -n $pids || { code=$?; kill -s TERM $pids 2>/dev/null; wait; break; }; done"
    + '; exit "$code"'
)


class Fork(MPIRun):
    """Copies of the command as plain processes of one host."""

    name = "fork"
    program = "bash"
    mpi = ("bash", "-c", "{% raw %}" + _TOGETHER + "{% endraw %}", "psij-fork", "{{ num_ranks }}")
    serial = ("bash", "-c", "{% raw %}" + _ALL + "{% endraw %}", "psij-fork", "{{ num_ranks }}")

    def argv(self, shape: Resources, *, mode: str = "mpi", hosts: object = ()) -> list[str]:
        """As the base says. Raises `InvalidRequest` for more than one node."""
        if shape.num_nodes > 1:
            raise InvalidRequest(
                f"{shape.num_nodes} nodes cannot be reached by plain processes of one host",
                hint="use one node, or a launcher that starts processes on other nodes",
            )
        return super().argv(shape, mode=mode)


launcher = Fork
