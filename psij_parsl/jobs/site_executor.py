"""The executor of a site: its platform, launcher and settings, for whoever submits jobs there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .batch import BatchSchedulerExecutor

if TYPE_CHECKING:
    from ..sites.site import Site


def executor_of(site: Site, **overrides: Any) -> BatchSchedulerExecutor:
    """An executor for that machine; `overrides` are `BatchSchedulerExecutor`'s own arguments.

    Raises `SiteError` for a spool directory that cannot be told, `PluginError` for a platform that does not load.
    """
    settings: dict[str, Any] = {
        "platform": site.platform,
        "launcher": site.launcher or "",
        "site": site.name,
        "poll_s": site.poll_min,
        "spool": site.spool_path(),
        "query_memory_mb": site.query_memory,
        "site_file": site.file,
        "node_environment": site.node_environment,
    }
    if overrides.get("launcher", site.launcher) == site.launcher:
        settings["launch"] = site.launch
    return BatchSchedulerExecutor(**{**settings, **overrides})
