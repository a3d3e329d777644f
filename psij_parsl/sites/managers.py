"""Resource managers on this host, for a machine that nobody has described: which is at home here, and what else is.

A manager's configuration is a sign that costs nothing to see. Only where there is none, and its commands are on PATH
all the same, are they asked whether they know a cluster: it may be described in a place that is built into them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..errors import PluginError, SchedulerError
from ..registry import platform as find_platform
from ..registry import platforms
from ..whose import ask, foreign, where
from .places import under_root

if TYPE_CHECKING:
    from ..platform import Platform
    from ..scheduler import Scheduler

log = logging.getLogger(__name__)

_ASK_S = 5.0
#: Submit commands that are one manager's alone, for managers that may have no platform here.
_OTHERS: Mapping[str, str] = {"bsub": "LSF", "condor_submit": "HTCondor", "oarsub": "OAR", "flux": "Flux"}


class Manager(NamedTuple):
    """A manager that is on this host. `platform` is that whose commands these should be, '' if they are not.

    `sign`: by what it is known that it is at home here, '' if it is not. `command`: the path of its submit command,
    '' unless all of its commands are on PATH. `fault`: why it is not at home although its commands are here.
    """

    platform: str
    product: str
    sign: str
    command: str = ""
    fault: str = ""

    @property
    def about(self) -> str:
        """By what it is known, and where its commands are."""
        command = (
            f"{os.path.basename(self.command)} is {self.command}" if self.command else "its commands are not on PATH"
        )
        return f"{self.sign}, {command}" if self.sign else command


def at_home(names: Iterable[str], environ: Mapping[str, str]) -> tuple[list[Manager], list[Manager]]:
    """Of the platforms of those names: the managers that are at home here, and all that are here.

    At home is one of which there is a sign and whose commands are here; where there is none, one whose commands
    know a cluster; else one of which there is a sign alone. If several are equally at home, all of them are told.
    """
    seen = [found for name in names for found in _seen(name, environ)]
    for kind in ("variable", "file"):
        if ready := [manager for of, manager in seen if of == kind and manager.command]:
            return _alone(ready), ready
    here = [manager if manager.sign else _asked(manager) for _, manager in seen]
    return [m for m in here if m.sign and m.command] or [m for m in here if m.sign], here


def remark(sites: Sequence[tuple[str, Manager]], here: Sequence[Manager], environ: Mapping[str, str]) -> str:
    """What to tell of managers that are here where no site was recognised; '' if there are none.

    `sites` are those that can be chosen, each with its manager.
    """
    here = _once([*here, *_others(environ)])
    if not here:
        return ""
    choices = [name for name, _ in sites]
    told = []
    platform = ""
    for manager in here:
        why = f", but {manager.fault}" if manager.fault else ""
        if not manager.platform:
            name = _platform_of(manager.product)
            platform = f"--platform {name}, or " if name else platform
            why = "" if name else ", and psij-parsl has no platform for it"
        told.append(f"{manager.product} is here ({manager.about}){why}")
    which = ", or ".join((*choices, "laptop for this host without this remark"))
    return f"{'; '.join(told)}: jobs run on this host alone. Choose with {platform}--site or PSIJ_SITE: {which}"


def _seen(name: str, environ: Mapping[str, str]) -> Iterator[tuple[str, Manager]]:
    """A manager with the kind of its sign: "variable", "file" or "" for none; nothing if it is not here at all."""
    try:
        platform = find_platform(name)
        command = where(platform.command, _path(environ)) if platform.command else ""
        kind, sign = _sign(platform, command, environ)
        if not sign and not command:
            return
        scheduler = platform.scheduler_class
    except PluginError as error:
        log.warning("whether %s is at home here cannot be told: %s", name, error)
        return
    whole = all(where(each, _path(environ)) for each in scheduler.commands)
    if sign or whole:
        yield kind, Manager(name, scheduler.product or name, sign, command if whole else "")


def _others(environ: Mapping[str, str]) -> Iterator[Manager]:
    for command, product in _OTHERS.items():
        if path := where(command, _path(environ)):
            yield Manager("", product, "", path)


def _once(managers: Iterable[Manager]) -> list[Manager]:
    """One of each product: its own commands, if it has any here, before those that it has for others' users."""
    found: dict[str, Manager] = {}
    for manager in managers:
        if manager.product not in found or (manager.platform and not found[manager.product].platform):
            found[manager.product] = manager
    return list(found.values())


def _platform_of(product: str) -> str:
    """The platform of a manager, by its name for people; '' if none is installed."""
    for name, found in platforms():
        try:
            if not isinstance(found, PluginError) and found.scheduler_class.product == product:
                return name
        except PluginError:
            continue
    return ""


def _path(environ: Mapping[str, str]) -> str:
    return environ.get("PATH", os.defpath)


def _sign(platform: Platform, command: str, environ: Mapping[str, str]) -> tuple[str, str]:
    signs = platform.signs
    for name in signs.variables:
        if value := environ.get(name):
            return "variable", f"${name} is {value}"
    for path in signs.files:
        if os.path.exists(under_root(path, environ)):
            return "file", f"{path} exists"
    for folder in dict.fromkeys(map(os.path.dirname, (command, os.path.realpath(command)))) if command else ():
        for path in signs.beside:
            if os.path.exists(found := os.path.normpath(os.path.join(folder, path))):
                return "file", f"{found} exists"
    return "", ""


def _alone(ready: list[Manager]) -> list[Manager]:
    """Of several, those whose commands are not known as another manager's: Slurm has a qsub for PBS's users, too."""
    if len(ready) == 1:
        return ready
    return [manager for manager in ready if not foreign(ask(_scheduler(manager)), manager.product)] or ready


def _asked(manager: Manager) -> Manager:
    """A manager of which there is no sign but its commands, after these were asked."""
    scheduler = _scheduler(manager)
    if not scheduler.probes:  # nothing to ask: that they are here must do
        return manager._replace(sign=f"{scheduler.commands[0]} is on PATH")
    told = ask(scheduler, _ASK_S)
    if other := foreign(told, manager.product):
        return manager._replace(platform="", product=other.product)
    known = next((each for each in told if each.product), None)
    if known is None:
        return manager._replace(fault="its commands do not say whose they are")
    output = known.output
    if output.rc == 0 and scheduler.cluster_argv:
        try:
            output = scheduler.run(scheduler.cluster_argv, timeout_s=_ASK_S)
        except SchedulerError as error:
            return manager._replace(fault=error.message)
    if output.rc != 0:
        return manager._replace(fault=f"no cluster answers ({_last_line(output.said)})")
    return manager._replace(sign=f"its {known.command} answers")


def _scheduler(manager: Manager) -> Scheduler:
    return find_platform(manager.platform).scheduler_class()


def _last_line(said: str) -> str:
    lines = said.split("\n")
    return lines[-1].strip() or "it said nothing"
