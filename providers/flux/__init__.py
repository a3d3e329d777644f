"""Flux: allocations inside its jobs. Jobs cannot be submitted to it yet."""

from psij_parsl.platforms.platform import Platform

manager = Platform(
    "flux",
    __name__,
    launcher="flux",
    allocation="allocation:allocation",
    job_variable="FLUX_URI",
    variables=("FLUX_*",),
)
