"""Cray ALPS: aprun(1), for Cray XC and older. https://support.hpe.com/hpesc/public/docDisplay?docId=a00113984en_us

Nodes are named by their numbers. A rank that exits with another code than 0 ends nobody else; one that a signal
ends takes the others along, in every mode.
"""

from psij_parsl.runs.mpirun import MPIRun

_RANKS = ("-n", "{{ num_ranks }}", "-N", "{{ ranks_per_node }}")
_SHAPE = (
    *_RANKS,
    "-d",
    "{{ threads_per_rank }}",
    "-j",
    "{{ threads_per_core }}",
    "-cc",
    "{% if hosts %}none{% else %}depth{% endif %}",
    "{% if nids %}-L{% endif %}",
    "{{ nids }}",
)


class Aprun(MPIRun):
    """`aprun`."""

    name = "aprun"
    program = "aprun"
    mpi_families = ("mpich",)
    mpi = ("aprun", *_SHAPE)
    serial = ("aprun", *_SHAPE)
    per_node = ("aprun", *_RANKS, "-cc", "none")
    rank_variables = ("ALPS_APP_PE",)  # the number on the node is counted from it
    signal_docs = (
        "aprun hands signals on to all ranks, and apinit on each node ends them when aprun is gone."
        " Not seen at work: no such machine was at hand."
    )


launcher = Aprun
