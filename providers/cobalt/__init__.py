"""Cobalt: what its jobs' variables tell. There is no platform yet by which jobs can be submitted."""

from psij_parsl.platforms.platform import Platform

manager = Platform(
    "cobalt",
    __name__,
    launcher="aprun",
    allocation="allocation:allocation",
    job_variable="COBALT_JOBID",
    variables=("COBALT_*",),
)
