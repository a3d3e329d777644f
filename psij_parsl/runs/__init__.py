"""MPI runs inside an allocation: the launch methods, the planning of a run, the run itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import hooks

if TYPE_CHECKING:
    from .mpirun import MPIRun
    from .run import Run


def _select(*args: Any, **settings: Any) -> MPIRun:
    from .selection import select_launch_method

    return select_launch_method(*args, **settings)


def _prepare(*args: Any, **settings: Any) -> Run:
    from .planning import prepare_run

    return prepare_run(*args, **settings)


hooks.select = _select
hooks.prepare = _prepare
