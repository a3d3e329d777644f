"""Registry of the platforms' provider classes, and their registration under names that Globus Compute looks up."""

from __future__ import annotations

from functools import cache
from typing import Any

from ..errors import PluginError
from ..platforms.platform import Platform
from ..platforms.registry import platform as find_platform
from ..platforms.registry import platforms
from .provider import BlockProvider


def provider_class(platform: str | Platform) -> type[BlockProvider]:
    """The provider class of a platform: its own, or a generic one. Raises `PluginError` if it cannot be loaded."""
    return _class(find_platform(platform) if isinstance(platform, str) else platform)


@cache
def _class(platform: Platform) -> type[BlockProvider]:
    if platform.provider:
        provider: type[BlockProvider] = platform.part("provider")
        return provider
    name = "".join(part.capitalize() for part in platform.name.replace("-", "_").split("_"))
    docstring = f"Parsl blocks from {platform.name}."
    return type(
        f"{name}Provider", (BlockProvider,), {"platform": platform, "__doc__": docstring, "__module__": __name__}
    )


@cache
def providers() -> dict[str, type[BlockProvider]]:
    """The provider classes of all platforms that can be loaded, by name."""
    classes: dict[str, type[BlockProvider]] = {}
    for _, platform in platforms():
        try:
            if not isinstance(platform, PluginError):
                provider = _class(platform)
                classes[provider.__name__] = provider
        except PluginError:
            continue
    return classes


def register() -> list[str]:
    """Put our classes on `parsl.providers` and `parsl.launchers`, and return the names.

    Globus Compute makes an endpoint's provider by `getattr(parsl.providers, type)`. Parsl has classes of the same
    names, so ours are called `PsijSlurmProvider`, `PsijSrunLauncher` and so on.
    """
    import parsl.launchers
    import parsl.providers

    from . import launcher

    classes: dict[str, Any] = {f"Psij{name}": (parsl.providers, value) for name, value in providers().items()}
    for name in launcher.NAMED:
        classes[f"Psij{name}"] = (parsl.launchers, getattr(launcher, name))
    for name, (module, value) in classes.items():
        setattr(module, name, value)
    return sorted(classes)
