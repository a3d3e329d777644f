"""This host as a small resource manager of its own: nothing to install, jobs queue for its cores."""

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
    job_variable="PSIJ_LOCAL_JOB_ID",
)
