"""LLNL's lrun, a simpler interface to jsrun. https://hpc.llnl.gov/documentation/tutorials/using-lc-s-sierra-systems#lrun"""

from psij_parsl.runs.mpirun import Args, MPIRun, RunShape, when


def _ranks(run: RunShape) -> Args:
    return ["-N", run.num_nodes, "-n", run.num_ranks]


def _rank_options(run: RunShape) -> Args:
    return ["-c", run.cpus_per_rank, *when(run.gpus_per_rank, "-g", run.gpus_per_rank)]


class Lrun(MPIRun):
    """`lrun`. It passes what follows `-W` on to jsrun."""

    name = program = "lrun"
    mpi_families = ("openmpi",)
    follows_assignment = False
    rank_variables = ("JSM_NAMESPACE_RANK", "OMPI_COMM_WORLD_RANK")
    local_rank_variables = ("JSM_NAMESPACE_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK")
    signal_docs = "As jsrun, which it becomes."

    def mpi(self, run: RunShape) -> Args:
        return ["lrun", *_ranks(run), *_rank_options(run)]

    def serial(self, run: RunShape) -> Args:
        return ["lrun", "-W", "--exit_on_error=0", *_ranks(run), *_rank_options(run)]

    def per_node(self, run: RunShape) -> Args:
        return ["lrun", *_ranks(run), "--bind=off"]


launcher = Lrun
