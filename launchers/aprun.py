"""Cray ALPS: aprun(1), for Cray XC and older. https://support.hpe.com/hpesc/public/docDisplay?docId=a00113984en_us

Nodes are given by their numbers. A rank that exits with a code other than 0 ends no other rank; a rank that is ended
by a signal ends all others, in every mode.
"""

from psij_parsl.runs.mpirun import Args, MPIRun, RunShape, when


def _ranks(run: RunShape) -> Args:
    return ["-n", run.num_ranks, "-N", run.ranks_per_node]


class Aprun(MPIRun):
    """`aprun`."""

    name = program = "aprun"
    mpi_families = ("mpich",)
    rank_variables = ("ALPS_APP_PE",)  # the number on the node is counted from it
    signal_docs = (
        "aprun hands signals on to all ranks, and apinit on each node ends them when aprun is gone."
        " Not seen at work: no such machine was at hand."
    )

    def mpi(self, run: RunShape) -> Args:
        return [
            *("aprun", *_ranks(run)),
            *("-d", run.threads_per_rank, "-j", run.threads_per_core),
            *("-cc", "none" if run.hosts else "depth"),
            *when(run.nids, "-L", run.nids),
        ]

    serial = mpi

    def per_node(self, run: RunShape) -> Args:
        return ["aprun", *_ranks(run), "-cc", "none"]


launcher = Aprun
