"""Parsl provider for Slurm."""

from psij_parsl.parsl.provider import BlockProvider

from . import platform as _platform


class SlurmProvider(BlockProvider):
    """Blocks from Slurm; `psij-run platform show slurm` lists the parameters that it adds to the base class's."""

    platform = _platform
    scrub_environment = (
        "SLURM_NTASKS",
        "SLURM_NPROCS",
        "SLURM_NTASKS_PER_NODE",
        "SLURM_CPUS_PER_TASK",
        "SLURM_TRES_PER_TASK",
        "SLURM_DISTRIBUTION",
    )
