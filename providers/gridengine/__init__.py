"""Grid Engine and its descendants: what its jobs' variables tell. There is no platform yet by which jobs can be submitted."""

from psij_parsl.platforms.platform import Platform

manager = Platform(
    "gridengine",
    __name__,
    launcher="mpiexec",
    allocation="allocation:allocation",
    job_variable="SGE_ROOT",
    variables=("SGE_*", "PE_*"),
)
