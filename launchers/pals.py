"""HPE Cray PALS: mpiexec of Polaris, Aurora and other Cray EX and Apollo machines under PBS.

https://cpe.ext.hpe.com/docs/latest/ and https://docs.alcf.anl.gov/polaris/running-jobs/
"""

from psij_parsl.runs.mpirun import Args, MPIRun, RunShape, when


def _ranks(run: RunShape) -> Args:
    return ["-n", run.num_ranks, "--ppn", run.ranks_per_node]


def _bound(run: RunShape) -> Args:
    if run.hosts:
        return ["--cpu-bind", "none"]
    return ["--depth", run.threads_per_rank, "--cpu-bind", "depth"]


def _hosts(run: RunShape) -> Args:
    return when(run.hosts, "--hosts", run.hosts)


class Pals(MPIRun):
    """`mpiexec` of PALS."""

    name = "pals"
    program = "mpiexec"
    version_texts = ("mpiexec version", "PALS")
    mpi_families = ("mpich",)
    rank_variables = ("PALS_RANKID", "PMI_RANK")
    local_rank_variables = ("PALS_LOCAL_RANKID", "PMI_LOCAL_RANK")
    signal_docs = (
        "mpiexec hands signals on to all ranks, by the palsd of each node, which ends the application when its"
        " mpiexec is gone; beside that the kernel ends ranks with their parent. Not seen at work: no such machine was"
        " at hand."
    )

    def mpi(self, run: RunShape) -> Args:
        return ["mpiexec", *_ranks(run), *_bound(run), *_hosts(run)]

    def serial(self, run: RunShape) -> Args:
        return ["mpiexec", "--no-abort-on-failure", *_ranks(run), *_bound(run), *_hosts(run)]

    def per_node(self, run: RunShape) -> Args:
        return ["mpiexec", "--no-abort-on-failure", *_ranks(run), "--cpu-bind", "none", *_hosts(run)]


launcher = Pals
