"""Grid Engine and its descendants: Son of Grid Engine, Open Grid Scheduler, Univa and Altair Grid Engine.

https://gridscheduler.sourceforge.net/htmlman/manuals.html
"""

from psij_parsl.platforms.platform import Platform, Signs

platform = Platform(
    "gridengine",
    __name__,
    summary="Grid Engine (SGE, SoGE, UGE, AGE): qsub, qstat, qacct",
    launcher="mpiexec",
    scheduler="scheduler:GridEngineScheduler",
    template="template:GridEngineTemplate",
    allocation="allocation:allocation",
    directives="directives:TABLE",
    option_lines=r"#\$(?=\s+-)",
    site_facts="site_facts:site_facts",
    provider="provider:GridEngineProvider",
    command="qsub",
    # Its commands are in $SGE_ROOT/bin/ARCHITECTURE; those of Debian's packages, which need no variable, in /usr/bin.
    signs=Signs(
        variables=("SGE_ROOT",),
        files=("/var/lib/gridengine/default/common/bootstrap",),
        command_files=("../../default/common/bootstrap",),
    ),
    job_variable="SGE_ROOT",
    # By the last four, Open MPI and Hydra know a job whose processes are to be started by `qrsh -inherit`.
    variables=("SGE_*", "PE_*", "ARC", "JOB_ID", "NHOSTS", "NSLOTS"),
    host_list=('[ -r "${PE_HOSTFILE:-}" ]', 'cut -d" " -f1 -- "$PE_HOSTFILE"'),
)
