"""How large a job or a run is: nodes, ranks, and what each rank gets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from .errors import InvalidRequest, nearest

FLAGS: Mapping[str, str] = {
    "num_nodes": "-N/--nodes",
    "ranks": "-n/--ntasks",
    "ranks_per_node": "--ntasks-per-node",
    "cpus_per_rank": "-c/--cpus-per-task",
    "threads_per_core": "--threads-per-core",
    "gpus_per_rank": "-g/--gpus-per-task",
    "gpus_per_node": "--gpus-per-node",
    "gpu_kind": "-G/--gpus",
    "memory_per_node": "--mem",
    "memory_per_core": "--mem-per-cpu",
    "memory_per_gpu": "--mem-per-gpu",
    "wall_time_min": "-t/--time",
    "queue": "-q/--queue",
    "project": "-A/--account",
    "job_mode": "--mode",
    "name": "-J/--job-name",
    "directory": "-D/--cwd",
    "environment": "--env",
    "array": "--array",
    "array_limit": "--array",
    "after": "-d/--dependency",
    "begin": "--begin",
    "signal_before_end": "--signal",
    "hold": "--hold",
    "launcher": "--launcher",
    "setup": "--setup",
    "setup_may_fail": "--setup-may-fail",
    "stdin": "-i/--input",
    "stdout": "-o/--output",
    "stderr": "-e/--error",
    "append": "--append",
    "compat": "--compat",
}
"""The command line option of each job field, for messages. The command line's own table (`cli/job_flags.py`) stands
above what uses this one, and has more spellings; a test compares them."""

_MEMORY = ("memory_per_node", "memory_per_core", "memory_per_gpu")
#: Fields that say the same in different ways, so that one of them replaces another that a site has by default.
_RIVALS = (_MEMORY, ("gpus_per_rank", "gpus_per_node", "gpu_kind"))
_OPTIONAL = frozenset(("num_nodes", "ranks", "gpus_per_node", "wall_time_min", "array_limit", *_MEMORY))


@dataclass(frozen=True, kw_only=True)
class Resources:
    """How many nodes, and what each rank gets. One vocabulary from the site file to the template.

    `ranks` is a number of ranks in all that is not the same on each node, or whose nodes the manager chooses; where it
    is the same on each node, it becomes `ranks_per_node`. GPUs are those of the ranks, unless `gpus_per_node` says
    otherwise; and memory is said for nodes, cores or GPUs, in one of these ways.
    """

    #: None: the manager decides.
    num_nodes: int | None = 1
    ranks: int | None = None
    #: With `ranks`, the most that a node has.
    ranks_per_node: int = 1
    #: Cores.
    cpus_per_rank: int = 1
    #: Hardware threads used of each core.
    threads_per_core: int = 1
    gpus_per_rank: int = 0
    gpus_per_node: int | None = None
    #: The model of the GPUs, as the site calls it.
    gpu_kind: str = ""
    #: MB (2**20 bytes); 0: all that a node has.
    memory_per_node: int | None = None
    #: MB for each core.
    memory_per_core: int | None = None
    #: MB for each GPU.
    memory_per_gpu: int | None = None

    if not TYPE_CHECKING:  # who checks types reads what `__init__` takes

        def __new__(cls, *words: Any, **given: Any) -> Self:
            if words:
                raise InvalidRequest(
                    f"{cls.__name__} takes its fields by their names, and {words[0]!r} has none",
                    hint=f"say {cls.__name__}(command=['hostname'])" if "command" in cls.__dataclass_fields__ else "",
                )
            for name in given.keys() - cls.__dataclass_fields__.keys():
                raise InvalidRequest(
                    f"{cls.__name__} has no field {name!r}", hint=nearest(name, cls.__dataclass_fields__)
                )
            return super().__new__(cls)

    def __post_init__(self) -> None:
        for name in ("num_nodes", "ranks", "ranks_per_node", "cpus_per_rank", "threads_per_core"):
            whole(self, name, least=1)
        for name in ("gpus_per_rank", "gpus_per_node", "memory_per_node"):
            whole(self, name, least=0)
        for name in ("memory_per_core", "memory_per_gpu"):
            whole(self, name, least=1)
        said = [name for name in _MEMORY if getattr(self, name) is not None]
        if len(said) > 1:
            raise InvalidRequest(
                f"memory is said twice, by {said[0]} and {said[1]}",
                hint=f"leave out {FLAGS[said[0]]} or {FLAGS[said[1]]}",
            )
        if self.ranks is not None and self.num_nodes is not None:
            if self.ranks < self.num_nodes:
                raise InvalidRequest(
                    f"{self.ranks} ranks are too few for {self.num_nodes} nodes",
                    hint=f"say -N {self.ranks} at most, or -n {self.num_nodes} at least",
                )
            even = self.ranks % self.num_nodes == 0
            object.__setattr__(self, "ranks_per_node", -(-self.ranks // self.num_nodes))
            object.__setattr__(self, "ranks", None if even else self.ranks)

    @property
    def nodes_at_least(self) -> int:
        """The number of nodes; 1 where the manager decides."""
        return self.num_nodes or 1

    @property
    def num_ranks(self) -> int:
        """Ranks in all."""
        return self.ranks or self.nodes_at_least * self.ranks_per_node

    @property
    def cores_per_node(self) -> int:
        return self.ranks_per_node * self.cpus_per_rank

    @property
    def gpus_on_node(self) -> int:
        """GPUs on each node, whichever way they are said."""
        return self.ranks_per_node * self.gpus_per_rank if self.gpus_per_node is None else self.gpus_per_node

    @property
    def memory_on_node(self) -> int | None:
        """MB on each node, whichever way they are said; 0: all that a node has."""
        if self.memory_per_core is not None:
            return self.memory_per_core * self.cores_per_node
        if self.memory_per_gpu is not None:
            return self.memory_per_gpu * self.gpus_on_node
        return self.memory_per_node


def whole(asked: Resources, name: str, *, least: int) -> None:
    """Check that a field is a whole number, or None where it may be. Raises `InvalidRequest`."""
    value = getattr(asked, name)
    if value is None and name in _OPTIONAL:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidRequest(
            f"{name} must be a whole number of at least {least}, not {value!r}", hint=f"e.g. {name}={least + 1}"
        )


def without_rivals(defaults: Mapping[str, Any], asked: Collection[str]) -> dict[str, Any]:
    """The defaults without those that say in another way what is asked for."""
    rivals = {name for group in _RIVALS if not {*group}.isdisjoint(asked) for name in group}
    if "ranks" in asked:
        rivals |= {"num_nodes", "ranks_per_node"}
    return {name: value for name, value in defaults.items() if name not in rivals}
