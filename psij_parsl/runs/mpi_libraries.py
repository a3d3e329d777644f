"""Which MPI library a program is linked with, and what that means for its launcher.

A program and a launcher that are not of the same MPI do not find each other, and often say nothing: the run becomes
as many runs of one rank.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from ..errors import LaunchError

#: Which library a program is linked with, by the names that `ldd` prints: first match wins.
LIBRARIES: Mapping[str, Sequence[str]] = {
    "mpich": ("libmpich.so", "libmpi.so.12", "libmpi_cray.so", "libmpi_gnu", "libmpi_intel.so", "libmpicxx.so.12"),
    "openmpi": ("libmpi.so.", "libopen-pal.so", "libopen-rte.so", "liboshmem.so"),
}
NAMES = {"mpich": "MPICH (or a kin of it)", "openmpi": "Open MPI"}
#: Programs that load an MPI library, if they do, only when they run.
_INTERPRETERS = re.compile(r"(python|julia|perl|ruby|node|java|Rscript|R|bash|sh)[\d.]*$")
_LOADER = re.compile(rb"/lib[\w/.-]*/ld[\w.-]*\.so\.\d+(?=\0)")  # as the head of an ELF file names it
_PATIENCE_S = 10.0


class Linked(NamedTuple):
    """The MPI that a program is linked with: a key of LIBRARIES, '' for none, '?' if it loads one when it runs.

    `clients` are the PMI libraries that come with it: "pmix", "pmi2", "pmi".
    """

    program: str
    mpi: str = ""
    clients: frozenset[str] = frozenset()


@cache
def linked_mpi(program: str) -> Linked:
    """What a program's file says."""
    name = os.path.basename(os.path.realpath(program))
    try:
        with open(program, "rb") as file:
            head = file.read(4096)
        if not head.startswith(b"\x7fELF") or _INTERPRETERS.match(name):
            return Linked(program, "?")
        loader = _LOADER.search(head)  # it answers in a tenth of the time of `ldd`, which asks it too
        command = [os.fsdecode(loader[0]), "--list"] if loader else ["ldd"]
        done = subprocess.run([*command, program], capture_output=True, timeout=_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return Linked(program)
    libraries = done.stdout.decode("utf-8", "replace")
    mpi = next((mpi for mpi, parts in LIBRARIES.items() if any(part in libraries for part in parts)), "")
    return Linked(program, mpi, frozenset(re.findall(r"\blib(pmix|pmi2|pmi)\.so", libraries)))


def wrong_launcher(program: Linked, num_ranks: int, why: str, remedy: str) -> LaunchError:
    """The error for a program and a launcher of two MPIs."""
    return LaunchError(
        f"{program.program} is built with {NAMES[program.mpi]}, and {why}: it would be {num_ranks} runs of one rank"
        " each",
        hint=f"say {remedy}, or --mode serial if independent copies are wanted",
    )
