"""IBM Spectrum LSF: what its jobs' variables tell. There is no platform yet by which jobs can be submitted."""

from psij_parsl.platforms.platform import Platform

manager = Platform(
    "lsf",
    __name__,
    launcher="jsrun",
    allocation="allocation:allocation",
    job_variable="LSB_JOBID",
    variables=("LSB_*",),
)
