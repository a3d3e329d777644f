"""OAR: what its jobs' variables tell. There is no platform yet by which jobs can be submitted."""

from psij_parsl.platforms.platform import Platform

manager = Platform(
    "oar",
    __name__,
    launcher="mpiexec",
    allocation="allocation:allocation",
    job_variable="OAR_JOB_ID",
    variables=("OAR_*",),
)
