"""Torque: what its jobs' variables tell. There is no platform yet by which jobs can be submitted."""

from psij_parsl.platforms.platform import Platform

manager = Platform(
    "torque",
    __name__,
    launcher="mpiexec",
    allocation="allocation:allocation",
    job_variable="PBS_NUM_PPN",
    variables=("PBS_*",),
    host_list=('[ -r "${PBS_NODEFILE:-}" ]', 'cat -- "$PBS_NODEFILE"'),
)
