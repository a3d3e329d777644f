"""IBM Spectrum LSF. https://www.ibm.com/docs/en/spectrum-lsf/10.1.0?topic=reference-command"""

from psij_parsl.platforms.platform import Platform, Signs

platform = Platform(
    "lsf",
    __name__,
    summary="IBM Spectrum LSF: bsub, bjobs, bkill",
    launcher="mpiexec",  # a machine with CSM and JSM has jsrun or lrun, and its site file says so
    scheduler="scheduler:LSFScheduler",
    template="template:LSFTemplate",
    allocation="allocation:allocation",
    provider="provider:LSFProvider",
    directives="directives:TABLE",
    option_lines=r"\s*#BSUB(?=\s*-)",
    site_facts="site_facts:site_facts",
    command="bsub",
    signs=Signs(variables=("LSF_ENVDIR", "LSB_JOBID"), files=("/etc/lsf.conf", "/usr/share/lsf/conf/lsf.conf")),
    job_variable="LSB_JOBID",
    variables=("LSB_*",),
    # "h1 4 h2 4"; a launch node (CSM) stands first, with one slot, and is no node of the job
    host_list=(
        '[ -n "${LSB_MCPU_HOSTS:-}" ]',
        'set -- $LSB_MCPU_HOSTS; [ -z "${CSM_ALLOCATION_ID:-}" ] || [ "$#" = 2 ] || [ "$2" != 1 ] || shift 2;'
        ' while [ "$#" -gt 1 ]; do echo "$1"; shift 2; done',
    ),
)
