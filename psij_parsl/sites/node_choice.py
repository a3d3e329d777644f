"""On which of a site's node types a job may run, and for which of them it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ..job_size import Resources
from ..platforms.registry import platform
from .job_checks import node_problems
from .job_shape import Shape, shape_of
from .joining import is_unset, parts

if TYPE_CHECKING:
    from .queues import NodeType, Queue
    from .site_data import SiteData

_SHAPE = tuple(item.name for item in fields(Resources))


def choose_node_type(
    site: SiteData, queues: Sequence[Queue], job: Mapping[str, Any], typed: Mapping[str, Any]
) -> NodeType | None:
    """The node type for a job: the first of its queues' that agrees with its parameters and can hold its ranks.

    None where the site does not know its queue, or where several queues have none in common.
    """
    names = tuple(site.node_types) if not site.queues or not job.get("queue") else ()
    for at, queue in enumerate(queues):
        names = tuple(name for name in queue.node_types if not at or name in names)
    types = [site.node_types[name] for name in names]
    if len(types) < 2:
        return types[0] if types else None
    types = _asked_for(site, types, typed)
    resources = Resources(**{name: job[name] for name in _SHAPE if job.get(name) is not None})
    shape = shape_of(site.platform, resources, typed)
    if not shape.gpus:  # nodes with GPUs are for those who need them
        types = [node_type for node_type in types if not node_type.hardware.gpus] or types
    fitting = [node_type for node_type in types if not any(node_problems(node_type, shape))]
    if fitting:
        enough = [one for one in fitting if one.count is None or one.count >= resources.nodes_at_least]
        return enough[0] if enough else max(fitting, key=lambda one: one.count or 0)
    return min(types, key=lambda one: (len([*node_problems(one, shape)]), *(-amount for amount in _size(one))))


def most_nodes(
    site: SiteData, types: Sequence[NodeType], chosen: NodeType | None, shape: Shape, parameters: Mapping[str, Any]
) -> tuple[int | None, list[NodeType]]:
    """On how many nodes of these types such a job can run, None where that is unknown, and which types those are.

    A job that asks for no GPU may also come to nodes that have some. If it can run on none, the chosen type counts.
    """
    if all(one.count is None for one in types):
        return None, []
    named = _asked_for(site, types, parameters)
    able = [one for one in named if all(problem.soft for problem in node_problems(one, shape))]
    if not able and chosen is not None:
        able = [chosen]
    counts = [one.count for one in able if one.count is not None]
    return (sum(counts) if counts and len(counts) == len(able) else None), able


def _asked_for(site: SiteData, types: Sequence[NodeType], parameters: Mapping[str, Any]) -> list[NodeType]:
    """Those of which a parameter of the job names what selects them; all of them if none is named so."""
    if len(types) < 2:
        return [*types]
    declared = platform(site.platform).template_class.params  # loading it takes a while

    def is_named(node_type: NodeType) -> bool:
        return any(
            set(parts(declared.get(name), value)) & set(parts(declared.get(name), parameters[name]))
            for name, value in node_type.parameters.items()
            if not is_unset(parameters.get(name))
        )

    return [node_type for node_type in types if is_named(node_type)] or [*types]


def _size(node_type: NodeType) -> tuple[int, int, int]:
    hardware = node_type.hardware
    return len(hardware.gpus), hardware.memory or 0, hardware.cpus or 0
