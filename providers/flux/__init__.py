"""Flux: a system's own instance, or one inside another manager's job. https://flux-framework.org"""

from psij_parsl.platforms.platform import Platform, Signs

platform = Platform(
    "flux",
    __name__,
    summary="Flux: flux batch, flux jobs, flux cancel",
    launcher="flux",
    scheduler="scheduler:FluxScheduler",
    template="template:FluxTemplate",
    allocation="allocation:allocation",
    provider="provider:FluxProvider",
    directives="directives:TABLE",
    option_lines=r"[^\w\n]*(?:flux|FLUX):",
    site_facts="site_facts:site_facts",
    command="flux",
    signs=Signs(variables=("FLUX_URI",), files=("/run/flux/local", "/etc/flux/system/conf.d")),
    job_variable="FLUX_URI",
    variables=("FLUX_*",),
)
