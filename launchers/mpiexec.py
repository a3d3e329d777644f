"""The `mpiexec` that is first on PATH, whichever MPI's it is: that is found out where it runs, with modules loaded.

Its words are those of the method whose launcher it turns out to be.
"""

import shlex
import shutil
from collections.abc import Sequence

from psij_parsl.errors import LaunchError
from psij_parsl.job import Resources
from psij_parsl.mpirun import MPIRun

#: The methods that a program of this name may belong to. The last is taken for one that says nothing we know.
FLAVOURS = ("openmpi", "intelmpi", "pals", "mpich")


class MpiExec(MPIRun):
    """`mpiexec` without a label."""

    name = "mpiexec"
    program = "mpiexec"
    speaks = ("openmpi", "mpich")
    reach = "As the launcher that it turns out to be."

    def resolved(self, path: str | None = None) -> MPIRun:
        """The method that it is on this host. Raises `LaunchError` if there is none on PATH."""
        from psij_parsl.mpirun_find import is_flavour

        found = shutil.which(self.program, path=path)
        if found is None:
            raise LaunchError(
                f"there is no {self.program!r} on PATH here",
                hint="load a module with an MPI, or choose another --launcher",
            )
        methods = _methods()
        return next((method for method in methods if is_flavour(method, found)), methods[-1]).called(
            found, self.options
        )

    def argv(
        self, shape: Resources, *, mode: str = "mpi", hosts: Sequence[str] = (), stdin: bool = False, name: str = ""
    ) -> list[str]:
        """The words of the flavour that is found here."""
        return self.resolved().argv(shape, mode=mode, hosts=hosts, stdin=stdin, name=name)

    def text(self, shape: Resources, *, mode: str = "mpi", hosts: str = "") -> str:
        """One command that asks the `mpiexec` where it runs, and becomes it with the words of its flavour."""
        cases = []
        for method in _methods():
            told = method.called(self.program, self.options).text(
                shape, mode=mode, hosts='"$psij_hosts"' if hosts else ""
            )
            signs = " | ".join(f"*{shlex.quote(sign)}*" for sign in method.banner)
            cases.append(f'{signs if method.name != FLAVOURS[-1] else "*"}) exec {told} "$@" ;;')
        body = "\n".join([f"case $({self.program} --version 2>&1) in", *cases, "esac"])
        if hosts:
            return f"sh -c {shlex.quote(f'psij_hosts=$1; shift{chr(10)}{body}')} {self.program} {hosts}"
        return f"sh -c {shlex.quote(body)} {self.program}"


def _methods() -> list[MPIRun]:
    from psij_parsl.registry import launcher as find

    return [find(name)() for name in FLAVOURS]


launcher = MpiExec
