"""Launch methods by name: the modules of `launchers`, and what others register as `psij_parsl.launchers`."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import PluginError
from ..platforms.registry import LAUNCHERS
from .mpirun import MPIRun


def launcher(name: str) -> type[MPIRun]:
    """The launch method of that name. Raises `PluginError` if there is none or it cannot be loaded."""
    method: type[MPIRun] = LAUNCHERS.load(name)
    return method


def launchers() -> Iterator[tuple[str, type[MPIRun] | PluginError]]:
    """Every installed launch method by name; one that does not load is given as its error, and spoils no other."""
    return LAUNCHERS.load_all()
