"""What a resource manager says of its nodes and queues, as plain data that a platform fills in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


class Ask(Protocol):
    """Runs one of the manager's commands, within bounds, and gives what it prints.

    Raises `Unavailable` if that is no answer, unless it is `optional`: then the text is ''.
    """

    def __call__(self, *argv: str, optional: bool = False) -> str: ...


class Suggestion(NamedTuple):
    """A setting that a person may want: it is written as a comment, with the reason."""

    key: str
    value: Any
    reason: str


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """One node: hardware threads, MB of memory, GPUs and their model in the manager's words; None if unknown.

    `features` are names by which jobs can ask for it.
    """

    name: str
    cpus: int | None = None
    threads_per_core: int = 1
    memory: int | None = None
    gpus: int = 0
    gpu_model: str = ""
    features: frozenset[str] = frozenset()


class TierFacts(NamedTuple):
    """The jobs of so many nodes, how long they may run, and the queue to which they are handed on."""

    min_nodes: int
    max_nodes: int | None
    max_time_min: int | None
    leads_to: str


@dataclass(frozen=True, kw_only=True)
class QueueFacts:
    """One queue as people shall name it; None stands for no limit, or an unknown one.

    `nodes` are its nodes' names, None for all of them. `parameters` are what it renders besides its name. `open`:
    jobs that are put there will run. `max_nodes`, `max_cores` and `max_gpus` are of the largest job that can ever start,
    also by what one user, project or all of them may have at a time. `running` and `queued` are the greatest numbers
    of a user's jobs, `project_running` and `project_queued` of a project's. `preempt_grace_s`: the manager says that its
    jobs may be preempted, and how long they then have, which may be 0. `remarks` are for the person who goes on with
    the file.
    """

    name: str
    default: bool = False
    open: bool = True
    auto: bool = True
    strict: bool = False
    whole_nodes: bool = False
    nodes: frozenset[str] | None = None
    min_nodes: int | None = None
    max_nodes: int | None = None
    min_time_min: int | None = None
    max_time_min: int | None = None
    max_cores: int | None = None
    max_gpus: int | None = None
    max_memory: int | None = None
    tiers: tuple[TierFacts, ...] = ()
    array_max: int | None = None
    array_max_index: int | None = None
    running: int | None = None
    queued: int | None = None
    project_running: int | None = None
    project_queued: int | None = None
    preempt_grace_s: int | None = None
    required: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SiteFacts:
    """All that a manager says. `cluster` is its name in the manager's configuration, '' if it has none.

    `feature_parameter` is the parameter by which jobs ask for nodes with a feature, '' if there is none.
    """

    cluster: str = ""
    version: str = ""
    nodes: Sequence[NodeFacts] = ()
    feature_parameter: str = ""
    queues: Sequence[QueueFacts] = ()
    required: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()


ReadFacts = Callable[[Ask], SiteFacts]


def least(*limits: int | None) -> int | None:
    """The strictest of some limits; None stands for no limit."""
    return min((limit for limit in limits if limit is not None), default=None)
