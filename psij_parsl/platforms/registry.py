"""Platforms by name: the folders of `providers`, and what others register as `psij_parsl.platforms`."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import PluginError
from ..system.plugins import PluginGroup
from .platform import Platform

PLATFORMS = PluginGroup("platform", "psij_parsl.providers", "psij_parsl.platforms", Platform)
#: Managers whose folder has only a part of a platform: what their jobs' variables tell.
PARTIAL = PluginGroup("manager", "psij_parsl.providers", "")
#: Launch methods by name, to tell only whether there is one; `runs.registry` gives them their type.
LAUNCHERS = PluginGroup("launcher", "psij_parsl.launchers", "psij_parsl.launchers")


def platform(name: str) -> Platform:
    """The platform of that name. Raises `PluginError` if there is none or it cannot be loaded."""
    loaded: Platform = PLATFORMS.load(name)
    return loaded


def platforms(*, plugins: bool = True) -> Iterator[tuple[str, Platform | PluginError]]:
    """Every installed platform by name; one that does not load is given as its error, and spoils no other.

    Without `plugins` only the built-in ones, which is faster.
    """
    return PLATFORMS.load_all(builtin_only=not plugins)


def managers() -> Iterator[Platform]:
    """The built-in platforms that load, and the managers of which there is only a part."""
    for group in (PLATFORMS, PARTIAL):
        for _, loaded in group.load_all(builtin_only=True):
            if isinstance(loaded, Platform):
                yield loaded


def manager(name: str) -> Platform:
    """The platform of that name, or the part of one. Raises `PluginError` if there is neither."""
    group = PARTIAL if PARTIAL.has_builtin(name) else PLATFORMS
    loaded: Platform = group.load(name)
    return loaded
