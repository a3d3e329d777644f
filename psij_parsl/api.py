"""The main entry point: `site()` gives a machine that submits jobs and configures Parsl."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .sites import Site, find

if TYPE_CHECKING:
    from parsl.config import Config as ParslConfig

    from .jobs.batch import BatchSchedulerExecutor


class Machine(Site):
    """A site that makes an executor for its jobs, and a configuration for Parsl."""

    def executor(self, **overrides: Any) -> BatchSchedulerExecutor:
        """An executor for this machine; `overrides` are `BatchSchedulerExecutor`'s own arguments.

        The site's defaults, parameters, setup and environment are in a job that is submitted as a command with fields,
        `submit(["hostname"], wall_time_min="5m")`. A `Job` is submitted as it is: it does not tell `wall_time_min=10`
        that somebody asked for from the ten minutes that a job has anyhow, nor a setup that stands there already from
        one that is to be added. `Job(**machine.complete({"command": [...], ...}))` makes one that has them.

        Raises `SiteError` where the spool directory cannot be determined, `PluginError` where the platform does not load.
        """
        from .jobs.site_executor import executor_of

        return executor_of(self, **overrides)

    def parsl_config(self, **wishes: Any) -> ParslConfig:
        """A ready `parsl.Config` for this machine. The wishes are the arguments of the platform's provider, of Parsl's
        executor and of `parsl.Config`, and the fields of `ParslOptions`; see `psij_parsl.parsl_config`."""
        from .parsl.config import parsl_config

        return parsl_config(Site(**_values(self)), **wishes)


def site(
    name: str | None = None,
    file: Path | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    placing: bool = True,
) -> Machine:
    """The machine to use: that file, else that name, else the one that this host is; see `psij_parsl.sites.find`."""
    return Machine(**_values(find(name, file, environ=environ, placing=placing)))


def parsl_config(
    site: str | Site | None = None,
    *,
    sites: Mapping[str, str | Site | Mapping[str, Any]] | Sequence[str | Site] | None = None,
    **wishes: Any,
) -> ParslConfig:
    """A `parsl.Config` with an executor for a site (default: this host's), or for each of several.

    The other arguments are those of the platform's provider, of Parsl's executor and of `parsl.Config`, and the fields
    of `psij_parsl.parsl.options.ParslOptions`; `executors` are further ones. `sites` names a site for each executor's
    label, or gives its own arguments, `site` among them; what stands beside `sites` goes to all of them.

    A configuration can be loaded once, like any of Parsl's. Raises `InvalidRequest` or `SiteError` for arguments that
    cannot work.
    """
    from .parsl.config import parsl_config

    return parsl_config(site, sites=sites, **wishes)


def _values(site: Site) -> dict[str, Any]:
    return {item.name: getattr(site, item.name) for item in fields(Site)}
