"""Flux: what its jobs' variables tell. There is no platform yet by which jobs can be submitted."""

from psij_parsl.platforms.platform import Platform

manager = Platform(
    "flux",
    __name__,
    launcher="flux",
    allocation="allocation:allocation",
    job_variable="FLUX_URI",
    variables=("FLUX_*",),
)
