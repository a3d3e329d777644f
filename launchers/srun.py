"""Slurm's own launcher. https://slurm.schedmd.com/srun.html

For a run over a whole allocation, the line always has `--cpus-per-task`: since 22.05 srun does not take it from
sbatch. Where we have assigned the cores, the line cannot have it: it implies `--exact`, by which Slurm would choose
the cores itself and confine the ranks to them. So the step gets all of the job's resources on its nodes, shared with
other steps (`--overlap`, since 20.11), and we bind each rank. The same holds for one helper per node, which is not
bound.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from psij_parsl.job_size import Resources
from psij_parsl.runs.mpirun import Args, MPIRun, RunShape, when

if TYPE_CHECKING:
    from psij_parsl.runs.mpi_libraries import Linked

#: The PMI by which each library's ranks find each other.
_PMI = {"mpich": "pmi2", "openmpi": "pmix"}
# The choice that `pmi_environment` makes, as shell text for a script, where neither the user nor the site has set it.
_CHOOSE_PMI = """if [ -z "${SLURM_MPI_TYPE:-}" ]; then
  case $(scontrol show config 2>/dev/null | grep "^MpiDefault") in
  *none | *"(null)")
    case $(ldd "$(command -v -- "$1")" 2>/dev/null) in
    *libmpich.so* | *libmpi.so.12*) export SLURM_MPI_TYPE=pmi2 ;;
    *libmpi.so.* | *libopen-pal.so*) export SLURM_MPI_TYPE=pmix ;;
    esac ;;
  esac
fi"""
# The step is recognized by its name; only srun had its id.
_KILL_SCRIPT = """squeue --noheader --steps --jobs="$1" --format="%i %j" | while read -r step name; do
  [ "$name" != "$2" ] || scancel --signal=KILL "$step"; done"""


def _nodes(run: RunShape) -> Args:
    uneven = run.num_ranks % run.num_nodes  # then srun warns that it ignores the third
    per_node = when(not uneven, f"--ntasks-per-node={run.ranks_per_node}")
    return [f"--nodes={run.num_nodes}", f"--ntasks={run.num_ranks}", *per_node]


def _rank_options(run: RunShape) -> Args:
    return [
        *when(not run.hosts, f"--cpus-per-task={run.threads_per_rank}"),
        *when(run.hosts, "--overlap", "--cpu-bind=none", f"--nodelist={run.hosts}"),
        *when(run.gpus_per_node and not run.hosts, f"--gpus-per-node={run.gpus_per_node}"),
        *when(run.memory_per_node, f"--mem={run.memory_per_node}M"),
        *when(run.name, f"--job-name={run.name}"),
    ]


class Srun(MPIRun):
    """`srun` over the job's allocation."""

    name = program = "srun"
    rank_variables = ("SLURM_PROCID",)
    local_rank_variables = ("SLURM_LOCALID",)
    # Variables that describe the shape of an outer job or step; srun would use them for this step.
    scrub_environment = (
        "SLURM_NTASKS*",
        "SLURM_NPROCS",
        "SLURM_NNODES",
        "SLURM_JOB_NUM_NODES",
        "SLURM_CPUS_PER_TASK",
        "SRUN_CPUS_PER_TASK",
        "SLURM_TRES_PER_TASK",
        "SLURM_CPU_BIND*",
        "SLURM_MEM_BIND*",
        "SLURM_DISTRIBUTION",
        "SLURM_THREADS_PER_CORE",
        "SLURM_GPUS",
        "SLURM_GPUS_PER_*",
        "SLURM_GPU_BIND",
        "SLURM_GRES",
        "SLURM_STEP_*",
        "SLURM_STEPID",
        "SLURM_PROCID",
        "SLURM_LOCALID",
        "SLURM_NODEID",
        "SLURM_TASK_PID",
        "SLURM_MEM_PER_*",
        "SLURM_HINT",
        "SLURM_EXACT",
        "SLURM_EXCLUSIVE",
        "SLURM_STDINMODE",
        "SLURM_LABELIO",
        "SLURM_PMI*",
        "SLURM_LAUNCH_NODE_IPADDR",
        "SLURM_SRUN_COMM_*",
        "SLURM_EXPORT_ENV",
    )
    loses_exit_codes = (
        "mpi",
    )  # it returns the highest: 143 of the ranks that it ended, not the code of the first that failed
    environment = {"SLURM_DISABLE_STATUS": "1"}  # so that the first SIGINT is passed on, and does not print a table
    signal_docs = (
        "srun hands signals on to all tasks of its step. When srun was killed, the step is found by its name and"
        " ended with scancel, by us or, when we were killed too, by the guard."
    )

    def mpi(self, run: RunShape) -> Args:
        return ["srun", "--kill-on-bad-exit=1", *_nodes(run), *_rank_options(run), *when(run.stdin, "--input=0")]

    def serial(self, run: RunShape) -> Args:
        return ["srun", "--mpi=none", "--kill-on-bad-exit=0", *_nodes(run), *_rank_options(run)]

    def per_node(self, run: RunShape) -> Args:
        return ["srun", "--mpi=none", "--kill-on-bad-exit=0", "--overlap", "--cpu-bind=none", *_nodes(run)]

    def lines(self, shape: Resources, *, mode: str = "mpi", hosts: str = "") -> str:
        """As in the base class: the choice of the PMI; and for uneven ranks, srun is not to warn of the job's own."""
        uneven = "unset SLURM_NTASKS_PER_NODE" if shape.ranks else ""
        choice = "" if mode != "mpi" or shape.num_ranks < 2 or self._pmi_option() else _CHOOSE_PMI
        return "\n".join(filter(None, (uneven, choice)))

    def pmi_environment(self, linked: Linked, num_ranks: int, environment: Mapping[str, str]) -> dict[str, str]:
        """As in the base class. srun does not choose the PMI by the program; with a wrong one each rank is alone."""
        if linked.mpi not in _PMI:
            return {}
        pmi = self._pmi_option() or environment.get("SLURM_MPI_TYPE", "")
        if not pmi and _default(environment) in ("", "none"):
            return {"SLURM_MPI_TYPE": _PMI[linked.mpi]}
        if num_ranks > 1:
            kind = pmi.partition("_")[0]
            supported = kind != "none" and (kind == _PMI[linked.mpi] or kind in linked.clients or not kind)
            if not supported and kind in ("none", "pmix", "pmi2"):
                from psij_parsl.runs.mpi_libraries import wrong_launcher

                raise wrong_launcher(
                    linked, num_ranks, f"srun --mpi={pmi} gives it no such PMI", f"--option=--mpi={_PMI[linked.mpi]}"
                )
        return {}

    def _pmi_option(self) -> str:
        """The PMI that the options ask for; '' if they do not."""
        values = [option.removeprefix("--mpi=") for option in self.options if option.startswith("--mpi=")]
        return values[-1] if values else ""

    def kill_command(self, name: str, environment: Mapping[str, str]) -> Sequence[str]:
        """As in the base class: it kills the steps of that name; () outside a Slurm job."""
        job = environment.get("SLURM_JOB_ID", "")
        return ("sh", "-c", _KILL_SCRIPT, "psij-end", job, name) if job else ()


def _default(environment: Mapping[str, str]) -> str:
    """The cluster's MpiDefault; '' if scontrol does not show it."""
    try:
        process = subprocess.run(
            ["scontrol", "show", "config"], capture_output=True, text=True, timeout=20, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r"^MpiDefault\s*=\s*(\S+)", process.stdout, re.MULTILINE)
    return match[1] if match and match[1] != "(null)" else ""  # none before 23.11


launcher = Srun
