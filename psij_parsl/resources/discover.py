"""Discovery of the current allocation from the environment."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping

from ..errors import AllocationError, PluginError
from ..platforms import registry
from ..platforms.platform import Platform
from .allocation import Allocation, plain_host
from .node import Hardware

log = logging.getLogger(__name__)

Reader = Callable[[Mapping[str, str]], Allocation | None]


def discover(environ: Mapping[str, str] = os.environ, hardware: Hardware | None = None) -> Allocation:
    """The allocation that the environment describes, completed; without one, this host. See `described`."""
    return described(environ).complete(hardware or Hardware(), environ)


def described(environ: Mapping[str, str] = os.environ) -> Allocation:
    """The allocation that the environment describes, with what that says and no more; without one, this host.

    One job may run inside another (Flux in a Slurm job, a local job in either), and the inner one inherits the
    outer one's variables; and a script of one manager may be given its variables on another. The job that our own
    script names in PSIJ_NATIVE_ID and PSIJ_JOB_PLATFORM counts first, else the smallest,
    for a part is smaller than the whole. Raises `AllocationError` when the variables of the only job there is
    cannot be read.
    """
    allocations: list[Allocation] = []
    errors: list[AllocationError] = []
    for readers in (
        _builtin(environ),
        _plugged_in(),
    ):  # the latter cost time, and are looked for only in vain otherwise
        for reader in readers:
            try:
                allocation = reader(environ)
            except AllocationError as error:
                errors.append(error)
                continue
            if allocation is not None:
                allocations.append(allocation)
        if allocations:
            break
    if not allocations and errors:
        raise errors[0]
    return _innermost(allocations, environ) if allocations else plain_host(environ)


def _innermost(allocations: list[Allocation], environ: Mapping[str, str]) -> Allocation:
    native_id, platform = environ.get("PSIJ_NATIVE_ID", ""), environ.get("PSIJ_JOB_PLATFORM", "")
    submitted_by_us = [
        allocation
        for allocation in allocations
        if native_id and allocation.id == native_id and platform in ("", allocation.platform)
    ]
    return min(submitted_by_us or allocations, key=lambda allocation: (len(allocation.nodes), allocation.num_cpus))


def _builtin(environ: Mapping[str, str]) -> Iterator[Reader]:
    """Those of the managers in whose jobs we may be; a reader is imported only where its manager's variable is set."""
    for manager in registry.managers():
        if not manager.job_variable or manager.job_variable in environ:
            yield from _reader(manager)


def _plugged_in() -> Iterator[Reader]:
    own = {name for name, _ in registry.platforms(plugins=False)}
    for name, platform in registry.platforms():
        if name not in own:
            yield from _reader(platform)


def _reader(platform: Platform | PluginError) -> Iterator[Reader]:
    if isinstance(platform, Platform) and platform.allocation:
        try:
            yield platform.part("allocation")
        except PluginError as error:
            log.warning("%s", error)
