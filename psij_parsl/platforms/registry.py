"""Platforms by name: the folders of `providers`, and what others register as `psij_parsl.platforms`."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import PluginError
from ..system.plugins import PluginGroup
from .platform import Platform

PLATFORMS = PluginGroup("platform", "psij_parsl.providers", "psij_parsl.platforms", Platform)
#: Launch methods by name, for whoever asks only whether there is one; `runs.registry` gives them their type.
LAUNCHERS = PluginGroup("launcher", "psij_parsl.launchers", "psij_parsl.launchers")


def platform(name: str) -> Platform:
    """The platform of that name. Raises `PluginError` if there is none or it cannot be loaded."""
    found: Platform = PLATFORMS.load(name)
    return found


def platforms(*, plugins: bool = True) -> Iterator[tuple[str, Platform | PluginError]]:
    """Every installed platform by name; one that does not load is given as its error, and spoils no other.

    Without `plugins` only the built-in ones, which are found faster.
    """
    return PLATFORMS.load_all(builtin_only=not plugins)
