"""Whether the platform and the launcher that a site names are installed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from ..errors import PluginError
from ..platforms.registry import LAUNCHERS, PLATFORMS


def unknown_plugins(platform: object, launcher: object) -> Iterator[tuple[str, PluginError]]:
    """What is not installed, by its key. One of our own is not imported to know that it is there."""
    kinds = (("platform", platform, PLATFORMS), ("launcher", launcher, LAUNCHERS))
    for key, name, group in kinds:
        if not isinstance(name, str):
            continue
        if name.isidentifier() and not name.startswith("_") and find_spec(f"{group.package}.{name}"):
            continue
        try:
            group.load(name)
        except PluginError as error:
            yield key, error
