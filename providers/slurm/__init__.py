"""Slurm 20.11 and later. https://slurm.schedmd.com/man_index.html"""

from psij_parsl.platform import Platform

platform = Platform(
    "slurm",
    __name__,
    summary="Slurm: sbatch, squeue, sacct",
    launcher="srun",
    scheduler="scheduler:SlurmScheduler",
    template="template:SlurmTemplate",
    allocation="allocation:allocation",
    provider="provider:SlurmProvider",
)
