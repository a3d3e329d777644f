"""Registry of the platforms: the folders of `providers`, and other packages' entry points `psij_parsl.platforms`."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import PluginError
from ..system.plugins import PluginGroup
from .platform import Platform

PLATFORMS = PluginGroup("platform", "psij_parsl.providers", "psij_parsl.platforms", Platform)
#: Managers whose folder has only a part of a platform: the allocation inside their jobs.
PARTIAL = PluginGroup("manager", "psij_parsl.providers", "")
#: Launch methods by name, only to see whether one exists; `runs.registry` gives them their type.
LAUNCHERS = PluginGroup("launcher", "psij_parsl.launchers", "psij_parsl.launchers")


def platform(name: str) -> Platform:
    """The platform of that name. Raises `PluginError` if there is none or it cannot be loaded."""
    loaded: Platform = PLATFORMS.load(name)
    return loaded


def platforms(*, plugins: bool = True) -> Iterator[tuple[str, Platform | PluginError]]:
    """All installed platforms by name. In place of one that does not load there is its error.

    Without `plugins` only the built-in ones are listed, which is faster.
    """
    return PLATFORMS.load_all(builtin_only=not plugins)


def managers() -> Iterator[Platform]:
    """The built-in platforms that load, and the managers that have only a part of a platform."""
    for group in (PLATFORMS, PARTIAL):
        for _, loaded in group.load_all(builtin_only=True):
            if isinstance(loaded, Platform):
                yield loaded


def manager(name: str) -> Platform:
    """The platform of that name, or a manager with a part of one. Raises `PluginError` if there is neither."""
    group = PARTIAL if PARTIAL.has_builtin(name) else PLATFORMS
    loaded: Platform = group.load(name)
    return loaded
