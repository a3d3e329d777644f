"""Open MPI's mpirun, also called mpiexec. https://docs.open-mpi.org/en/main/man-openmpi/man1/mpirun.1.html

Without host names it uses those of the manager's allocation. Environment variables set that one copy's failure leaves
the others running, because a version without such a setting ignores its variable.
"""

import os
import shutil
from collections.abc import Mapping, Sequence

from psij_parsl.job_size import Resources
from psij_parsl.runs.mpirun import Args, MPIRun, RunShape, each, when

_KEEP_RUNNING = ("env", "OMPI_MCA_orte_abort_on_non_zero_status=0", "PRTE_MCA_state_base_error_non_zero_exit=0")
_SYSTEM_FOLDERS = ("/usr/bin", "/bin")
_LAUNCHER_NAME = """case $(readlink -f -- "$psij_launcher" 2>/dev/null || printf %s "$psij_launcher") in
/usr/bin/* | /bin/*) [ "$(type -P "${psij_launcher##*/}")" != "$psij_launcher" ] || psij_launcher=${psij_launcher##*/} ;;
esac"""
_SLOTS = """psij_slots=
[ -n "${SLURM_JOB_ID:-}" ] || psij_slots=$(awk -v own="$(uname -n)" '{
  split($1, name, "."); split(own, ours, ".")
  printf "%%s%%s:%(ranks)d", (NR > 1 ? "," : ""), (name[1] == ours[1] ? own : $1) }' "$PSIJ_NODEFILE")"""


def _ranks(run: RunShape, modifiers: str = "") -> Args:
    return ["-n", run.num_ranks, "--map-by", f"ppr:{run.ranks_per_node}:node{modifiers}"]


def _placed(run: RunShape) -> Args:
    """Options for the placement. Each assigned host has as many slots as ranks of ours; other runs do not count."""
    if run.hosts:
        return [*_ranks(run, ":oversubscribe"), "--bind-to", "none", "--host", run.slots or run.hosts]
    return [*_ranks(run, f":pe={run.cpus_per_rank}"), *when(run.all_slots, "--host", run.all_slots)]


def _exported(run: RunShape) -> Args:
    """Options that export variables. Of all others, ranks on other nodes get the values that the daemons there have."""
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
    # With _KEEP_RUNNING it loses the copies' exit codes. In any mode, version 5 waits for ever if a rank was killed
    # whose child still has its output open.
    loses_exit_codes = ("mpi", "serial")
    independent_copies = ("serial",)
    # In a Slurm job its daemons are a step of their own, which must be able to share nodes with other runs' steps.
    environment = {"SLURM_OVERLAP": "1", "SLURM_CPU_BIND": "none"}
    signal_docs = (
        "mpirun ends its ranks on SIGTERM and SIGINT, and hands USR1 and USR2 on. Its daemons on other nodes end"
        " their ranks when mpirun is gone; on its own node the kernel does (parent-death signal), or our sweep."
    )

    def mpi(self, run: RunShape) -> Args:
        return ["mpirun", *_placed(run), *_exported(run)]

    def serial(self, run: RunShape) -> Args:
        return [*_KEEP_RUNNING, "mpirun", *_placed(run), *_exported(run)]

    def per_node(self, run: RunShape) -> Args:
        hosts = when(run.hosts, "--host", run.hosts)
        return [*_KEEP_RUNNING, "mpirun", *_ranks(run), "--bind-to", "none", *hosts, *_exported(run)]

    def launcher_name(self, path: str, search_path: str | None = None) -> str:
        """As in the base class: the plain name for a system's mpirun that is first on PATH, else the path.

        If mpirun is called by its path, it puts its own folder first on the ranks' PATH. An installation in another
        folder needs that: otherwise its daemons would not be found on other nodes.
        """
        name, folder = os.path.basename(path), os.path.dirname(os.path.realpath(path))
        return name if folder in _SYSTEM_FOLDERS and shutil.which(name, path=search_path) == path else path

    def start_refusal(self, argv: Sequence[str], environment: Mapping[str, str]) -> tuple[str, str]:
        """As in the base class: for root it starts nothing without two variables or an option."""
        allowed = any(
            all(environment.get(f"{kind}_ALLOW_RUN_AS_ROOT{suffix}") for suffix in ("", "_CONFIRM"))
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
        """As in the base class: the choice of `launcher_name` as shell text, and the nodes' names.

        mpirun gets the nodes from Slurm by itself, but from PBS and others only if it was built with their library.
        """
        if shape.nodes_at_least < 2 or hosts or mode == "per_node":
            return _LAUNCHER_NAME
        return f"{_LAUNCHER_NAME}\n{_SLOTS % {'ranks': shape.ranks_per_node}}"


launcher = OpenMPI
