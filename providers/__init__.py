"""The platforms, one folder for each resource manager. Its `platform` names the parts of its support.

Parsl's users import providers from here: `psij_parsl.providers.SlurmProvider`, and so for each platform. A provider,
and Parsl with it, is loaded when it is first used.
"""

from typing import Any

if __name__ == "providers":  # from the checkout's root: a second copy of every class, equal to none of the first
    raise ImportError("this package is called psij_parsl.providers: import it by that name")


def __getattr__(name: str) -> Any:
    if name.endswith("Provider") and not name.startswith("_"):
        from psij_parsl.parsl.registry import providers

        if name in (classes := providers()):
            return classes[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
