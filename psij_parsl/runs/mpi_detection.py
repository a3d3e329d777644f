"""Which MPI's is it? The flavour of an `mpirun` on PATH, found out where it runs, and whether it serves a program."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache

from ..errors import LaunchError
from .mpi_libraries import NAMES, Linked, wrong_launcher
from .mpirun import MPIRun

_PATIENCE_S = 10.0


@cache
def version_text(program: str) -> str:
    """What `program --version` says; '' if it cannot be asked."""
    try:
        done = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")


def is_flavour(method: MPIRun | type[MPIRun], program: str) -> bool:
    """Whether that program is this method's launcher."""
    return not method.version_texts or any(text in version_text(program) for text in method.version_texts)


def everywhere(names: Sequence[str], path: str | None) -> Iterator[str]:
    """The programs of these names in the folders of that PATH: all of the first folder, then all of the second."""
    for folder in dict.fromkeys((os.environ.get("PATH", os.defpath) if path is None else path).split(os.pathsep)):
        for name in names:
            if program := shutil.which(name, path=folder or os.curdir):
                yield program


def find_launcher(method: MPIRun, path: str | None) -> str:
    """The path of the method's launcher on that PATH: its alias where several MPIs are installed, else its name.

    Raises `LaunchError` if there is none, or only another MPI's of the same name.
    """
    others: list[str] = []
    for program in everywhere((*method.aliases, method.program), path):
        if is_flavour(method, program):
            return program
        first_line = (version_text(program).strip().splitlines() or ["nothing"])[0]
        others.append(f"{program} says {first_line!r}")
    if others:
        raise LaunchError(
            f"the launcher of {method.name} is not on PATH: {'; '.join(others)}",
            hint="load its module, or choose another --launcher (`mpiexec` takes whichever is there)",
        )
    raise LaunchError(
        f"there is no program {method.program!r} on PATH here to start the ranks with",
        hint="load the module that brings it, or choose another --launcher",
    )


def check(method: MPIRun, program: Linked, num_ranks: int) -> None:
    """Raise `LaunchError` for an MPI program that this method would start as so many runs of one rank each."""
    if program.mpi not in NAMES or num_ranks < 2 or "*" in method.mpi_families or program.mpi in method.mpi_families:
        return
    raise wrong_launcher(
        program, num_ranks, f"the launcher {method.name} does not serve that", f"--launcher {program.mpi}"
    )
