"""Which launch method is used here: the one that was asked for, the site's, the platform's, or what a host has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import InvalidRequest, PluginError
from ..platforms.registry import manager as find_manager
from .mpi_libraries import NAMES, linked_mpi
from .mpirun import MPIRun
from .registry import launcher as find_launcher

if TYPE_CHECKING:
    from ..job import Job
    from ..platforms.platform import Platform
    from ..sites import Site


def select_launch_method(
    site: Site | str | None = None,
    *,
    launcher: str | None = None,
    options: Sequence[str] = (),
    platform: str = "",
    program: str = "",
    job: Job | None = None,
    environ: Mapping[str, str] = os.environ,
) -> MPIRun:
    """See `MPIRun.for_site`. `platform` is the name of the allocation's, '' for that of the environment.

    `program` is the path of what is to run (default: of the job's command): on a host alone its MPI library tells
    which launcher it needs. Raises `InvalidRequest` for options where the method has no launcher.
    """
    if site is None or isinstance(site, str):
        from ..sites import find

        named = bool(site)
        site = find(site, environ=environ, placing=False)
        site = site if named else fitting(site, platform or _here(environ), environ)
    name = launcher or (job.launcher if job is not None else "") or site.launcher
    if not program and job is not None:
        program = (
            shutil.which(job.command[0], path=job.environment.get("PATH", environ.get("PATH", os.defpath))) or ""
        )
    name = name or _usual(platform or _here(environ), program, None if options else job, environ)
    method = find_launcher(name)
    if options and not method.takes_options:
        raise InvalidRequest(
            f"the launch method {name!r} has no launcher that the option {options[0]} could be for",
            hint="leave the option out, or choose another --launcher",
        )
    if site.launch is None or (site.launcher and name != site.launcher):
        return method(options=options)  # another one than the site speaks of
    return method(options=(*site.launch.options, *options), lines=site.launch.lines)


def fitting(site: Site, platform: str, environ: Mapping[str, str] = os.environ) -> Site:
    """The site by which a run is started in an allocation of that platform, where nobody has named one.

    On a host that is in no allocation of its manager's, such as a login node, that manager's launcher would ask for
    one: there it is the site of a host alone.
    """
    from ..sites import LAPTOP

    if site.platform != platform and not environ.get("PSIJ_SITE") and _manager(platform) is None:
        return LAPTOP
    return site


def _manager(platform: str) -> Platform | None:
    """The manager whose allocation that is; None for none, and for one that is embedded in this host."""
    from ..resources.allocation import PLAIN_HOST

    if platform == PLAIN_HOST:  # so nobody looks for a plug-in of that name
        return None
    try:
        manager = find_manager(platform)
        return None if manager.scheduler and not manager.scheduler_class.commands else manager
    except PluginError:
        return None


def _here(environ: Mapping[str, str]) -> str:
    from ..resources.discover import discover

    return discover(environ).platform


def _usual(platform: str, program: str, job: Job | None, environ: Mapping[str, str]) -> str:
    """The platform's default method; on a host alone that of what is to run, or of whatever MPI there is.

    Where a `job` is given, one without a launcher will do.
    """
    if (manager := _manager(platform)) is not None:
        return manager.launcher
    path = environ.get("PATH", os.defpath)
    if job is not None:
        if job.num_ranks == 1:
            return "single"
        if job.job_mode == "serial":
            return "fork"
    mpi = linked_mpi(program).mpi if program else "?"
    if mpi in NAMES:
        return mpi
    return "mpiexec" if mpi == "?" and shutil.which("mpiexec", path=path) else "fork"
