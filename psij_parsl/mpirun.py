"""MPIRun: the command line that starts the ranks of a run, for one launch method.

A method is a list of words per mode. Each word is a small jinja2 template and becomes one argv element, or none
when it renders to nothing, so that no value can ever be split or swallowed by a shell.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .errors import InvalidRequest, TemplateError, nearest
from .job import Resources

#: What a word may say, and what it means.
WORDS: Mapping[str, str] = {
    "num_nodes": "nodes of the run",
    "num_ranks": "ranks in all",
    "ranks_per_node": "ranks on each node",
    "cpus_per_rank": "cores of each rank",
    "threads_per_core": "hardware threads used of each core",
    "gpus_per_rank": "GPUs of each rank",
    "gpus_per_node": "GPUs on each node",
    "memory_per_node": "MB on each node, or none",
    "hosts": "names of the nodes, or none for the whole allocation",
}


class MPIRun:
    """One launch method. `mpi` and `serial` are its words for the two modes; see design of `job_mode`.

    `mpi`: one run over all ranks, and one rank's failure ends it. `serial`: independent copies without MPI
    wiring, and one copy's failure leaves the others running.
    """

    name: ClassVar[str] = ""
    mpi: ClassVar[Sequence[str]] = ()
    serial: ClassVar[Sequence[str]] = ()
    #: The command that must be on the node's PATH; '' for none.
    program: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check, when the class is made, that its words say nothing but what is known, and say the shape."""
        super().__init_subclass__(**kwargs)
        from jinja2 import meta

        for mode in ("mpi", "serial"):
            used: set[str] = set()
            for word in getattr(cls, mode):
                used |= meta.find_undeclared_variables(_environment().parse(word))
            for word in used - WORDS.keys():
                raise TemplateError(
                    f"{cls.__name__}.{mode} uses {word!r}, which nothing gives", hint=nearest(word, WORDS)
                )
            if getattr(cls, mode) and not used & {"num_ranks", "ranks_per_node"} and cls.name != "single":
                raise TemplateError(f"{cls.__name__}.{mode} never says how many ranks to start")

    def argv(self, shape: Resources, *, mode: str = "mpi", hosts: Sequence[str] = ()) -> list[str]:
        """The words before the command, for a run of that shape; without `hosts`, over the whole allocation.

        Raises `InvalidRequest` when this method cannot start such a run.
        """
        words = getattr(self, mode, ())
        if not words:
            raise InvalidRequest(
                f"the launcher {self.name!r} cannot start {mode} runs", hint="choose another --launcher"
            )
        values = {
            "num_nodes": shape.num_nodes, "num_ranks": shape.num_ranks, "ranks_per_node": shape.ranks_per_node,
            "cpus_per_rank": shape.cpus_per_rank, "threads_per_core": shape.threads_per_core,
            "gpus_per_rank": shape.gpus_per_rank, "gpus_per_node": shape.gpus_per_node,
            "memory_per_node": shape.memory_per_node, "hosts": ",".join(hosts),
        }  # fmt: skip
        rendered = [_environment().from_string(word).render(values) for word in words]
        return [word for word in rendered if word]

    def text(self, shape: Resources, *, mode: str = "mpi") -> str:
        """The same for a job script: shell text, over the whole allocation."""
        return shlex.join(self.argv(shape, mode=mode))


def _environment() -> Any:
    global _shared
    if _shared is None:
        from jinja2 import Environment, StrictUndefined

        _shared = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 - argv words, not HTML
    return _shared


_shared: Any = None
