"""Slurm 20.11 and later. https://slurm.schedmd.com/man_index.html"""

from psij_parsl.platforms.platform import Platform, Signs

platform = Platform(
    "slurm",
    __name__,
    summary="Slurm: sbatch, squeue, sacct",
    launcher="srun",
    scheduler="scheduler:SlurmScheduler",
    template="template:SlurmTemplate",
    allocation="allocation:allocation",
    provider="provider:SlurmProvider",
    directives="directives:TABLE",
    option_lines="#SBATCH",
    stand_ins=("srun",),
    site_facts="site_facts:site_facts",
    command="sbatch",
    signs=Signs(
        variables=("SLURM_CONF", "SLURM_JOB_ID"),
        files=(
            "/etc/slurm/slurm.conf",
            "/etc/slurm-llnl/slurm.conf",
            "/opt/slurm/etc/slurm.conf",
            "/usr/local/etc/slurm.conf",
            "/run/slurm/conf/slurm.conf",  # the last is the copy of a "configless" node
        ),
        command_files=("../etc/slurm.conf", "../etc/slurm/slurm.conf", "slurm.conf"),
        cluster=r"^\s*ClusterName\s*=\s*([^\s#]+)",
    ),
    job_variable="SLURM_JOB_ID",
    variables=("SLURM_*",),
    host_list=('[ -n "${SLURM_JOB_NODELIST:-}" ]', 'scontrol show hostnames "$SLURM_JOB_NODELIST"'),
)
