"""Flux inside an instance of one's own: `flux run`. https://flux-framework.readthedocs.io/projects/flux-core/en/latest/man1/flux-run.html

Each run is a job of the instance, whose scheduler gives cores and GPUs to nobody twice; so it binds and masks. The
nodes that were assigned are asked for by name.
"""

from collections.abc import Mapping, Sequence

from psij_parsl.runs.mpirun import MPIRun

_NODES = ("--nodes={{ num_nodes }}", "--ntasks={{ num_ranks }}")
_SHAPE = (
    *_NODES,
    "--cores-per-task={{ cpus_per_rank }}",
    "{% if gpus_per_rank %}--gpus-per-task={{ gpus_per_rank }}{% endif %}",
    "{% if hosts %}--requires=hosts:{{ hosts }}{% endif %}",
    "-o",
    "cpu-affinity=per-task",
    "{% if gpus_per_rank %}-o{% endif %}",
    "{% if gpus_per_rank %}gpu-affinity=per-task{% endif %}",
    "{% if name %}--job-name={{ name }}{% endif %}",
)
_END = """flux jobs --no-header --format="{id.f58plain}" --name="$1" | while read -r id; do flux cancel "$id"; done"""


class Flux(MPIRun):
    """`flux run`."""

    name = "flux"
    program = "flux"
    follows_assignment = False
    mpi = ("flux", "run", "-o", "exit-on-error", *_SHAPE)
    serial = ("flux", "run", "-o", "pmi=off", "-o", "exit-timeout=none", *_SHAPE)
    per_node = ("flux", "run", "-o", "pmi=off", "-o", "exit-timeout=none", *_NODES, "-o", "cpu-affinity=off")
    rank_variables = ("FLUX_TASK_RANK",)
    local_rank_variables = ("FLUX_TASK_LOCAL_ID",)
    loses_exit_codes = ("mpi",)  # it gives the highest
    scrub_environment = ("FLUX_TASK_*", "FLUX_JOB_*")
    signal_docs = (
        "flux run hands signals on to all tasks of its job. When it was killed the job is found by its name and"
        " cancelled, by us or by the guard."
    )

    def kill_command(self, name: str, environment: Mapping[str, str]) -> Sequence[str]:
        """As the base says."""
        return ("sh", "-c", _END, "psij-end", name)


launcher = Flux
