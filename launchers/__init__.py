"""Launch methods, one module each, whose `launcher` is an `MPIRun`. Found by name through `psij_parsl.runs.registry`.

Parsl's users find Launchers here by the names that they know: `psij_parsl.launchers.SrunLauncher`. They, and Parsl
with them, are loaded when they are first used.
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
