"""PBS Professional and OpenPBS. https://help.altair.com/2024.1.0/PBS%20Professional/PBSUserGuide2024.1.pdf"""

from psij_parsl.platforms.platform import Platform, Signs

platform = Platform(
    "pbspro",
    __name__,
    summary="PBS Professional and OpenPBS: qsub, qstat, qdel",
    launcher="mpiexec",
    scheduler="scheduler:PBSProScheduler",
    template="template:PBSProTemplate",
    allocation="allocation:allocation",
    provider="provider:PBSProProvider",
    directives="directives:TABLE",
    option_lines=r"#PBS(?=\s|$)",
    site_facts="site_facts:site_facts",
    command="qsub",
    # PBS_JOBDIR is set in jobs of PBS Pro and not in those of Torque, whose configuration is /var/spool/torque.
    signs=Signs(
        variables=("PBS_CONF_FILE", "PBS_JOBDIR"), files=("/etc/pbs.conf",), cluster=r"^\s*PBS_SERVER\s*=\s*([^\s#]+)"
    ),
    job_variable="PBS_JOBID",
    variables=("PBS_*",),
    host_list=('[ -r "${PBS_NODEFILE:-}" ]', 'cat -- "$PBS_NODEFILE"'),
)
