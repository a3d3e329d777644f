"""LLNL's lrun, a plainer face of jsrun. https://hpc.llnl.gov/documentation/tutorials/using-lc-s-sierra-systems#lrun"""

from psij_parsl.runs.mpirun import MPIRun

_SHAPE = (
    "-N",
    "{{ num_nodes }}",
    "-n",
    "{{ num_ranks }}",
    "-c",
    "{{ cpus_per_rank }}",
    "{% if gpus_per_rank %}-g{% endif %}",
    "{% if gpus_per_rank %}{{ gpus_per_rank }}{% endif %}",
)


class Lrun(MPIRun):
    """`lrun`. It hands what follows `-W` on to jsrun."""

    name = "lrun"
    program = "lrun"
    mpi = ("lrun", *_SHAPE)
    serial = ("lrun", "-W", "--exit_on_error=0", *_SHAPE)
    per_node = ("lrun", "-N", "{{ num_nodes }}", "-n", "{{ num_ranks }}", "--bind=off")
    mpi_families = ("openmpi",)
    follows_assignment = False
    rank_variables = ("JSM_NAMESPACE_RANK", "OMPI_COMM_WORLD_RANK")
    local_rank_variables = ("JSM_NAMESPACE_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK")
    signal_docs = "As jsrun, which it becomes."


launcher = Lrun
