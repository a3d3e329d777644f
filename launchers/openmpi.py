"""Open MPI's mpirun, also called mpiexec. https://docs.open-mpi.org/en/main/man-openmpi/man1/mpirun.1.html

Without names of hosts it takes those of the manager's allocation. That one copy's failure leaves the others running
is said in the environment, where a version that does not know the setting passes over it.
"""

import os
import shutil
from collections.abc import Mapping, Sequence

from psij_parsl.job import Resources
from psij_parsl.runs.mpirun import Args, MPIRun, RunShape, each, when

_GO_ON = ("env", "OMPI_MCA_orte_abort_on_non_zero_status=0", "PRTE_MCA_state_base_error_non_zero_exit=0")
_SYSTEM = ("/usr/bin", "/bin")
_CALL = """case $(readlink -f -- "$psij_launcher" 2>/dev/null || printf %s "$psij_launcher") in
/usr/bin/* | /bin/*) [ "$(type -P "${psij_launcher##*/}")" != "$psij_launcher" ] || psij_launcher=${psij_launcher##*/} ;;
esac"""
_SLOTS = """psij_slots=
[ -n "${SLURM_JOB_ID:-}" ] || psij_slots=$(awk -v own="$(uname -n)" '{
  split($1, name, "."); split(own, ours, ".")
  printf "%%s%%s:%(ranks)d", (NR > 1 ? "," : ""), (name[1] == ours[1] ? own : $1) }' "$PSIJ_NODEFILE")"""


def _ranks(run: RunShape, how: str = "") -> Args:
    return ["-n", run.num_ranks, "--map-by", f"ppr:{run.ranks_per_node}:node{how}"]


def _placed(run: RunShape) -> Args:
    """Assigned hosts are told with as many slots as they have ranks of ours, and are not asked whether others run there."""
    if run.hosts:
        return [*_ranks(run, ":oversubscribe"), "--bind-to", "none", "--host", run.slots or run.hosts]
    return [*_ranks(run, f":pe={run.cpus_per_rank}"), *when(run.all_slots, "--host", run.all_slots)]


def _exported(run: RunShape) -> Args:
    """Its daemons on other nodes have an environment of their own, of which ranks get all that is not named."""
    return each("-x", run.env_names)


class OpenMPI(MPIRun):
    """`mpirun` of Open MPI 4 and 5."""

    name = "openmpi"
    program = "mpirun"
    aliases = ("mpirun.openmpi",)
    version_texts = ("Open MPI", "OpenRTE", "PRRTE", "PRTE")
    mpi_families = ("openmpi",)
    needs_own_hostname = True
    rank_variables = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK")
    local_rank_variables = ("OMPI_COMM_WORLD_LOCAL_RANK",)
    # Told to go on, it forgets the copies' exit codes; and in any mode version 5 waits for ever where a rank was killed
    # whose child still has its output.
    loses_exit_codes = ("mpi", "serial")
    independent_copies = ("serial",)
    # In a Slurm job its daemons are a step of their own, beside those of other runs.
    environment = {"SLURM_OVERLAP": "1", "SLURM_CPU_BIND": "none"}
    signal_docs = (
        "mpirun ends its ranks on SIGTERM and SIGINT, and hands USR1 and USR2 on. Its daemons on other nodes end"
        " their ranks when mpirun is gone; on its own node the kernel does (parent-death signal), or our sweep."
    )

    def mpi(self, run: RunShape) -> Args:
        return ["mpirun", *_placed(run), *_exported(run)]

    def serial(self, run: RunShape) -> Args:
        return [*_GO_ON, "mpirun", *_placed(run), *_exported(run)]

    def per_node(self, run: RunShape) -> Args:
        hosts = when(run.hosts, "--host", run.hosts)
        return [*_GO_ON, "mpirun", *_ranks(run), "--bind-to", "none", *hosts, *_exported(run)]

    def launcher_name(self, path: str, search_path: str | None = None) -> str:
        """As the base says: by its name where that will do and it is the system's.

        Called by its path, it puts its own folder first on the ranks' PATH; for one that is elsewhere it has to, or
        its daemons would not be found on other nodes.
        """
        name, folder = os.path.basename(path), os.path.dirname(os.path.realpath(path))
        return name if folder in _SYSTEM and shutil.which(name, path=search_path) == path else path

    def start_refusal(self, argv: Sequence[str], environment: Mapping[str, str]) -> tuple[str, str]:
        """As the base says: without two variables or an option it starts nothing for root."""
        allowed = any(
            all(environment.get(f"{kind}_ALLOW_RUN_AS_ROOT{sure}") for sure in ("", "_CONFIRM"))
            for kind in ("OMPI", "PRTE")
        )
        if os.geteuid() != 0 or allowed or "--allow-run-as-root" in argv:
            return "", ""
        variables = "OMPI_ALLOW_RUN_AS_ROOT=1 --env OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
        return (
            "Open MPI refuses to run as root, and nothing was started",
            f"say --launcher fork for plain processes without MPI, or allow it with --env {variables}",
        )

    def setup_lines(self, shape: Resources, *, mode: str, hosts: str) -> str:
        """As the base says: what `launcher_name` says, and the nodes by name.

        It asks Slurm for them by itself, always; PBS and others only where it was built with their library.
        """
        if shape.num_nodes < 2 or hosts or mode == "per_node":
            return _CALL
        return f"{_CALL}\n{_SLOTS % {'ranks': shape.ranks_per_node}}"


launcher = OpenMPI
