"""Whether the values of a site agree with each other, each being right by itself.

Every fault has its key, and all of them are found: a site in which some values are wrong is looked at without these.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ...resources.hostlist import numbers
from ..queues import Tier
from ..toml_positions import Key
from .node_model import NodeModel
from .queue_model import JobCapModel, QueueModel, TierModel
from .site_model import SiteModel
from .tables import SettingsTable

Disagreement = tuple[Key, str]


def disagreements(site: SiteModel, written: Mapping[str, Any]) -> Iterator[Disagreement]:
    """The values that cannot be together, each with its key and a sentence.

    `written` is the content of the files, which may have more tables and values: those that are wrong by themselves.
    """
    nodes, queues, sources = (_names(written.get(name)) for name in ("nodes", "queues", "sources"))
    if "node" in written and nodes:
        yield ("node",), "there are types of nodes in [nodes] besides; say all of them there"
    for key, node in _node_types(site):
        yield from ((key, text) for text in _of_node(node))
        yield from (((*key, *below), text) for below, text in _of_hardware(node))
    yield from _one_default(written.get("queues"), queues)
    for name, queue in site.queues.items():
        yield from ((("queues", name, *below), text) for below, text in _of_queue(queue))
        for node_type in queue.node:
            if node_type not in nodes:
                text = f"there are no nodes {node_type!r} in [nodes]: {', '.join(nodes) or 'it has none'}"
                yield ("queues", name, "node"), text
    for key, source in site.named_sources():
        if source not in sources:
            text = f"there is no source {source!r} in [sources]: {', '.join(sources) or 'it has none'}"
            yield (*key, "source"), text
    yield from _forbidden(site)


def _names(table: Any) -> list[str]:
    return list(table) if isinstance(table, dict) else []


def _node_types(site: SiteModel) -> Iterator[tuple[Key, NodeModel]]:
    if site.node is not None:
        yield ("node",), site.node
    for name, node in site.nodes.items():
        yield ("nodes", name), node


# ---- nodes ---------------------------------------------------------------------------------------------------


def _of_node(node: NodeModel) -> Iterator[str]:
    cpus, threads = node.cpus, node.threads_per_core
    if cpus is not None and cpus % threads:
        yield f"has {cpus} CPUs, which are no whole cores of {threads} threads"
    if threads > 1 and cpus is None:
        yield "has threads_per_core and no cpus"
    if node.gpus.cpus and node.gpu_cpus:
        yield "says the CPUs near to its GPUs twice, in gpus and in gpu_cpus"
    for gpu in node.near_gpus:
        if gpu not in node.gpu_ids:
            yield f"has CPUs near to GPU {gpu}, which is not among its gpus"
    for what, text in (("blocked", node.blocked), *((f"GPU {gpu}", near) for gpu, near in node.near_gpus.items())):
        beyond = [cpu for cpu in numbers(text or "") if cpus is not None and cpu >= cpus]
        if beyond:
            yield f"has {cpus} CPUs, from 0 to {(cpus or 0) - 1}, and CPU {beyond[0]} for {what}"


def _of_hardware(node: NodeModel) -> Iterator[Disagreement]:
    gpus = node.gpus
    if gpus.cpus and len(gpus.cpus) != len(gpus.ids):
        yield ("gpus",), f"has {len(gpus.ids)} ids and {len(gpus.cpus)} lists of CPUs"
    if twice := _twice(gpus.ids):
        yield ("gpus",), f"has the id {twice} twice"
    if node.cpus is not None and set(numbers(node.blocked or "")) >= set(range(node.cpus)):
        yield ("blocked",), "blocks every CPU of the node"


def _twice(values: Iterable[str]) -> str:
    return next((value for value, times in Counter(values).items() if times > 1), "")


# ---- queues --------------------------------------------------------------------------------------------------


def _one_default(queues: Any, names: Iterable[str]) -> Iterator[Disagreement]:
    tables = {name: queues[name] for name in names if isinstance(queues[name], dict)}
    first, *others = [name for name, table in tables.items() if table.get("default") is True] or [""]
    for other in others:
        yield ("queues", other, "default"), f"there can be one default queue, and {first} is one already"


def _of_queue(queue: QueueModel) -> Iterator[Disagreement]:
    if _above(queue.min_nodes, queue.max_nodes):
        yield (), f"has min_nodes {queue.min_nodes} above max_nodes {queue.max_nodes}"
    if queue.max_time is not None and queue.max_wall_time_min is not None:
        yield (), "has max_time and max_wall_time_min, which are the same"
    longest = queue.max_time or queue.max_wall_time_min
    for name in ("min_nodes", "max_nodes"):
        if queue.tiers and getattr(queue, name):
            yield (), f"has tiers and {name}, which belongs in them"
    if queue.tiers and longest:
        yield (), "has tiers and a longest wall time, which belongs in them"
    if any(_above(queue.min_time, limit) for limit in (longest, *(tier.max_time for tier in queue.tiers))):
        yield (), "has a least wall time above the longest"
    if _above(queue.min_memory, queue.max_memory):
        yield (), "has min_memory above max_memory"
    if twice := _twice(queue.node):
        yield ("node",), f"has the type {twice!r} twice"
    for name, cap in (("jobs", queue.jobs), ("project_jobs", queue.project_jobs)):
        if text := _of_cap(cap):
            yield (name,), text
    yield from _of_tiers(queue.tiers, list(queue.to_tiers()))


def _above(low: int | None, high: int | None) -> bool:
    return low is not None and high is not None and low > high


def _of_cap(cap: JobCapModel | None) -> str:
    if cap is not None and _above(cap.running, cap.queued):
        return f"has {cap.running} running above {cap.queued} queued, which counts running ones, too"
    return ""


def _of_tiers(written: tuple[TierModel, ...], tiers: list[Tier]) -> Iterator[Disagreement]:
    """Tiers that hold nothing, that no job can reach, that overlap in part, or that leave a gap which is not said."""
    wrong = False
    for at, given in enumerate(written):
        if _above(given.min_nodes, given.max_nodes):
            wrong = True
            yield ("tiers", at), f"has min_nodes {given.min_nodes} above max_nodes {given.max_nodes}"
    if wrong:
        return
    for at, tier in enumerate(tiers):
        if other := next((other for other in tiers[:at] if _collide(other, tier)), None):
            yield ("tiers", at), f"is for {_nodes(tier)}, and there is a tier of {_nodes(other)}"
        elif other := next((other for other in tiers if other is not tier and _makes_needless(other, tier)), None):
            yield ("tiers", at), f"has no effect: jobs of {_nodes(tier)} run as long by the tier of {_nodes(other)}"
    if all(given.min_nodes is not None and given.max_nodes is not None for given in written):
        return  # whoever says both ends of each means the gap
    end = 0
    for at, tier in sorted(enumerate(tiers), key=lambda pair: pair[1].min_nodes):
        if 0 < end < tier.min_nodes - 1:
            text = f"begins at {tier.min_nodes} nodes, and no tier is for {end + 1} (say both ends of each tier)"
            yield ("tiers", at), text
        end = max(end, tier.max_nodes or tier.min_nodes)


def _collide(one: Tier, other: Tier) -> bool:
    """Whether both are for the same jobs, or for some of the same; in a tier within another, jobs may run longer."""
    low, high = sorted((tier.min_nodes, tier.max_nodes or math.inf) for tier in (one, other))
    return low == high or (low[0] < high[0] <= low[1] < high[1])


def _makes_needless(wide: Tier, narrow: Tier) -> bool:
    """Whether no job runs longer by the tier that lies within the other."""
    if narrow.node_hours is not None or wide.node_hours is not None:
        return False
    within = wide.min_nodes <= narrow.min_nodes and (narrow.max_nodes or math.inf) <= (wide.max_nodes or math.inf)
    return within and (narrow.max_time_min or math.inf) <= (wide.max_time_min or math.inf)


def _nodes(tier: Tier) -> str:
    return f"{tier.min_nodes} to {tier.max_nodes or 'all'} nodes"


# ---- what is asked of jobs -----------------------------------------------------------------------------------


def _forbidden(site: SiteModel) -> Iterator[Disagreement]:
    provided = {*site.given(), *site.parameters, *site.required}
    if both := [name for name in site.forbidden if name in provided]:
        yield ("forbidden",), f"{', '.join(both)} cannot be forbidden and given or required at once"
    tables: list[tuple[Key, SettingsTable]] = [*_node_types(site)]
    tables += [(("queues", name), queue) for name, queue in site.queues.items()]
    for key, table in tables:
        kinds = (
            {name: kind for name in table.node for kind in [site.nodes.get(name)] if kind}
            if isinstance(table, QueueModel)
            else {}
        )
        above = [("the site", site), *((f"its nodes {name}", kind) for name, kind in kinds.items())]
        for at, name in enumerate(table.forbidden):
            if name in table.required:
                yield (*key, "forbidden", at), f"{name} cannot be forbidden and required at once"
            for whose, other in above:
                if name in other.required:
                    yield (*key, "forbidden", at), f"{name} cannot be forbidden here: {whose} requires it"
        for at, name in enumerate(table.required):
            for whose, other in above:
                if name in other.forbidden:
                    yield (*key, "required", at), f"{name} cannot be required here: {whose} forbids it"
