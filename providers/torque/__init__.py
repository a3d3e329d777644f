"""Torque. https://docs.adaptivecomputing.com/torque/6-1-2/adminGuide"""

from psij_parsl.platforms.platform import Platform, Signs

platform = Platform(
    "torque",
    __name__,
    summary="Torque: qsub, qstat, qdel",
    launcher="mpiexec",
    scheduler="scheduler:TorqueScheduler",
    template="template:TorqueTemplate",
    allocation="allocation:allocation",
    provider="provider:TorqueProvider",
    directives="directives:TABLE",
    option_lines=r"#PBS(?=\s|$)",
    site_facts="site_facts:site_facts",
    command="qsub",
    # PBS_NUM_PPN is set in jobs of Torque and not in those of PBS Pro; packages have either of the two folders.
    signs=Signs(variables=("PBS_NUM_PPN",), files=("/var/spool/torque/server_name", "/var/lib/torque/server_name")),
    job_variable="PBS_NUM_PPN",
    variables=("PBS_*",),
    host_list=('[ -r "${PBS_NODEFILE:-}" ]', 'cat -- "$PBS_NODEFILE"'),
)
