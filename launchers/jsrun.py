"""IBM's jsrun, for Summit and its sisters. https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=SSWRJV_10.1.0/jsm/jsrun.htm

One resource set for each rank. jsrun itself keeps count of the cores and GPUs of the job and waits until enough of
them are free, so it chooses the nodes, binds the ranks, and masks their GPUs.
"""

from psij_parsl.runs.mpirun import MPIRun

_SETS = ("--nrs", "{{ num_ranks }}", "--tasks_per_rs", "1", "--rs_per_host", "{{ ranks_per_node }}")
_SHAPE = (
    *_SETS,
    "--cpu_per_rs",
    "{{ cpus_per_rank }}",
    "{% if gpus_per_rank %}--gpu_per_rs{% endif %}",
    "{% if gpus_per_rank %}{{ gpus_per_rank }}{% endif %}",
    "--bind",
    "rs",
    "--launch_distribution",
    "packed",
)


class Jsrun(MPIRun):
    """`jsrun`."""

    name = "jsrun"
    program = "jsrun"
    mpi_families = ("openmpi",)  # Spectrum MPI
    follows_assignment = False
    mpi = ("jsrun", "--exit_on_error", "1", *_SHAPE)
    serial = ("jsrun", "--exit_on_error", "0", *_SHAPE)
    per_node = (
        "jsrun",
        "--exit_on_error",
        "0",
        *_SETS,
        "--cpu_per_rs",
        "ALL_CPUS",
        "--gpu_per_rs",
        "ALL_GPUS",
        "--bind",
        "none",
    )
    rank_variables = ("JSM_NAMESPACE_RANK", "OMPI_COMM_WORLD_RANK")
    local_rank_variables = ("JSM_NAMESPACE_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK")
    signal_docs = (
        "jsrun hands signals on to all ranks by way of the jsmd of each node, which ends them when jsrun is gone."
        " Not seen at work: no such machine was at hand."
    )


launcher = Jsrun
