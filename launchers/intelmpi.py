"""Intel MPI's Hydra. https://www.intel.com/content/www/us/en/docs/mpi-library/developer-reference-linux/current/mpiexec-hydra.html

It is MPICH's with binding of its own, which environment variables control.
"""

from psij_parsl.runs.mpirun import MPIRun

_PIN = "{% if hosts %}0{% else %}{{ threads_per_rank }}:compact{% endif %}"
_SHAPE = (
    "-n",
    "{{ num_ranks }}",
    "-ppn",
    "{{ ranks_per_node }}",
    "-genv",
    "{% if hosts %}I_MPI_PIN{% else %}I_MPI_PIN_DOMAIN{% endif %}",
    _PIN,
    "{% if hosts %}-hosts{% endif %}",
    "{{ hosts }}",
)
_UNBOUND = ("-n", "{{ num_ranks }}", "-ppn", "{{ ranks_per_node }}", "-genv", "I_MPI_PIN", "0")


class IntelMPI(MPIRun):
    """`mpiexec` of Intel MPI."""

    name = "intelmpi"
    program = "mpiexec"
    mpi_families = ("mpich",)
    aliases = ("mpiexec.hydra",)
    version_texts = ("Intel(R) MPI Library",)
    mpi = ("mpiexec", *_SHAPE)
    serial = ("mpiexec", "-disable-auto-cleanup", *_SHAPE)
    per_node = ("mpiexec", "-disable-auto-cleanup", *_UNBOUND, "{% if hosts %}-hosts{% endif %}", "{{ hosts }}")
    needs_own_hostname = True
    rank_variables = ("PMI_RANK", "PMIX_RANK")
    local_rank_variables = ("MPI_LOCALRANKID", "PMI_LOCAL_RANK")
    loses_exit_codes = ("mpi",)  # what it gives depends on which of its proxies has noticed first
    reports_signals = False  # it exits with 255 for a rank that a signal has ended
    # In a Slurm job its proxies are a step of their own, beside those of other runs.
    environment = {"SLURM_OVERLAP": "1", "SLURM_CPU_BIND": "none"}
    signal_docs = (
        "mpiexec hands signals on to its proxies, and these to the ranks' process groups. A proxy whose mpiexec is"
        " gone ends its ranks; the kernel ends those whose proxy is gone (parent-death signal)."
    )


launcher = IntelMPI
