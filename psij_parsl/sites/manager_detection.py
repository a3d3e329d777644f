"""Detection of resource managers on a host that no site describes: which is at home here, and which else is installed.

A manager's configuration costs nothing to see. Only where there is none, and its commands are on PATH
all the same, are they asked whether they know a cluster: it may be described in a place that is built into them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..errors import PluginError, SchedulerError
from ..platforms.command_owners import ask, foreign, where
from ..platforms.registry import platform as find_platform
from ..platforms.registry import platforms
from .layers import under_root

if TYPE_CHECKING:
    from ..platforms.platform import Platform
    from ..platforms.scheduler import Scheduler
    from ..system.commands import Output

log = logging.getLogger(__name__)

_ASK_S = 5.0
#: Submit commands that are one manager's alone, for managers that have no platform here.
_OTHERS: Mapping[str, str] = {"llsubmit": "LoadLeveler", "pjsub": "Fujitsu's Technical Computing Suite"}


class Manager(NamedTuple):
    """A detected manager. `platform` is that whose commands these should be, '' if they are not.

    `sign`: the evidence that it is at home here, '' if it is not. `command`: the path of its submit command,
    '' if that is not on PATH. `product`: what it is called, where that was needed. `fault`: why it is not at home
    although its commands are here.
    """

    platform: str
    sign: str
    command: str = ""
    product: str = ""
    fault: str = ""

    @property
    def about(self) -> str:
        """The evidence for it, and where its commands are."""
        command = (
            f"{os.path.basename(self.command)} is {self.command}" if self.command else "its commands are not on PATH"
        )
        return f"{self.sign}, {command}" if self.sign else command


def at_home(names: Iterable[str], environ: Mapping[str, str]) -> tuple[list[Manager], list[Manager]]:
    """Of the platforms of those names: the managers that are at home here, and all that are here.

    At home is one for which a detection rule matches and whose commands are here; where there is none, one whose
    commands know a cluster; else one for which a rule alone matches. If several are equally at home, all are given.
    """
    detected = [pair for name in names for pair in _detected(name, environ)]
    for kind in ("variable", "file"):
        if ready := [manager for sign_kind, manager in detected if sign_kind == kind and manager.command]:
            return _only_genuine(ready), ready
    here = [present for _, manager in detected for present in ([manager] if manager.sign else _probed(manager))]
    return [m for m in here if m.sign and m.command] or [m for m in here if m.sign], here


def remark(sites: Sequence[tuple[str, Manager]], here: Sequence[Manager], environ: Mapping[str, str]) -> str:
    """A message on the managers that are here where no site was detected; '' if there are none.

    `sites` are those that can be selected, each with its manager.
    """
    here = _one_per_product([*map(_with_product, here), *_others(environ)])
    if not here:
        return ""
    choices = [name for name, _ in sites]
    sentences = []
    platform = ""
    for manager in here:
        why = f", but {manager.fault}" if manager.fault else ""
        if not manager.platform:
            name = _platform_of(manager.product)
            platform = f"--platform {name}, or " if name else platform
            why = "" if name else ", and psij-parsl has no platform for it"
        sentences.append(f"{manager.product} is here ({manager.about}){why}")
    which = ", or ".join((*choices, "laptop for this host without this remark"))
    return f"{'; '.join(sentences)}: jobs run on this host alone. Choose with {platform}--site or PSIJ_SITE: {which}"


def _detected(name: str, environ: Mapping[str, str]) -> Iterator[tuple[str, Manager]]:
    """A manager with the kind of rule that matched: "variable", "file" or "" for none; nothing if it is not here."""
    try:
        platform = find_platform(name)
        command = where(platform.command, _path(environ)) if platform.command else ""
        kind, sign = _sign(platform, command, environ)
    except PluginError as error:
        log.warning("whether %s is at home here cannot be told: %s", name, error)
        return
    if sign or command:
        yield kind, Manager(name, sign, command)


def _others(environ: Mapping[str, str]) -> Iterator[Manager]:
    for command, product in _OTHERS.items():
        if path := where(command, _path(environ)):
            yield Manager("", "", path, product)


def _one_per_product(managers: Iterable[Manager]) -> list[Manager]:
    """One of each product: its own commands, if it has any here, before those that it has for others' users."""
    by_product: dict[str, Manager] = {}
    for manager in managers:
        if manager.product not in by_product or (manager.platform and not by_product[manager.product].platform):
            by_product[manager.product] = manager
    return list(by_product.values())


