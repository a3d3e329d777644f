"""Slurm's own launcher. https://slurm.schedmd.com/srun.html

Cores per task are always said: since 22.05 srun takes none from sbatch.
"""

from psij_parsl.mpirun import MPIRun

_SHAPE = (
    "--nodes={{ num_nodes }}",
    "--ntasks={{ num_ranks }}",
    "--ntasks-per-node={{ ranks_per_node }}",
    "--cpus-per-task={{ cpus_per_rank * threads_per_core }}",
    "{% if hosts %}--nodelist={{ hosts }}{% endif %}",
    "{% if gpus_per_node %}--gpus-per-node={{ gpus_per_node }}{% endif %}",
    "{% if memory_per_node %}--mem={{ memory_per_node }}M{% endif %}",
)


class Srun(MPIRun):
    """`srun` over the job's allocation."""

    name = "srun"
    program = "srun"
    mpi = ("srun", "--kill-on-bad-exit=1", *_SHAPE)
    serial = ("srun", "--mpi=none", "--kill-on-bad-exit=0", *_SHAPE)


launcher = Srun
