"""Flux inside an instance of one's own: `flux run`. https://flux-framework.readthedocs.io/projects/flux-core/en/latest/man1/flux-run.html

Each run is a job of the instance, whose scheduler gives no core or GPU to two jobs. So Flux binds the ranks and masks
their GPUs. The nodes that were assigned are requested by name.
"""

from collections.abc import Mapping, Sequence

from psij_parsl.runs.mpirun import Args, MPIRun, RunShape, when

_KILL_SCRIPT = (
    """flux jobs --no-header --format="{id.f58plain}" --name="$1" | while read -r id; do flux cancel "$id"; done"""
)


def _nodes(run: RunShape) -> Args:
    return [f"--nodes={run.num_nodes}", f"--ntasks={run.num_ranks}"]


def _rank_options(run: RunShape) -> Args:
    return [
        f"--cores-per-task={run.cpus_per_rank}",
        *when(run.gpus_per_rank, f"--gpus-per-task={run.gpus_per_rank}"),
        *when(run.hosts, f"--requires=hosts:{run.hosts}"),
        *("-o", "cpu-affinity=per-task"),
        *when(run.gpus_per_rank, "-o", "gpu-affinity=per-task"),
        *when(run.name, f"--job-name={run.name}"),
    ]


class Flux(MPIRun):
    """`flux run`."""

    name = program = "flux"
    follows_assignment = False
    rank_variables = ("FLUX_TASK_RANK",)
    local_rank_variables = ("FLUX_TASK_LOCAL_ID",)
    loses_exit_codes = ("mpi",)  # it gives the highest
    scrub_environment = ("FLUX_TASK_*", "FLUX_JOB_*")
    signal_docs = (
        "flux run hands signals on to all tasks of its job. When it was killed the job is found by its name and"
        " cancelled, by us or by the guard."
    )

    def mpi(self, run: RunShape) -> Args:
        return ["flux", "run", "-o", "exit-on-error", *_nodes(run), *_rank_options(run)]

    def serial(self, run: RunShape) -> Args:
        return ["flux", "run", "-o", "pmi=off", "-o", "exit-timeout=none", *_nodes(run), *_rank_options(run)]

    def per_node(self, run: RunShape) -> Args:
        options = ["-o", "pmi=off", "-o", "exit-timeout=none"]
        return ["flux", "run", *options, *_nodes(run), "-o", "cpu-affinity=off"]

    def kill_command(self, name: str, environment: Mapping[str, str]) -> Sequence[str]:
        """As in the base class: it cancels the jobs of that name."""
        return ("sh", "-c", _KILL_SCRIPT, "psij-end", name)


launcher = Flux