def _platform_of(product: str) -> str:
    """The platform of a manager, by its name for people; '' if none is installed."""
    for name, platform in platforms():
        try:
            if not isinstance(platform, PluginError) and platform.scheduler_class.product == product:
                return name
        except PluginError:
            continue
    return ""


def _path(environ: Mapping[str, str]) -> str:
    return environ.get("PATH", os.defpath)


def _sign(platform: Platform, command: str, environ: Mapping[str, str]) -> tuple[str, str]:
    rules = platform.signs
    ours_elsewhere = environ.get("PSIJ_JOB_PLATFORM", platform.name) != platform.name
    for name in rules.variables:
        value = environ.get(name)
        if ours_elsewhere and value == environ.get("PSIJ_NATIVE_ID"):
            continue  # for the script alone: see jobs/script_variables.py
        if value:
            return "variable", f"${name} is {value}"
    for path in rules.files:
        if os.path.exists(under_root(path, environ)):
            return "file", f"{path} exists"
    for folder in dict.fromkeys(map(os.path.dirname, (command, os.path.realpath(command)))) if command else ():
        for path in rules.command_files:
            if os.path.exists(file := os.path.normpath(os.path.join(folder, path))):
                return "file", f"{file} exists"
    return "", ""


def _only_genuine(ready: list[Manager]) -> list[Manager]:
    """Of several, those whose commands are not another manager's: Slurm has a qsub for PBS's users, too."""
    if len(ready) == 1:
        return ready
    schedulers = map(_scheduler, ready)
    genuine = [
        manager
        for manager, scheduler in zip(ready, schedulers, strict=True)
        if not foreign(ask(scheduler), scheduler.product)
    ]
    return genuine or ready


def _with_product(manager: Manager) -> Manager:
    return manager if manager.product else manager._replace(product=_scheduler(manager).product or manager.platform)


def _probed(manager: Manager) -> Iterator[Manager]:
    """A manager of which only the submit command was detected, after a probe; nothing if other commands are missing."""
    scheduler = _scheduler(manager)
    if not all(map(where, scheduler.commands)):
        return
    if not scheduler.probes:  # nothing to ask: that they are here must do
        yield manager._replace(sign=f"{scheduler.commands[0]} is on PATH")
        return
    answers = ask(scheduler, _ASK_S)
    answer = next((candidate for candidate in answers if candidate.product), None)
    if other := foreign(answers, scheduler.product):
        yield manager._replace(platform="", product=other.product)
    elif answer is None:
        product = f"{scheduler.product or manager.platform} or another manager"
        yield manager._replace(product=product, fault="its commands do not say whose they are")
    else:
        fault = _cluster_error(scheduler, answer.output)
        yield manager._replace(sign="" if fault else f"its {answer.command} answers", fault=fault)


def _cluster_error(scheduler: Scheduler, output: Output) -> str:
    """The message that its commands know no cluster, with their output; '' if they know one."""
    if output.rc == 0 and scheduler.cluster_argv:
        try:
            output = scheduler.run(scheduler.cluster_argv, timeout_s=_ASK_S)
        except SchedulerError as error:
            return error.message
    message = output.text.rpartition("\n")[2].strip() or (
        "nothing" if output.rc is not None else f"nothing in {_ASK_S:.0f} s"
    )
    return "" if output.rc == 0 else f"no cluster answers ({message})"


def _scheduler(manager: Manager) -> Scheduler:
    return find_platform(manager.platform).scheduler_class()
