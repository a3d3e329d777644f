"""The launch methods, one module each, whose `launcher` is an `MPIRun`; `psij_parsl.runs.registry` looks them up.

Parsl's users import Launchers from here, by Parsl's names: `psij_parsl.launchers.SrunLauncher`. A Launcher, and Parsl
with it, is loaded when it is first used.
"""

from typing import Any

if __name__ == "launchers":  # from the checkout's root: a second copy of every class, equal to none of the first
    raise ImportError("this package is called psij_parsl.launchers: import it by that name")


def __getattr__(name: str) -> Any:
    if name.endswith("Launcher") and not name.startswith("_"):
        from psij_parsl.parsl import launcher

        if hasattr(launcher, name):
            return getattr(launcher, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
