"""MPICH's Hydra: mpiexec, also called mpirun. https://github.com/pmodels/mpich/blob/main/doc/wiki/how_to/Using_the_Hydra_Process_Manager.md

Without host names it uses those of the manager's allocation.
"""

from psij_parsl.runs.mpirun import Args, MPIRun, RunShape, when


def _ranks(run: RunShape) -> Args:
    return ["-n", run.num_ranks, "-ppn", run.ranks_per_node]


def _bound(run: RunShape) -> Args:
    return ["-bind-to", "none" if run.hosts else f"core:{run.cpus_per_rank}"]


def _hosts(run: RunShape) -> Args:
    return when(run.hosts, "-hosts", run.hosts)


class Mpich(MPIRun):
    """`mpiexec` of MPICH and of MPI libraries derived from it."""

    name = "mpich"
    program = "mpiexec"
    aliases = ("mpiexec.mpich", "mpiexec.hydra")
    version_texts = ("HYDRA build details",)
    mpi_families = ("mpich",)
    needs_own_hostname = True
    rank_variables = ("PMI_RANK", "PMIX_RANK")
    local_rank_variables = ("MPI_LOCALRANKID", "PMI_LOCAL_RANK")
    loses_exit_codes = ("mpi",)  # its own depends on which of its proxies notices a failure first
    reports_signals = False  # it exits with 9 for a rank that signal 9 has ended, as for one that exits with 9
    waits_for_lost_daemons = True  # for a proxy whose ssh or srun has failed, also after all other ranks have ended
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
        return ["mpiexec", "-disable-auto-cleanup", *_ranks(run), "-bind-to", "none", *_hosts(run)]


launcher = Mpich
