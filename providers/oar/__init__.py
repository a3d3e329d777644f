"""OAR 2.5. https://oar.imag.fr/docs/latest/user/mechanisms.html"""

from psij_parsl.platforms.platform import Platform, Signs

platform = Platform(
    "oar",
    __name__,
    summary="OAR: oarsub, oarstat, oardel",
    launcher="mpiexec",
    scheduler="scheduler:OARScheduler",
    template="template:OARTemplate",
    allocation="allocation:allocation",
    provider="provider:OARProvider",
    directives="directives:TABLE",
    option_lines=r"#OAR(?=\s|$)",
    site_facts="site_facts:site_facts",
    command="oarsub",
    signs=Signs(variables=("OAR_JOB_ID",), files=("/etc/oar/oar.conf",)),
    job_variable="OAR_JOB_ID",
    variables=("OAR_*",),
    host_list=('[ -r "${OAR_NODEFILE:-}" ]', 'cat -- "$OAR_NODEFILE"'),
)
