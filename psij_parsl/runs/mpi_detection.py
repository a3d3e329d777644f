"""Which MPI is it? The flavour of an `mpirun` on PATH, found out where it runs, and the library of a program.

A program and a launcher that are not of the same MPI do not find each other, and often say nothing: the run becomes
as many runs of one rank. `check` is what catches that before it starts.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from ..errors import LaunchError
from .mpirun import MPIRun

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


@cache
def banner(program: str) -> str:
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
    return not method.banner or any(sign in banner(program) for sign in method.banner)


def everywhere(names: Sequence[str], path: str | None) -> Iterator[str]:
    """The programs of these names in the folders of that PATH: all of the first folder, then all of the second."""
    for folder in dict.fromkeys((os.environ.get("PATH", os.defpath) if path is None else path).split(os.pathsep)):
        for name in names:
            if found := shutil.which(name, path=folder or os.curdir):
                yield found


def locate(method: MPIRun, path: str | None) -> str:
    """The path of the method's launcher on that PATH: its alias where several MPIs are installed, else its name.

    Raises `LaunchError` if there is none, or only another MPI's of the same name.
    """
    others: list[str] = []
    for found in everywhere((*method.aliases, method.program), path):
        if is_flavour(method, found):
            return found
        first = (banner(found).strip().splitlines() or ["nothing"])[0]
        others.append(f"{found} says {first!r}")
    if others:
        raise LaunchError(
            f"the launcher of {method.name} is not on PATH: {'; '.join(others)}",
            hint="load its module, or choose another --launcher (`mpiexec` takes whichever is there)",
        )
    raise LaunchError(
        f"there is no program {method.program!r} on PATH here to start the ranks with",
        hint="load the module that brings it, or choose another --launcher",
    )


def signs(method: MPIRun | type[MPIRun]) -> str:
    """What its launcher says of itself, as patterns of a shell's `case`."""
    return " | ".join(f"*{shlex.quote(sign)}*" for sign in method.banner)


def find_text(method: MPIRun) -> str:
    """`locate` as lines of bash, which set psij_launcher; they end the script with 127 where there is none."""
    return search_text(
        (*method.aliases, method.program), [f"{signs(method)}) break 2 ;;"], f"the launcher of {method.name}"
    )


def search_text(names: Sequence[str], cases: Sequence[str], what: str) -> str:
    """Lines of bash that look, as `everywhere` does, at what each program says of itself, until one will do.

    `cases` are branches, in which `break 2` says that this one will.
    """
    said = shlex.quote(f"psij: {what} is not on PATH here: load its module, or choose another --launcher")
    return "\n".join(
        [
            "psij_limit=$(type -P timeout)",
            "while IFS= read -r -d : psij_folder || { psij_launcher=; break; }; do",
            f"  for psij_launcher in {shlex.join(names)}; do",
            "    psij_launcher=${psij_folder:-.}/$psij_launcher",
            '    [ -f "$psij_launcher" ] && [ -x "$psij_launcher" ] || continue',
            '    case $(${psij_limit:+"$psij_limit" 10} "$psij_launcher" --version 2>&1 </dev/null) in',
            *(f"    {case}" for case in cases),
            "    esac",
            "  done",
            'done <<<"$PATH:"',
            f'[ -n "$psij_launcher" ] || {{ echo {said} >&2; exit 127; }}',
        ]
    )


class Linked(NamedTuple):
    """The MPI that a program is linked with: a key of LIBRARIES, '' for none, '?' if it loads one when it runs.

    `clients` are the PMI libraries that come with it: "pmix", "pmi2", "pmi".
    """

    program: str
    mpi: str = ""
    clients: frozenset[str] = frozenset()


@cache
def linked(program: str) -> Linked:
    """What a program's file says."""
    name = os.path.basename(os.path.realpath(program))
    try:
        with open(program, "rb") as file:
            head = file.read(4096)
        if not head.startswith(b"\x7fELF") or _INTERPRETERS.match(name):
            return Linked(program, "?")
        loader = _LOADER.search(head)  # it answers in a tenth of the time of `ldd`, which asks it too
        asked = [os.fsdecode(loader[0]), "--list"] if loader else ["ldd"]
        done = subprocess.run([*asked, program], capture_output=True, timeout=_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return Linked(program)
    said = done.stdout.decode("utf-8", "replace")
    mpi = next((mpi for mpi, signs in LIBRARIES.items() if any(sign in said for sign in signs)), "")
    return Linked(program, mpi, frozenset(re.findall(r"\blib(pmix|pmi2|pmi)\.so", said)))


def check(method: MPIRun, found: Linked, num_ranks: int) -> None:
    """Raise `LaunchError` for an MPI program that this method would start as so many runs of one rank each."""
    if found.mpi not in NAMES or num_ranks < 2 or "*" in method.speaks or found.mpi in method.speaks:
        return
    raise alone(found, num_ranks, f"the launcher {method.name} does not serve that", f"--launcher {found.mpi}")


def alone(found: Linked, num_ranks: int, why: str, remedy: str) -> LaunchError:
    """The error for a wrong pair of program and launcher."""
    return LaunchError(
        f"{found.program} is built with {NAMES[found.mpi]}, and {why}: it would be {num_ranks} runs of one rank each",
        hint=f"say {remedy}, or --mode serial if independent copies are wanted",
    )


def check_text(method: MPIRun, num_ranks: int, name: str = "") -> str:
    """The same check as lines of shell, for a job script whose "$@" is the command; '' where it cannot fail.

    `name` is what people know the launcher by, if not by the method's.
    """
    if num_ranks < 2 or "*" in method.speaks:
        return ""
    cases = []
    for mpi, signs in LIBRARIES.items():
        act = ":"
        if mpi not in method.speaks:
            said = (
                f" is built with {NAMES[mpi]}, and the launcher {name or method.name} does not serve that: it would be"
                f" {num_ranks} runs of one rank each; choose --launcher {mpi}, or --mode serial"
            )
            act = f'echo "psij: $1"{shlex.quote(said)} >&2; exit 125'
        cases.append(f"{' | '.join(f'*{sign}*' for sign in signs)}) {act} ;;")
    return "\n".join(['case $(ldd "$(command -v -- "$1")" 2>/dev/null) in', *cases, "esac"])
