"""HPE Cray PALS: mpiexec of Polaris, Aurora and other Cray EX and Apollo machines under PBS.

https://cpe.ext.hpe.com/docs/latest/ and https://docs.alcf.anl.gov/polaris/running-jobs/
"""

from psij_parsl.runs.mpirun import MPIRun

_SHAPE = (
    "-n",
    "{{ num_ranks }}",
    "--ppn",
    "{{ ranks_per_node }}",
    "{% if not hosts %}--depth{% endif %}",
    "{% if not hosts %}{{ threads_per_rank }}{% endif %}",
    "--cpu-bind",
    "{% if hosts %}none{% else %}depth{% endif %}",
    "{% if hosts %}--hosts{% endif %}",
    "{{ hosts }}",
)


class Pals(MPIRun):
    """`mpiexec` of PALS."""

    name = "pals"
    program = "mpiexec"
    version_texts = ("mpiexec version", "PALS")
    mpi_families = ("mpich",)
    mpi = ("mpiexec", *_SHAPE)
    serial = ("mpiexec", "--no-abort-on-failure", *_SHAPE)
    per_node = (
        "mpiexec",
        "--no-abort-on-failure",
        "-n",
        "{{ num_ranks }}",
        "--ppn",
        "{{ ranks_per_node }}",
        "--cpu-bind",
        "none",
        "{% if hosts %}--hosts{% endif %}",
        "{{ hosts }}",
    )
    rank_variables = ("PALS_RANKID", "PMI_RANK")
    local_rank_variables = ("PALS_LOCAL_RANKID", "PMI_LOCAL_RANK")
    signal_docs = (
        "mpiexec hands signals on to all ranks, by the palsd of each node, which ends the application when its"
        " mpiexec is gone; beside that the kernel ends ranks with their parent. Not seen at work: no such machine was"
        " at hand."
    )


launcher = Pals
