"""Plug-ins by name: what the package has built in, and what others register under a group of entry points.

The built-in ones are modules of one package; entry points are looked at only for a name that is not built in.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from ..errors import PluginError, TemplateError, nearest

_GROUP = re.compile(rb"\[([^]\n]+)\]")


class PluginGroup(NamedTuple):
    """One kind of plug-in, as messages call it: the package of the built-in ones, and the group of the others.

    Each built-in module names its plug-in by the attribute `kind`. A `group` that is '' has no others. `expected` is the type that a plug-in has to be of.
    """

    kind: str
    package: str
    group: str
    expected: type = object

    def has_builtin(self, name: str) -> bool:
        """Whether the package has a plug-in of that name, be it broken; nothing of it is imported."""
        return name.isidentifier() and name in _builtin(self)

    def load(self, name: str) -> Any:
        """The plug-in of that name. Raises `PluginError` if there is none or it cannot be loaded."""
        if self.has_builtin(name):
            try:
                return getattr(importlib.import_module(f"{self.package}.{name}"), self.kind)
            except (ImportError, AttributeError, TemplateError) as error:
                raise PluginError(f"the {self.kind} {name!r} cannot be loaded: {error}") from error
        plugins = self._entry_points()
        if name not in plugins:
            raise PluginError(f"there is no {self.kind} {name!r}", hint=nearest(name, [*_builtin(self), *plugins]))
        try:
            plugin = plugins[name].load()
            if not isinstance(plugin, self.expected):
                raise TypeError(f"it is no {self.expected.__name__} but a {type(plugin).__name__}")
            return plugin
        except BaseException as error:  # someone else's code: whatever it raises, an exit too, spoils no other
            raise PluginError(
                f"the {self.kind} {name!r} ({plugins[name].value}) cannot be loaded: {type(error).__name__}: {error}",
                hint="`psij-run doctor` shows the whole error",
            ) from error

    def load_all(self, *, builtin_only: bool = False) -> Iterator[tuple[str, Any]]:
        """Every plug-in by name; one that does not load is given as its `PluginError`, and spoils no other."""
        for name in sorted({*_builtin(self), *(() if builtin_only else self._entry_points())}):
            try:
                yield name, self.load(name)
            except PluginError as error:
                yield name, error

    def _entry_points(self) -> dict[str, Any]:
        if not self.group or not any_plugin(self.group):
            return {}
        from importlib.metadata import entry_points

        return {point.name: point for point in entry_points(group=self.group)}


def _builtin(group: PluginGroup) -> Sequence[str]:
    """What the package has."""
    return _names_in(tuple(importlib.import_module(group.package).__path__), group.kind)


@cache
def _names_in(folders: tuple[str, ...], kind: str) -> Sequence[str]:
    """The plug-ins in those folders of a package, which no process changes. A folder in it is a plug-in if its `__init__.py` names one.

    Others have a part alone, such as the allocation of a manager whose jobs cannot be submitted yet.
    """
    return sorted(
        module.name
        for module in pkgutil.iter_modules(folders)
        if not module.name.startswith("_") and (not module.ispkg or _names_one(kind, module))
    )


def _names_one(kind: str, module: pkgutil.ModuleInfo) -> bool:
    """Whether a folder gives `kind` its value, as its text has it: it is not imported, and may be broken."""
    path = os.path.join(getattr(module.module_finder, "path", ""), module.name, "__init__.py")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return re.search(rf"^{kind}\b.*=", file.read(), re.MULTILINE) is not None
    except OSError:  # in a zip, say
        return True


def any_plugin(group: str) -> bool:
    """Whether any installed package names that group of entry points.

    `importlib.metadata` would answer too, but its import and its reading cost as much as starting typer does.
    """
    groups = _groups(tuple(sys.path))
    return groups is None or group.encode() in groups


@cache
def _groups(path: Sequence[str]) -> frozenset[bytes] | None:
    """The groups that packages in these folders name; None where that is to be left to `importlib.metadata`: in a zip."""
    groups: set[bytes] = set()
    for folder in path:
        if os.path.isfile(folder):
            return None
        try:
            names = os.listdir(folder or os.curdir)
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                try:
                    handle = os.open(f"{folder or os.curdir}/{name}/entry_points.txt", os.O_RDONLY)
                except OSError:
                    continue
                with open(handle, "rb", buffering=0) as file:
                    groups.update(_GROUP.findall(file.read()))
    return frozenset(groups)
