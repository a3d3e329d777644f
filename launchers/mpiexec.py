"""The `mpiexec` that is first on PATH, of any MPI. Its MPI is determined where it runs, with modules loaded.

Its launch line is then that of this MPI's launch method. PBS has a program of that name too, in a folder that is on
PATH in its jobs. That program is a wrapper of one MPI's `mpiexec`, and is passed over.
"""

from collections.abc import Sequence
from typing import Any

from psij_parsl.errors import LaunchError
from psij_parsl.job_size import Resources
from psij_parsl.runs.mpi_detection import everywhere, is_flavour, version_text
from psij_parsl.runs.mpirun import Args, MPIRun, RunShape, when
from psij_parsl.runs.script_text import check_lines, search_lines, version_pattern

#: The launch methods that a program of this name may belong to. The last is assumed if no version text matches.
FLAVOURS = ("openmpi", "intelmpi", "pals", "mpich")
#: Part of the version text of PBS's wrapper, which belongs to none of them.
_WRAPPER = "pbs_version"


class MpiExec(MPIRun):
    """`mpiexec` of an MPI that is determined at run time. `program` may be its other name, `mpirun`."""

    name = "mpiexec"
    program = "mpiexec"
    mpi_families = ("openmpi", "mpich")
    rank_variables = ("OMPI_COMM_WORLD_RANK", "PALS_RANKID", "PMI_RANK", "PMIX_RANK")
    local_rank_variables = ("OMPI_COMM_WORLD_LOCAL_RANK", "PALS_LOCAL_RANKID", "MPI_LOCALRANKID", "PMI_LOCAL_RANK")
    loses_exit_codes = ("mpi", "serial")
    independent_copies = ("serial",)  # as Open MPI needs it; for the others it makes no difference
    signal_docs = "As the launcher that it turns out to be."

    def resolved(self, path: str | None = None) -> MPIRun:
        """The launch method of this host's `mpiexec`. Raises `LaunchError` if none is on PATH."""
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
        """As in the base class; `program` is the name to search for."""
        method = super().with_program(program, options)
        method.program = program  # type: ignore[misc]  # of this instance only
        return method

    def mpi(self, run: RunShape) -> Args:
        """The arguments that all flavours have in common."""
        return ["mpiexec", "-n", run.num_ranks, *when(run.hosts, run.hosts)]

    serial = per_node = mpi

    def argv(self, shape: Resources, **settings: Any) -> list[str]:
        """The launch line of the flavour on this host."""
        return self.resolved().argv(shape, **settings)

    def text(self, shape: Resources, *, mode: str = "mpi", hosts: str = "") -> str:
        """The launch line of the flavour that the shell text of `lines` has determined."""
        return '"${psij_launch_args[@]}"'

    def lines(self, shape: Resources, *, mode: str = "mpi", hosts: str = "") -> str:
        """As in the base class: shell text that determines the flavour and sets its launch line."""
        cases, launch_lines = [f"*{_WRAPPER}*) ;;"], []
        for method in _methods(self.options):
            pattern = version_pattern(method.version_texts) if method.name != FLAVOURS[-1] else "*"
            cases.append(f"{pattern}) psij_flavour={method.name}; break 2 ;;")
            setup = method.setup_lines(shape, mode=mode, hosts=hosts)
            text = f"psij_launch_args=({method.text(shape, mode=mode, hosts=hosts)})"
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
