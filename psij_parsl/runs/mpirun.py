"""MPIRun: the command line that starts the ranks of a run, for one launch method.

A method is a list of words per mode. Each word is a small jinja2 template and becomes one argv element, or none
when it renders to nothing, so that no value can ever be split or swallowed by a shell. The word `each("-x", names)`
becomes two elements for each name.

The template has two faces. `argv(job, hosts=...)` is exact, for nodes that were assigned: the launcher binds
nothing, for each rank is bound to the very cores and GPUs of the assignment by `binding.py`. `text(job)` is for a
script and the whole allocation, whose hosts are known only there: then the launcher binds the ranks itself.

Called with a job and the nodes it was assigned, a method gives the `Run`::

    with NodeResources.discover().assign(job) as nodes, MPIRun.for_site(job=job)(job, nodes) as run:
        run.wait()
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import InvalidRequest, TemplateError, nearest
from ..job import Job, Resources
from . import hooks
from .argument_template import rendered, used
from .script_checks import check_lines, find_lines

if TYPE_CHECKING:
    from ..resources.node import Node
    from ..sites import Site
    from .hooks import RunHandle
    from .mpi_libraries import Linked

#: What a word may say, and what it means.
WORDS: Mapping[str, str] = {
    "num_nodes": "nodes of the run",
    "num_ranks": "ranks in all",
    "ranks_per_node": "ranks on each node",
    "cpus_per_rank": "cores of each rank",
    "threads_per_core": "hardware threads used of each core",
    "threads_per_rank": "hardware threads of each rank",
    "gpus_per_rank": "GPUs of each rank",
    "gpus_per_node": "GPUs on each node",
    "memory_per_node": "MB on each node, or none",
    "hosts": "names of the nodes with commas, or none for the whole allocation",
    "slots": "the same with the ranks of each: n1:4,n2:4",
    "nids": "the numbers in the names: nid00012,nid00013 is 12,13",
    "stdin": "whether there is input for rank 0",
    "name": "a name by which the manager knows this run, or none",
    "env_names": "variables that ranks on other nodes must be given",
    "all_slots": "in a job script, nodes of the allocation that have to be named, each with its ranks; or none",
}
MODES = ("mpi", "serial", "per_node")
#: What the ranks of an outer run know themselves by: a run that inherited it would take itself for that rank.
OUTER_RUN = (
    "PMI_RANK",
    "PMI_SIZE",
    "PMI_FD",
    "PMI_PORT",
    "PMI_ID",
    "PMI_LOCAL_*",
    "PMI_UNIVERSE_SIZE",
    "PMI_CONTROL_*",
    "PMI_SHARED_SECRET",
    "PMI_JOBID",
    "PMI_SPAWNED",
    "PMI_APPNUM",
    "PMI_HOSTNAME",
    "PMIX_NAMESPACE",
    "PMIX_RANK",
    "PMIX_SERVER_*",
    "PMIX_SECURITY_MODE",
    "PMIX_GDS_MODULE",
    "PMIX_BFROP_*",
    "PMIX_DSTORE_*",
    "PMIX_HOSTNAME",
    "PMIX_VERSION",
    "PMIX_SYSTEM_TMPDIR",
    "PMIX_PTL_MODULE",
    "PMIX_ID",
    "MPI_LOCALRANKID",
    "MPI_LOCALNRANKS",
    "HYDI_*",
    "HYDRA_*_FD",
    "PALS_*ID",
    "OMPI_COMM_*",
    "OMPI_APP_CTX_*",
    "OMPI_FIRST_RANKS",
    "OMPI_NUM_APP_CTX",
    "OMPI_UNIVERSE_SIZE",
    "OMPI_COMMAND",
    "OMPI_ARGV",
    "OMPI_FILE_LOCATION",
    "OMPI_MCA_orte_*",
    "OMPI_MCA_ess*",
    "OMPI_MCA_pmix",
    "OMPI_MCA_initial_wdir",
    "OMPI_MCA_mpi_oversubscribe",
    "OMPI_MCA_shmem_RUNTIME_QUERY_hint",
    "PRTE_LAUNCHED",
    "PSIJ_RANK",
    "PSIJ_LOCAL_RANK",
    "PSIJ_NUM_RANKS",
    "PSIJ_CPUS",
    "PSIJ_GPUS",
    "PSIJ_RUN",
)
#: Variables that ranks on any node have as the caller has them, whatever the launcher's daemons there have.
CALLERS = ("PATH", "LD_LIBRARY_PATH")
#: The words that say on which nodes a run is to be.
_PLACES = ("hosts", "slots", "nids")


class MPIRun:
    """One launch method. `mpi`, `serial` and `per_node` are its words for the modes; see design of `job_mode`.

    `mpi`: one run over all ranks, and one rank's failure ends it. `serial`: independent copies without MPI
    wiring, and one copy's failure leaves the others running. `per_node`: as `serial`, for long-lived helpers such
    as Parsl's worker pools: each may use all of its node, unbound, and other runs may start beside them.

    `options` are further options for the launcher, put after its words; `lines` words that a site has in place of
    ours, by mode. Raises `TemplateError` for words that are wrong.
    """

    name: ClassVar[str] = ""
    mpi: Sequence[str] = ()
    serial: Sequence[str] = ()
    per_node: Sequence[str] = ()
    #: The command that must be on the node's PATH; '' for none.
    program: ClassVar[str] = ""
    #: Names that the command also has where several methods are installed, looked for first.
    aliases: ClassVar[Sequence[str]] = ()
    #: What `program --version` says, one of these; none if the name is the method's alone.
    version_texts: ClassVar[Sequence[str]] = ()
    #: The MPI libraries whose ranks it brings together: "openmpi", "mpich"; "*" for any.
    mpi_families: ClassVar[Sequence[str]] = ("*",)
    #: Whether it can be told the hosts, and leaves cores and GPUs to us. Else it manages the nodes by itself.
    follows_assignment: ClassVar[bool] = True
    #: Whether it knows its own host by what gethostname() says, and would reach for another name of it by ssh.
    needs_own_hostname: ClassVar[bool] = False
    #: Whether it reaches this host only.
    this_host_only: ClassVar[bool] = False
    #: Whether it has a launcher that options can be for.
    takes_options: ClassVar[bool] = True
    #: Variables in which a rank finds its number, and its number on its node: the first that is set.
    rank_variables: ClassVar[Sequence[str]] = ()
    local_rank_variables: ClassVar[Sequence[str]] = ()
    #: Whether a rank's death by a signal comes out as 128 + its number.
    reports_signals: ClassVar[bool] = True
    #: Modes in which its exit code is not that of the first rank that failed: ranks write theirs down, in a file.
    loses_exit_codes: ClassVar[Sequence[str]] = ()
    #: Those of them in which a rank that failed is not to say so to the launcher, which would end the others.
    independent_copies: ClassVar[Sequence[str]] = ()
    #: Whether each rank's parent is a process of the launcher that lives as long as the run.
    parent_stays: ClassVar[bool] = True
    #: Whether a signal reaches each rank's process group, and so the rank below a wrapper that has stayed.
    signals_groups: ClassVar[bool] = True
    #: Whether it waits for ever for a daemon of its own on another host whose start (by ssh, srun) has failed.
    waits_for_lost_daemons: ClassVar[bool] = False
    #: Patterns of variables by which an outer run would shape this one, beside OUTER_RUN; what the launcher needs.
    scrub_environment: ClassVar[Sequence[str]] = ()
    environment: ClassVar[Mapping[str, str]] = {}
    #: How a signal, and the launcher's own death, reach the ranks: in words, for people.
    signal_docs: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check, when the class is made, that its words say nothing but what is known, and say the shape."""
        super().__init_subclass__(**kwargs)
        for mode in MODES:
            if words := getattr(cls, mode):
                _check(f"{cls.__name__}.{mode}", words, shaped=cls.name != "single")

    def __init__(self, *, options: Sequence[str] = (), lines: Mapping[str, Sequence[str]] | None = None) -> None:
        self.options = tuple(options)
        for mode, words in (lines or {}).items():
            if mode not in MODES:
                raise TemplateError(f"there is no mode {mode!r} of a launch line", hint=nearest(mode, MODES))
            _check(f"the site's {mode} line of {self.name}", words, shaped=True)
            setattr(self, mode, tuple(words))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({f'options={list(self.options)!r}' if self.options else ''})"

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

    def argv(
        self,
        shape: Resources,
        *,
        mode: str = "mpi",
        hosts: Sequence[str] = (),
        stdin: bool = False,
        name: str = "",
        script: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """The words before the command, for a run of that shape; without `hosts`, over the whole allocation.

        `script` are values of words that only a job script has. Raises `InvalidRequest` when this method cannot
        start such a run.
        """
        words = getattr(self, mode, ())
        if not words:
            raise InvalidRequest(
                f"the launcher {self.name!r} cannot start {mode} runs", hint="choose another --launcher"
            )
        if hosts and self.follows_assignment and not self.this_host_only and not used(words) & set(_PLACES):
            raise InvalidRequest(
                f"the {mode} line of the launcher {self.name!r} cannot say on which hosts to run",
                hint="let it use `hosts`, or choose another --launcher",
            )
        named = [host for host in hosts if host != _HOSTS]
        values = {
            "num_nodes": shape.num_nodes,
            "num_ranks": shape.num_ranks,
            "ranks_per_node": shape.ranks_per_node,
            "cpus_per_rank": shape.cpus_per_rank,
            "threads_per_core": shape.threads_per_core,
            "threads_per_rank": shape.cpus_per_rank * shape.threads_per_core,
            "gpus_per_rank": shape.gpus_per_rank,
            "gpus_per_node": shape.gpus_per_node,
            "memory_per_node": shape.memory_per_node,
            "hosts": ",".join(hosts),
            "slots": ",".join(f"{host}:{shape.ranks_per_node}" for host in named),
            "nids": ",".join(host.lstrip("nid").lstrip("0") or "0" for host in named),
            "stdin": stdin or bool(getattr(shape, "stdin", None)),
            "env_names": sorted(getattr(shape, "environment", ())),
            "name": name,
            "all_slots": "",
            **(script or {}),
        }
        return [*rendered(words, values), *self.options]

    def text(self, shape: Resources, *, mode: str = "mpi", hosts: str = "") -> str:
        """The same for a job script: shell text, over the whole allocation, to stand behind `lines`.

        `hosts` is shell text, such as "$hosts", that gives the nodes' names with commas where the script runs.
        Variables that the ranks are to be given are named if they are set there.
        """
        names = sorted({*CALLERS, *getattr(shape, "environment", ())})
        script: dict[str, Any] = {"env_names": [f"{_IF_SET}{name}" for name in names]}
        if shape.num_nodes > 1 and not hosts:
            script["all_slots"] = _SLOTS
        method = self.with_program(_LAUNCHER) if self.search_lines(mode) else self
        return _shell(method.argv(shape, mode=mode, hosts=[_HOSTS] if hosts else (), script=script), hosts)

    def lines(self, shape: Resources, *, mode: str = "mpi", hosts: str = "") -> str:
        """Shell lines (bash) for a job script, to be run before `text`, where "$@" is the command; '' for none.

        They find the launcher on PATH, as `find_launcher` does for a run that is started at once, and end the script with
        127 where there is none, or 125 where it does not serve the program.
        """
        check = check_lines(self.mpi_families, shape.num_ranks, self.name) if mode == "mpi" else ""
        return "\n".join(
            filter(None, (self.search_lines(mode), self.setup_lines(shape, mode=mode, hosts=hosts), check))
        )

    def launcher_name(self, found: str, path: str | None = None) -> str:
        """How to call its launcher, which was found there on that PATH."""
        return found

    def search_lines(self, mode: str) -> str:
        """Shell lines that set psij_launcher to the launcher's path; '' where its name will do."""
        if not self.version_texts or self.program not in getattr(self, mode):
            return ""
        return find_lines((*self.aliases, self.program), self.version_texts, f"the launcher of {self.name}")

    def setup_lines(self, shape: Resources, *, mode: str, hosts: str) -> str:
        """Further shell lines that `text` needs, now that the launcher is found."""
        return ""

    def resolved(self, path: str | None = None) -> MPIRun:
        """The method that this one is on this host, with that PATH: itself, but for a name that several MPIs have."""
        return self

    def with_program(self, program: str, options: Sequence[str] = ()) -> MPIRun:
        """The same method with its launcher called by that name or path, and further options."""
        found = copy(self)
        found.options = (*self.options, *options)
        for mode in MODES:
            words = tuple(program if word == self.program else word for word in getattr(self, mode))
            setattr(found, mode, words)
        return found

    def pmi_environment(self, linked: Linked, num_ranks: int, environment: Mapping[str, str]) -> dict[str, str]:
        """Variables that let the ranks of an MPI program find each other.

        The program is of one of the libraries that it speaks. Raises `LaunchError` for one that it would start as so
        many runs of one rank each all the same.
        """
        return {}

    def start_refusal(self, words: Sequence[str], environment: Mapping[str, str]) -> tuple[str, str]:
        """Why its launcher, so called, refuses to start anything here, and what to do; '' if nothing is known."""
        return "", ""

    def kill_command(self, name: str, environment: Mapping[str, str]) -> Sequence[str]:
        """A command that ends the run of that name on other hosts, once its launcher was killed; () for none."""
        return ()


# These stand for what is known only where a script runs, while words are quoted; no shell changes them.
_HOSTS = "psij-hosts-known-there"
_SLOTS = "psij-slots-known-there"
_LAUNCHER = "psij-launcher-found-there"
_IF_SET = "psij-if-set-there:"


def _shell(words: Sequence[str], hosts: str) -> str:
    """Words as shell text. An option and its value stand together where the value may turn out not to be there."""
    said: list[str] = []
    for word in words:
        if word.startswith(_IF_SET) and said:
            name = word.removeprefix(_IF_SET)
            said.append(f"${{{name}+{said.pop()} {name}}}")
        elif word == _SLOTS and said:
            said.append(f'${{psij_slots:+{said.pop()} "$psij_slots"}}')
        elif word == _LAUNCHER:
            said.append('"$psij_launcher"')
        else:
            said.append(shlex.quote(word).replace(_HOSTS, hosts).replace(_IF_SET, ""))
    return " ".join(said)


def _check(what: str, words: Sequence[str], *, shaped: bool) -> None:
    """Raise `TemplateError` for a line that would not do what it should."""
    if isinstance(words, str):
        raise TemplateError(f"{what} is one text", hint="give a list: each word becomes one argument")
    names = used(words, what)
    for name in names - WORDS.keys():
        raise TemplateError(f"{what} uses {name!r}, which nothing gives", hint=nearest(name, WORDS))
    if shaped and not names & {"num_ranks", "ranks_per_node"}:
        raise TemplateError(f"{what} never says how many ranks to start")
