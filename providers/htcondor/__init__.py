"""HTCondor. https://htcondor.readthedocs.io/en/latest/users-manual/"""

from psij_parsl.platforms.platform import Platform, Signs

platform = Platform(
    "htcondor",
    __name__,
    summary="HTCondor: condor_submit, condor_q, condor_rm",
    launcher="mpiexec",
    scheduler="scheduler:HTCondorScheduler",
    template="template:HTCondorTemplate",
    allocation="allocation:allocation",
    provider="provider:HTCondorProvider",
    directives="directives:TABLE",
    option_lines="#HTCONDOR(?= )",
    describes=r"(?i:[ \t]*(?:(?:executable|arguments|universe|request_\w+)[ \t]*=|queue\b))",
    site_facts="site_facts:site_facts",
    command="condor_submit",
    signs=Signs(variables=("CONDOR_CONFIG", "_CONDOR_JOB_AD"), files=("/etc/condor/condor_config",)),
    job_variable="_CONDOR_JOB_AD",
    variables=("_CONDOR_*",),
    host_list=('[ -r "${_CONDOR_JOB_AD:-}" ]', "hostname"),
)
