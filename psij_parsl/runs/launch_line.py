"""A launch line: the argv elements before a run's command, from the run's shape.

A launch method gives each of its lines as a function of the shape, in Python. A site's file gives a list of jinja2
templates, each of which becomes one element, or none where it is empty; a method may do so, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from ..errors import InvalidRequest, TemplateError, nearest
from ..job_size import Resources


@dataclass(frozen=True, kw_only=True)
class RunShape:
    """What a launch line may say: the same names in a function, as `run.num_ranks`, and in a template."""

    num_nodes: int = field(metadata={"help": "nodes of the run"})
    num_ranks: int = field(metadata={"help": "ranks in all"})
    ranks_per_node: int = field(metadata={"help": "ranks on each node"})
    cpus_per_rank: int = field(metadata={"help": "cores of each rank"})
    threads_per_core: int = field(metadata={"help": "hardware threads used of each core"})
    threads_per_rank: int = field(metadata={"help": "hardware threads of each rank"})
    gpus_per_rank: int = field(metadata={"help": "GPUs of each rank"})
    gpus_per_node: int = field(metadata={"help": "GPUs on each node"})
    memory_per_node: int | None = field(metadata={"help": "MB on each node, or none"})
    hosts: str = field(
        default="", metadata={"help": "names of the nodes with commas, or none for the whole allocation"}
    )
    slots: str = field(default="", metadata={"help": "the same with the ranks of each: n1:4,n2:4"})
    nids: str = field(default="", metadata={"help": "the numbers in the names: nid00012,nid00013 is 12,13"})
    stdin: bool = field(default=False, metadata={"help": "whether there is input for rank 0"})
    name: str = field(default="", metadata={"help": "a name by which the manager knows this run, or none"})
    env_names: Sequence[str] = field(
        default=(), metadata={"help": "variables that ranks on other nodes must be given"}
    )
    all_slots: str = field(
        default="",
        metadata={
            "help": "in a job script, nodes of the allocation that have to be named, each with its ranks; or none"
        },
    )

    @classmethod
    def of(cls, shape: Resources, *, hosts: Sequence[str] = (), stdin: bool = False, name: str = "") -> RunShape:
        """That of a run of so many ranks on those hosts, the whole allocation if there are none.

        Raises `InvalidRequest` where the number of nodes is left to the manager.
        """
        if shape.num_nodes is None:
            raise InvalidRequest(
                "ranks are started on a number of nodes that must be known",
                hint="say -N; or let the command start its ranks, with --mode script",
            )
        return cls(
            num_nodes=shape.num_nodes,
            num_ranks=shape.num_ranks,
            ranks_per_node=shape.ranks_per_node,
            cpus_per_rank=shape.cpus_per_rank,
            threads_per_core=shape.threads_per_core,
            threads_per_rank=shape.cpus_per_rank * shape.threads_per_core,
            gpus_per_rank=shape.gpus_per_rank,
            gpus_per_node=shape.gpus_on_node,
            memory_per_node=shape.memory_on_node or None,
            hosts=",".join(hosts),
            slots=",".join(f"{host}:{shape.ranks_per_node}" for host in hosts),
            nids=",".join(host.lstrip("nid").lstrip("0") or "0" for host in hosts),
            stdin=stdin or bool(getattr(shape, "stdin", None)),
            name=name,
            env_names=sorted(getattr(shape, "environment", ())),
        )


Args = Sequence[str | int]
"""Argv elements; a number is one as it is written."""
Line = Callable[[RunShape], Args] | Sequence[str]


def when(condition: object, *args: str | int) -> Args:
    """These elements where the condition holds, else none: `["srun", *when(run.hosts, "--overlap")]`."""
    return args if condition else ()


def each(option: str, values: Iterable[str]) -> Args:
    """The option and a value, as often as there are values."""
    return [arg for value in values for arg in (option, value)]


def arguments(line: Line, run: RunShape) -> list[str]:
    """The elements that a line becomes."""
    if callable(line):
        return [str(arg) for arg in line(run)]
    from .argument_template import rendered

    return rendered(line, vars(run))


_PLACES = ("hosts", "slots", "nids")
# Two runs by which a line is tried: over a whole allocation, and on a host that was assigned with all that can be asked.
_PLAIN = RunShape.of(Resources(ranks_per_node=2))
_FULL = RunShape.of(
    Resources(ranks_per_node=2, gpus_per_rank=1, memory_per_node=1), hosts=["n1"], stdin=True, name="psij"
)


def names_hosts(line: Line) -> bool:
    """Whether a line says on which hosts to run."""
    return bool(_asked(line, _FULL) & set(_PLACES))


def names_program(line: Line, program: str) -> bool:
    """Whether a line calls its launcher by that name."""
    try:
        return program in arguments(line, _PLAIN)
    except InvalidRequest:  # it starts one rank, and no launcher
        return False


def check_line(what: str, line: Line) -> None:
    """Raise `TemplateError`, beginning with `what`, for a line that would not do what it should."""
    if isinstance(line, str):
        raise TemplateError(f"{what} is one text", hint="give a list: each word becomes one argument")
    for run in (_PLAIN, _FULL):
        names = _asked(line, run, what)
        if names and not names & {"num_ranks", "ranks_per_node"}:
            raise TemplateError(f"{what} never says how many ranks to start")


class _Recorder:
    """Stands for a run's shape, and notes what a line asks of it."""

    def __init__(self, run: RunShape) -> None:
        self._run = run
        self.names: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.names.add(name)
        return getattr(self._run, name)


def _asked(line: Line, run: RunShape, what: str = "a launch line") -> set[str]:
    """The names that a line uses for such a run; none if it refuses to start it.

    Raises `TemplateError`, beginning with `what`, for a name that there is not.
    """
    existing = [item.name for item in fields(RunShape)]
    if callable(line):
        recorder: Any = _Recorder(run)
        try:
            line(recorder)
        except InvalidRequest:
            return set()
        except AttributeError:
            if recorder.names <= set(existing):
                raise
        names = recorder.names or {""}
    else:
        from .argument_template import used

        names = used(line, what) or {""}
    for name in names - {"", *existing}:
        raise TemplateError(f"{what} uses {name!r}, which nothing gives", hint=nearest(name, existing))
    return names
