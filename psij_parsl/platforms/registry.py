"""Platforms and launchers by name.

The built-in ones are found as folders and modules of the package; entry points of the groups
`psij_parsl.platforms` and `psij_parsl.launchers` are looked at only for a name that is not built in.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import PluginError, TemplateError, nearest
from .platform import Platform

if TYPE_CHECKING:
    from ..runs.mpirun import MPIRun

PLATFORMS = "psij_parsl.platforms"
LAUNCHERS = "psij_parsl.launchers"
_OURS = ("psij_parsl-", "psij_parsl.")


def platform(name: str) -> Platform:
    """The platform of that name. Raises `PluginError` if there is none or it cannot be loaded."""
    found: Platform = _load("platform", name, "psij_parsl.providers", PLATFORMS, "platform")
    return found


def launcher(name: str) -> type[MPIRun]:
    """The launch method of that name. Raises `PluginError` if there is none or it cannot be loaded."""
    found: type[MPIRun] = _load("launcher", name, "psij_parsl.launchers", LAUNCHERS, "launcher")
    return found


def platforms(*, plugins: bool = True) -> Iterator[tuple[str, Platform | PluginError]]:
    """Every installed platform by name; one that does not load is given as its error, and spoils no other.

    Without `plugins` only the built-in ones, which are found faster.
    """
    return _all("platform", "psij_parsl.providers", PLATFORMS if plugins else "", platform)


def launchers() -> Iterator[tuple[str, type[MPIRun] | PluginError]]:
    """Every installed launch method by name, likewise."""
    return _all("launcher", "psij_parsl.launchers", LAUNCHERS, launcher)


def _builtin(package: str) -> list[str]:
    """What is in that package. In `providers` a folder is a platform if its `__init__.py` names one.

    Others have a part alone, such as the allocation of a manager whose jobs cannot be submitted yet.
    """
    return sorted(
        module.name
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__)
        if not module.name.startswith("_") and (not module.ispkg or _names_a_platform(module))
    )


def _names_a_platform(module: pkgutil.ModuleInfo) -> bool:
    """Whether a package gives `platform` its value, as its text has it: it is not imported, and may be broken."""
    path = os.path.join(getattr(module.module_finder, "path", ""), module.name, "__init__.py")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return re.search(r"^platform\b.*=", file.read(), re.MULTILINE) is not None
    except OSError:  # in a zip, say
        return True


def any_plugin(group: str) -> bool:
    """Whether any installed package but ours, which names what is built in, names that group of entry points.

    `importlib.metadata` would answer too, but its import and its reading cost as much as starting typer does.
    """
    for place in sys.path:
        if os.path.isfile(place):  # a zip: leave it to importlib.metadata
            return True
        try:
            names = os.listdir(place or os.curdir)
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")) and not name.startswith(_OURS):
                try:
                    with open(os.path.join(place, name, "entry_points.txt"), "rb") as file:
                        if f"[{group}]".encode() in file.read():
                            return True
                except OSError:
                    continue
    return False


def _entry_points(group: str) -> dict[str, Any]:
    if not any_plugin(group):
        return {}
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=group)}


def _load(kind: str, name: str, package: str, group: str, attribute: str) -> Any:
    if name.isidentifier() and name in _builtin(package):
        try:
            return getattr(importlib.import_module(f"{package}.{name}"), attribute)
        except (ImportError, AttributeError, TemplateError) as error:
            raise PluginError(f"the {kind} {name!r} cannot be loaded: {error}") from error
    plugins = _entry_points(group)
    if name not in plugins:
        known = [*_builtin(package), *plugins]
        raise PluginError(f"there is no {kind} {name!r}", hint=nearest(name, known))
    try:
        found = plugins[name].load()
        if kind == "platform" and not isinstance(found, Platform):
            raise TypeError(f"it is no Platform but a {type(found).__name__}")
        return found
    except BaseException as error:  # someone else's code: whatever it raises, an exit too, must not spoil the others
        raise PluginError(
            f"the {kind} {name!r} ({plugins[name].value}) cannot be loaded: {type(error).__name__}: {error}",
            hint="`psij-run doctor` shows the whole error",
        ) from error


def _all(kind: str, package: str, group: str, get: Any) -> Iterator[tuple[str, Any]]:
    for name in sorted({*_builtin(package), *(_entry_points(group) if group else ())}):
        try:
            yield name, get(name)
        except PluginError as error:
            yield name, error
