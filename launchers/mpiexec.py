"""The `mpiexec` that is first on PATH, whichever MPI's it is: that is found out where it runs, with modules loaded.

Its launch line is that of the method whose launcher it turns out to be. PBS has a program of that name too, in a folder
that is on PATH in its jobs: it hands on to the `mpiexec` of one MPI, and is passed over.
"""

from collections.abc import Sequence
from typing import Any

from psij_parsl.errors import LaunchError
from psij_parsl.job import Resources
from psij_parsl.runs.mpi_detection import everywhere, is_flavour, version_text
from psij_parsl.runs.mpirun import Args, MPIRun, RunShape, when
from psij_parsl.runs.script_text import check_lines, search_lines, version_pattern

#: The methods that a program of this name may belong to. The last is taken for one that says nothing we know.
FLAVOURS = ("openmpi", "intelmpi", "pals", "mpich")
#: What a program says that belongs to none of them, and starts nothing by itself.
_WRAPPER = "pbs_version"


class MpiExec(MPIRun):
    """`mpiexec` without a label. `program` may be its other name, `mpirun`."""

    name = "mpiexec"
    program = "mpiexec"
    mpi_families = ("openmpi", "mpich")
    rank_variables = ("OMPI_COMM_WORLD_RANK", "PALS_RANKID", "PMI_RANK", "PMIX_RANK")
    local_rank_variables = ("OMPI_COMM_WORLD_LOCAL_RANK", "PALS_LOCAL_RANKID", "MPI_LOCALRANKID", "PMI_LOCAL_RANK")
    loses_exit_codes = ("mpi", "serial")
    independent_copies = ("serial",)  # as Open MPI's has to be; the others do not mind
    signal_docs = "As the launcher that it turns out to be."

    def resolved(self, path: str | None = None) -> MPIRun:
        """The method that it is on this host. Raises `LaunchError` if there is none on PATH."""
        wrappers = []
        for program in everywhere((self.program,), path):
            if _WRAPPER in version_text(program):
                wrappers.append(program)
                continue
            methods = _methods()
            method = next((method for method in methods if is_flavour(method, program)), methods[-1])
            return method.with_program(method.launcher_name(program, path), self.options)
        but = f" but PBS's own wrapper {wrappers[0]}" if wrappers else ""
        raise LaunchError(
            f"there is no {self.program!r} on PATH here{but}",
            hint="load a module with an MPI, or choose another --launcher",
        )

    def with_program(self, program: str, options: Sequence[str] = ()) -> MPIRun:
        """As the base says; the name is that which is looked for."""
        method = super().with_program(program, options)
        method.program = program  # type: ignore[misc]  # of this one alone
        return method

    def mpi(self, run: RunShape) -> Args:
        """What all flavours have in common."""
        return ["mpiexec", "-n", run.num_ranks, *when(run.hosts, run.hosts)]

    serial = per_node = mpi

    def argv(self, shape: Resources, **settings: Any) -> list[str]:
        """That of the flavour that is found here."""
        return self.resolved().argv(shape, **settings)

    def text(self, shape: Resources, *, mode: str = "mpi", hosts: str = "") -> str:
        """The launch line of the flavour that `lines` has found."""
        return '"${psij_words[@]}"'

    def lines(self, shape: Resources, *, mode: str = "mpi", hosts: str = "") -> str:
        """As the base says: whose it is, and its launch line."""
        cases, launch_lines = [f"*{_WRAPPER}*) ;;"], []
        for method in _methods(self.options):
            sign = version_pattern(method.version_texts) if method.name != FLAVOURS[-1] else "*"
            cases.append(f"{sign}) psij_flavour={method.name}; break 2 ;;")
            setup = method.setup_lines(shape, mode=mode, hosts=hosts)
            text = f"psij_words=({method.text(shape, mode=mode, hosts=hosts)})"
            launch_lines.append("\n".join(filter(None, (f"{method.name})", setup, f"{text} ;;"))))
        search = search_lines((self.program,), cases, f"an {self.program}")
        lines = [search, "case $psij_flavour in", *launch_lines, "esac"]
        if mode == "mpi" and shape.num_ranks > 1:
            openmpi, others = (
                check_lines(_methods()[at].mpi_families, shape.num_ranks, self.program) for at in (0, -1)
            )
            lines += ["case $psij_flavour in", f"openmpi)\n{openmpi} ;;", f"*)\n{others} ;;", "esac"]
        return "\n".join(lines)


def _methods(options: Sequence[str] = ()) -> list[MPIRun]:
    from psij_parsl.runs.registry import launcher as find

    return [find(name)(options=options) for name in FLAVOURS]


launcher = MpiExec
