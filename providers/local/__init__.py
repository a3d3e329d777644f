"""The local platform: a small resource manager for this host. Jobs queue for its cores; nothing needs installing."""

from psij_parsl.platforms.platform import Platform

platform = Platform(
    "local",
    __name__,
    summary="this host: embedded, needs no resource manager",
    launcher="fork",
    scheduler="scheduler:LocalScheduler",
    template="template:LocalTemplate",
    allocation="allocation:allocation",
    provider="provider:LocalProvider",
    site_facts="site_facts:site_facts",
    places=False,
    one_host=True,
    job_variable="PSIJ_LOCAL_JOB_ID",
)
