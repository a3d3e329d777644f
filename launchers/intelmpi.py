"""Intel MPI's Hydra. https://www.intel.com/content/www/us/en/docs/mpi-library/developer-reference-linux/current/mpiexec-hydra.html

It is derived from MPICH's Hydra. Its binding is different, and is controlled by environment variables.
"""

from psij_parsl.runs.mpirun import Args, MPIRun, RunShape, when


def _ranks(run: RunShape) -> Args:
    return ["-n", run.num_ranks, "-ppn", run.ranks_per_node]


def _bound(run: RunShape) -> Args:
    if run.hosts:
        return ["-genv", "I_MPI_PIN", "0"]
    return ["-genv", "I_MPI_PIN_DOMAIN", f"{run.threads_per_rank}:compact"]


def _hosts(run: RunShape) -> Args:
    return when(run.hosts, "-hosts", run.hosts)


class IntelMPI(MPIRun):
    """`mpiexec` of Intel MPI."""

    name = "intelmpi"
    program = "mpiexec"
    mpi_families = ("mpich",)
    aliases = ("mpiexec.hydra",)
    version_texts = ("Intel(R) MPI Library",)
    needs_own_hostname = True
    rank_variables = ("PMI_RANK", "PMIX_RANK")
    local_rank_variables = ("MPI_LOCALRANKID", "PMI_LOCAL_RANK")
    loses_exit_codes = ("mpi",)  # its own depends on which of its proxies notices a failure first
    reports_signals = False  # it exits with 255 for a rank that a signal has ended
    # In a Slurm job its proxies are a step of their own, which must be able to share nodes with other runs' steps.
    environment = {"SLURM_OVERLAP": "1", "SLURM_CPU_BIND": "none"}
    signal_docs = (
        "mpiexec hands signals on to its proxies, and these to the ranks' process groups. A proxy whose mpiexec is"
        " gone ends its ranks; the kernel ends those whose proxy is gone (parent-death signal)."
    )

    def mpi(self, run: RunShape) -> Args:
        return ["mpiexec", *_ranks(run), *_bound(run), *_hosts(run)]

    def serial(self, run: RunShape) -> Args:
        return ["mpiexec", "-disable-auto-cleanup", *_ranks(run), *_bound(run), *_hosts(run)]

    def per_node(self, run: RunShape) -> Args:
        return ["mpiexec", "-disable-auto-cleanup", *_ranks(run), "-genv", "I_MPI_PIN", "0", *_hosts(run)]


launcher = IntelMPI
