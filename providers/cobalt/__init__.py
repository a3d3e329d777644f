"""Cobalt, the resource manager of Argonne's Theta and Cooley. https://github.com/ido/cobalt"""

from psij_parsl.platforms.platform import Platform, Signs

platform = Platform(
    "cobalt",
    __name__,
    summary="Cobalt: qsub, qstat, qdel",
    launcher="aprun",
    scheduler="scheduler:CobaltScheduler",
    template="template:CobaltTemplate",
    allocation="allocation:allocation",
    provider="provider:CobaltProvider",
    directives="directives:TABLE",
    option_lines="#COBALT ",
    command="qsub",
    signs=Signs(variables=("COBALT_CONFIG_FILES", "COBALT_JOBID"), files=("/etc/cobalt.conf",)),
    job_variable="COBALT_JOBID",
    variables=("COBALT_*",),
    host_list=('[ -r "${COBALT_NODEFILE:-}" ]', 'cat -- "$COBALT_NODEFILE"'),
)
