"""MPIRun: the command line that starts the ranks of a run, for one launch method.

A method gives, for each mode, the argv elements that stand before the command: no shell ever splits or swallows a
value. See `docs/how-to/adding-a-launch-method.md` for how one is added.

The command line has two faces. `argv(job, hosts=...)` is exact, for nodes that were assigned: the launcher binds
nothing, for each rank is bound to the very cores and GPUs of the assignment by `binding.py`. `text(job)` is for a
script and the whole allocation, whose hosts are known only there: then the launcher binds the ranks itself.

Called with a job and the nodes it was assigned, a method gives the `Run`::

    with NodeResources.discover().assign(job) as nodes, MPIRun.for_site(job=job)(job, nodes) as run:
        run.wait()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import InvalidRequest, TemplateError, nearest
from ..job import Job
from ..job_size import Resources
from . import hooks
from .launch_line import Args, Line, RunShape, arguments, check_line, each, names_hosts, names_program, when
from .script_text import HOSTS, IF_SET, LAUNCHER, SLOTS, check_lines, find_lines, shell_text
from .variables import CALLERS

if TYPE_CHECKING:
    from ..resources.node import Node
    from ..sites import Site
    from .hooks import RunHandle
    from .mpi_libraries import Linked

__all__ = ["MODES", "Args", "LauncherTraits", "MPIRun", "RunShape", "each", "when"]

MODES = ("mpi", "serial", "per_node")


class LauncherTraits:
    """What a launch method says of its launcher. Most launchers need the first group only."""

    # ---- what every method says ------------------------------------------------------------------------------

    name: ClassVar[str] = ""
    #: The command that must be on the node's PATH; '' for none.
    program: ClassVar[str] = ""
    #: The MPI libraries whose ranks it brings together: "openmpi", "mpich"; "*" for any.
    mpi_families: ClassVar[Sequence[str]] = ("*",)
    #: Variables in which a rank finds its number, and its number on its node: the first that is set.
    rank_variables: ClassVar[Sequence[str]] = ()
    local_rank_variables: ClassVar[Sequence[str]] = ()
    #: For people: how a signal, and the launcher's own death, reach the ranks.
    signal_docs: ClassVar[str] = ""

    # ---- which program it is: where several MPIs have a launcher of that name --------------------------------

    #: Other names of the command, which belong to this method alone, and are looked for first.
    aliases: ClassVar[Sequence[str]] = ()
    #: What `program --version` says, one of these; none if the name is the method's alone.
    version_texts: ClassVar[Sequence[str]] = ()
    #: Whether there is a launcher that options can be for.
    takes_options: ClassVar[bool] = True

    # ---- where ranks run -------------------------------------------------------------------------------------

    #: Whether it can be told the hosts, and leaves cores and GPUs to us. Else it manages the nodes by itself.
    follows_assignment: ClassVar[bool] = True
    #: Whether it knows its own host by what gethostname() says, and would reach for another name of it by ssh.
    needs_own_hostname: ClassVar[bool] = False
    #: Whether it reaches this host only.
    this_host_only: ClassVar[bool] = False

    # ---- the ranks' environment ------------------------------------------------------------------------------

    #: Patterns of variables by which an outer run would shape this one, beside `variables.OUTER_RUN`: dropped.
    scrub_environment: ClassVar[Sequence[str]] = ()
    #: Variables that the launcher needs.
    environment: ClassVar[Mapping[str, str]] = {}

    # ---- failures and signals --------------------------------------------------------------------------------

    #: Modes in which its exit code is not that of the first rank that failed: ranks write theirs down, in a file.
    loses_exit_codes: ClassVar[Sequence[str]] = ()
    #: Those of them in which a rank that failed is not to say so to the launcher, which would end the others.
    independent_copies: ClassVar[Sequence[str]] = ()
    #: Whether a rank's death by a signal comes out as 128 + its number.
    reports_signals: ClassVar[bool] = True
    #: Whether each rank's parent is a process of the launcher that lives as long as the run.
    parent_stays: ClassVar[bool] = True
    #: Whether a signal reaches each rank's process group, and so the rank below a wrapper that has stayed.
    signals_groups: ClassVar[bool] = True
    #: Whether it waits for ever for a daemon of its own on another host whose start (by ssh, srun) has failed.
    waits_for_lost_daemons: ClassVar[bool] = False


class MPIRun(LauncherTraits):
    """One launch method. `mpi`, `serial` and `per_node` are its launch lines for the job modes (`Job.job_mode`).

    `mpi`: one run over all ranks, and one rank's failure ends it. `serial`: independent copies without MPI
    wiring, and one copy's failure leaves the others running. `per_node`: as `serial`, for long-lived helpers such
    as Parsl's worker pools: each may use all of its node, unbound, and other runs may start beside them.

    A line is a method that takes a `RunShape` and gives argv elements, or a list of jinja2 templates. A mode without
    one cannot be started. `options` are further options for the launcher, put after the line; `lines` are those that
    a site has in place of ours, by mode. Raises `TemplateError` for a line that is wrong.
    """

    mpi: Line = ()
    serial: Line = ()
    per_node: Line = ()

    options: Sequence[str] = ()
    _called_as: str = ""  # the name or path that stands in place of `program`

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check, when the class is made, that its lines say nothing but what is known, and how many ranks there are."""
        super().__init_subclass__(**kwargs)
        method = cls.__new__(cls)
        for mode in MODES:
            if line := getattr(method, mode):
                check_line(f"{cls.__name__}.{mode}", line)

    def __init__(self, *, options: Sequence[str] = (), lines: Mapping[str, Sequence[str]] | None = None) -> None:
        self.options = tuple(options)
        for mode, line in (lines or {}).items():
            if mode not in MODES:
                raise TemplateError(f"there is no mode {mode!r} of a launch line", hint=nearest(mode, MODES))
            check_line(f"the site's {mode} line of {self.name}", line)
            setattr(self, mode, tuple(line))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({f'options={list(self.options)!r}' if self.options else ''})"

    # ---- for users: a method, and its run --------------------------------------------------------------------

    @staticmethod
    def for_site(
        site: Site | str | None = None,
        *,
        launcher: str | None = None,
        options: Sequence[str] = (),
        job: Job | None = None,
    ) -> MPIRun:
        """The launch method of a site (default: the one we are on) as it is used here, with its options and lines.

        `launcher` names another one, as the job may. Without either the allocation's platform tells, and on a host alone
        what `job` is: one rank needs none, `serial` copies are plain processes, and for several ranks it is the method of
        the MPI that the program is linked with. Where that cannot be seen (a script, an interpreter, no `job`) it is
        `mpiexec` if that is on PATH, else plain processes. Raises `PluginError`, `SiteError`.
        """
        method: MPIRun = hooks.select(site, launcher=launcher, options=options, job=job)
        return method

    def __call__(self, job: Job, nodes: Sequence[Node] | None = None, **settings: Any) -> RunHandle:
        """The `Run` of that job on those nodes (an `Assignment`; default: the whole allocation). Not yet started.

        `settings` are those of `planning.prepare_run`: `io`, a `RankIO`, says where output goes (default: as the job
        says); with `bind=False` ranks get neither cores nor GPU masks. Raises `InvalidRequest` for nodes that do not
        fit the job or the method.
        """
        return hooks.prepare(self, job, nodes, **settings)

    # ---- the command line ------------------------------------------------------------------------------------

    def argv(
        self,
        shape: Resources,
        *,
        mode: str = "mpi",
        hosts: Sequence[str] = (),
        stdin: bool = False,
        name: str = "",
        env_names: Sequence[str] = (),
    ) -> list[str]:
        """The elements before the command, for a run of that shape; without `hosts`, over the whole allocation.

        `env_names` are variables that the ranks are to be given beside those of a job. Raises `InvalidRequest` when
        this method cannot start such a run.
        """
        run = RunShape.of(shape, hosts=hosts, stdin=stdin, name=name)
        return self._argv(mode, replace(run, env_names=sorted({*run.env_names, *env_names})))

    def text(self, shape: Resources, *, mode: str = "mpi", hosts: str = "") -> str:
        """The same for a job script: shell text, over the whole allocation, to stand behind `lines`.

        `hosts` is shell text, such as "$hosts", that gives the nodes' names with commas where the script runs.
        Variables that the ranks are to be given are named if they are set there.
        """
        names = sorted({*CALLERS, *getattr(shape, "environment", ())})
        run = replace(
            RunShape.of(shape),
            hosts=HOSTS if hosts else "",
            env_names=[f"{IF_SET}{name}" for name in names],
            all_slots=SLOTS if shape.nodes_at_least > 1 and not hosts else "",
        )
        method = self.with_program(LAUNCHER) if self.launcher_search(mode) else self
        return shell_text(method._argv(mode, run), hosts)

    def _argv(self, mode: str, run: RunShape) -> list[str]:
        line: Line = getattr(self, mode, ())
        if not line:
            raise InvalidRequest(
                f"the launcher {self.name!r} cannot start {mode} runs", hint="choose another --launcher"
            )
        args = arguments(line, run)
        if run.hosts and self.follows_assignment and not self.this_host_only and not names_hosts(line):
            raise InvalidRequest(
                f"the {mode} line of the launcher {self.name!r} cannot say on which hosts to run",
                hint="let it use `hosts`, or choose another --launcher",
            )
        if self._called_as and self.program in args:
            args[args.index(self.program)] = self._called_as
        return [*args, *self.options] if args else []  # without a launcher there is nothing to have options

    def says_hosts(self, mode: str) -> bool:
        """Whether its line for that mode says on which hosts to run."""
        return names_hosts(getattr(self, mode))

    def lines(self, shape: Resources, *, mode: str = "mpi", hosts: str = "") -> str:
        """Shell lines (bash) for a job script, to be run before `text`, where "$@" is the command; '' for none.

        They find the launcher on PATH, as `find_launcher` does for a run that is started at once, and end the script
        with 127 where there is none, or 125 where it does not serve the program.
        """
        check = check_lines(self.mpi_families, shape.num_ranks, self.name) if mode == "mpi" else ""
        setup = self.setup_lines(shape, mode=mode, hosts=hosts)
        return "\n".join(filter(None, (self.launcher_search(mode), setup, check)))

    def launcher_search(self, mode: str) -> str:
        """Shell lines that set psij_launcher to the launcher's path; '' where its name will do."""
        if not self.version_texts or self._called_as or not names_program(getattr(self, mode), self.program):
            return ""
        return find_lines((*self.aliases, self.program), self.version_texts, f"the launcher of {self.name}")

    def setup_lines(self, shape: Resources, *, mode: str, hosts: str) -> str:
        """Further shell lines that `text` needs, now that the launcher is found."""
        return ""

    # ---- its launcher, where it runs -------------------------------------------------------------------------

    def launcher_name(self, path: str, search_path: str | None = None) -> str:
        """How to call its launcher, which was found at that path, on that PATH."""
        return path

    def resolved(self, path: str | None = None) -> MPIRun:
        """The method that this one is on this host, with that PATH: itself, but for a name that several MPIs have."""
        return self

    def with_program(self, program: str, options: Sequence[str] = ()) -> MPIRun:
        """The same method with its launcher called by that name or path, and further options."""
        method = copy(self)
        method.options = (*self.options, *options)
        if program != self.program:
            method._called_as = self._called_as or program
        return method

    def pmi_environment(self, linked: Linked, num_ranks: int, environment: Mapping[str, str]) -> dict[str, str]:
        """Variables that let the ranks of an MPI program find each other.

        The program is of one of its MPI families. Raises `LaunchError` for one that it would start as so many runs of
        one rank each all the same.
        """
        return {}

    def start_refusal(self, argv: Sequence[str], environment: Mapping[str, str]) -> tuple[str, str]:
        """Why its launcher, so called, refuses to start anything here, and what to do; '' if nothing is known."""
        return "", ""

    def kill_command(self, name: str, environment: Mapping[str, str]) -> Sequence[str]:
        """A command that ends the run of that name on other hosts, once its launcher was killed; () for none."""
        return ()
