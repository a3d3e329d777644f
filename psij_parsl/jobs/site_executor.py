"""Makes the executor of a site, with its platform, launcher and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .batch import BatchSchedulerExecutor
from .site_defaults import SiteDefaults

if TYPE_CHECKING:
    from ..sites.site import Site


def executor_of(site: Site, *, submits: bool = True, **overrides: Any) -> BatchSchedulerExecutor:
    """Make an executor for that machine; `overrides` are arguments of `BatchSchedulerExecutor`.

    One that only shows scripts, and does not submit any, needs no variable that `spool` names. Raises `SiteError` if the spool directory cannot be determined, `PluginError` if the platform does not load.
    """
    settings: dict[str, Any] = {
        "platform": site.platform,
        "launcher": site.launcher or "",
        "site": site.name,
        "poll_s": site.poll_min,
        "spool": site.spool_path(here=submits),
        "spool_on_nodes": site.spool_path_on_nodes(here=submits),
        "query_memory_mb": site.query_memory,
        "site_file": site.file,
        "node_environment": site.node_environment,
        "defaults": SiteDefaults(site.name, site.file, site),
    }
    if overrides.get("launcher", site.launcher) == site.launcher:
        settings["launch"] = site.launch
    return BatchSchedulerExecutor(**{**settings, **overrides})
