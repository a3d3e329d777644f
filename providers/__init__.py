"""Platforms, one folder per resource manager, whose `platform` ties its parts together.

Parsl's users find providers here: `psij_parsl.providers.SlurmProvider`, and so for each platform. They, and Parsl
with them, are loaded when they are first used.
"""

from typing import Any

if __name__ == "providers":  # from the checkout's root: a second copy of every class, equal to none of the first
    raise ImportError("this package is called psij_parsl.providers: import it by that name")


def __getattr__(name: str) -> Any:
    if name.endswith("Provider") and not name.startswith("_"):
        from psij_parsl.parsl.registry import providers

        if name in (found := providers()):
            return found[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
