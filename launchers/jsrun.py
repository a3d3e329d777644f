"""IBM's jsrun, for Summit and machines like it. https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=SSWRJV_10.1.0/jsm/jsrun.htm

Each rank has a resource set of its own. jsrun itself counts the job's free cores and GPUs, and waits until enough of
them are free. So it chooses the nodes, binds the ranks, and masks their GPUs.
"""

from psij_parsl.runs.mpirun import Args, MPIRun, RunShape, when


def _sets(run: RunShape) -> Args:
    return ["--nrs", run.num_ranks, "--tasks_per_rs", "1", "--rs_per_host", run.ranks_per_node]


def _set_options(run: RunShape) -> Args:
    return [
        *("--cpu_per_rs", run.cpus_per_rank),
        *when(run.gpus_per_rank, "--gpu_per_rs", run.gpus_per_rank),
        *("--bind", "rs"),
        *("--launch_distribution", "packed"),
    ]


class Jsrun(MPIRun):
    """`jsrun`."""

    name = program = "jsrun"
    mpi_families = ("openmpi",)  # Spectrum MPI
    follows_assignment = False
    rank_variables = ("JSM_NAMESPACE_RANK", "OMPI_COMM_WORLD_RANK")
    local_rank_variables = ("JSM_NAMESPACE_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK")
    signal_docs = (
        "jsrun hands signals on to all ranks by way of the jsmd of each node, which ends them when jsrun is gone."
        " Not seen at work: no such machine was at hand."
    )

    def mpi(self, run: RunShape) -> Args:
        return ["jsrun", "--exit_on_error", "1", *_sets(run), *_set_options(run)]

    def serial(self, run: RunShape) -> Args:
        return ["jsrun", "--exit_on_error", "0", *_sets(run), *_set_options(run)]

    def per_node(self, run: RunShape) -> Args:
        whole_node = ["--cpu_per_rs", "ALL_CPUS", "--gpu_per_rs", "ALL_GPUS"]
        return ["jsrun", "--exit_on_error", "0", *_sets(run), *whole_node, "--bind", "none"]


launcher = Jsrun
