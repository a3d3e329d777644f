"""Queues as `qstat -Qf` shows them, for a first site file. Names of attributes are flat: `resources_max.walltime`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.templates.parameters import memory
from psij_parsl.sites.generation.facts import QueueFacts, TierFacts, least

Attributes = Mapping[str, str]
_ROUTE = "Route"
_USER, _PROJECT, _ALL = "u:PBS_GENERIC", "p:PBS_GENERIC", "o:PBS_ALL"  # whose a limit is
_OLDER = {"run": "max_user_run", "queued": "max_user_queuable"}  # as Torque names a user's limits
_AT_A_TIME = ("max_run", "max_queued")  # begin the names of limits
_NAMED = re.compile(r"\[\s*[ugp]:(?!PBS_GENERIC\b)")  # a limit of one user, group or project
_OF_SOME = "not strict, for some users, groups or projects have limits of their own"
_GENERIC = (_USER, "g:PBS_GENERIC", _PROJECT)  # of each who has none of their own


def queue_facts(
    queues: Mapping[str, Attributes], server: Attributes, nodes: Mapping[str, frozenset[str]]
) -> list[QueueFacts]:
    """The queues that a job can name; `nodes` are those of each queue. A routing queue has a tier for each destination."""
    found = {name: _queue(name, said, server, nodes.get(name)) for name, said in queues.items()}
    for name, said in queues.items():
        if said.get("queue_type", "").startswith(_ROUTE):
            ends = [found[end] for end in _destinations(said) if end in found]
            found[name] = _routing(found[name], ends)
    return [found[name] for name, said in queues.items() if not _only_by_routing(said)]


def in_seconds(clock: str) -> int | None:
    """`01:30:00`, `1:00:00:00` with days, or a number of seconds; None for what is none of these."""
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts) or len(parts) > 4:
        return None
    return sum(int(part) * factor for part, factor in zip(reversed(parts), (1, 60, 3600, 86400), strict=False))


def in_mb(size: str) -> int | None:
    """`263742572kb` or `4gb` in MB, rounded down; None for what is no size."""
    match = re.fullmatch(r"(\d+)(b|w|kb|kw)", size, re.IGNORECASE)
    if match:
        factor = 1024 if match[2].lower().startswith("k") else 1
        return int(match[1]) * factor // 2**20 or None
    try:
        return memory(size) if size else None
    except (InvalidRequest, ValueError):
        return None


def _queue(name: str, said: Attributes, server: Attributes, nodes: frozenset[str] | None) -> QueueFacts:
    fewest, shortest = _number(said.get("resources_min.nodect")), in_seconds(said.get("resources_min.walltime", ""))
    longest = in_seconds(_largest(said, server, "walltime"))
    at_a_time = [
        least(*(limit for one in (said, server) for limit in _at_a_time(one, resource)))
        for resource in ("nodect", "ncpus", "ngpus")
    ]
    nodes_at_a_time, cores_at_a_time, gpus_at_a_time = at_a_time
    running, queued = (least(*(_of_user(one, kind) for one in (said, server))) for kind in ("run", "queued"))
    shut = _shut(said, server)
    of_some = any(
        _NAMED.search(value) for one in (said, server) for key, value in one.items() if key.startswith(_AT_A_TIME)
    )
    return QueueFacts(
        name=name,
        default=name == server.get("default_queue"),
        open=said.get("enabled") == "True" and said.get("started") == "True",
        auto=not shut,
        nodes=nodes,
        strict=not of_some,
        min_nodes=fewest,
        max_nodes=least(
            _number(_largest(said, server, "nodect")) or None, len(nodes) if nodes else None, nodes_at_a_time or None
        ),
        min_time_min=-(-shortest // 60) if shortest else None,
        max_time_min=longest // 60 if longest else None,
        max_cores=least(_number(_largest(said, server, "ncpus")) or None, cores_at_a_time or None),
        max_gpus=least(
            _number(_largest(said, server, "ngpus")), None if of_some and not gpus_at_a_time else gpus_at_a_time
        ),
        array_max=least(_number(said.get("max_array_size")), _number(server.get("max_array_size"))),
        running=running,
        queued=queued,
        project_running=least(*(_limit(one, "max_run", _PROJECT) for one in (said, server))),
        project_queued=least(*(_limit(one, "max_queued", _PROJECT) for one in (said, server))),
        remarks=(*_rules(said), *([shut] if shut else []), *([_OF_SOME] if of_some else [])),
    )


def _routing(queue: QueueFacts, ends: Sequence[QueueFacts]) -> QueueFacts:
    """A queue that hands jobs on, the first destination that takes a job being its own."""
    tiers = tuple(
        TierFacts(end.min_nodes or 1, end.max_nodes, end.max_time_min, end.name)
        for end in sorted(ends, key=lambda one: (one.max_nodes or 10**9, one.min_nodes or 1))
    )
    nodes = [end.nodes for end in ends]
    known = [some for some in nodes if some is not None]
    whole = frozenset[str]().union(*known) if known and len(known) == len(nodes) else None
    if not tiers:
        return queue
    queue = replace(queue, auto=queue.auto and any(end.auto and end.open for end in ends))
    if _overlap(tiers):  # which one a job comes to is the destinations' to say, so that all of them are one limit
        most = None if any(tier.max_nodes is None for tier in tiers) else max(tier.max_nodes or 0 for tier in tiers)
        times = [tier.max_time_min for tier in tiers]
        longest = None if None in times else max(time or 0 for time in times)
        fewest = min(tier.min_nodes for tier in tiers)
        remark = f"hands jobs on to {', '.join(tier.leads_to for tier in tiers)}, whose node counts overlap"
        remarks = (*queue.remarks, remark)
        return replace(queue, nodes=whole, min_nodes=fewest, max_nodes=most, max_time_min=longest, remarks=remarks)
    return replace(queue, nodes=whole, tiers=tiers, array_max=queue.array_max)


def _overlap(tiers: Sequence[TierFacts]) -> bool:
    by_size = sorted(tiers, key=lambda tier: tier.min_nodes)
    return any(low.max_nodes is None or low.max_nodes >= high.min_nodes for low, high in pairwise(by_size))


def _destinations(said: Attributes) -> list[str]:
    return [name.strip().partition("@")[0] for name in said.get("route_destinations", "").split(",") if name.strip()]


def _only_by_routing(said: Attributes) -> bool:
    return "True" in (said.get("from_route_only"), said.get("route_only"))


def _rules(said: Attributes) -> Iterator[str]:
    for key, what in (("user", "users"), ("group", "groups"), ("host", "hosts")):
        if said.get(f"acl_{key}_enable") == "True":
            listed = said.get(f"acl_{key}s", "") or said.get(f"acl_{key}", "")
            names = listed.split(",")
            yield f"only for {what} {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"


def _largest(said: Attributes, server: Attributes, resource: str) -> str:
    """The most of a resource that a job may ask for; the server's limit is for queues without one."""
    key = f"resources_max.{resource}"
    return said.get(key) or server.get(key, "")


def _at_a_time(said: Attributes, resource: str) -> Iterator[int | None]:
    """What a user, a group, a project and all of them may have of a resource at a time: no job can be larger."""
    for kind in ("max_run_res", "max_queued_res"):
        for whose in (*_GENERIC, _ALL):
            yield _limit(said, f"{kind}.{resource}", whose)
    for key in ("max_user_res", "max_group_res"):
        yield _number(said.get(f"{key}.{resource}"))


def _shut(said: Attributes, server: Attributes) -> str:
    """Why the jobs of most users, or of all, never run: a limit of 0; '' if there is none."""
    resources, both = ("nodect", "ncpus"), (said, server)
    keys = (*_AT_A_TIME, *(f"{kind}_res.{resource}" for kind in _AT_A_TIME for resource in resources))
    zero = {whose for one in both for key in keys for whose in (*_GENERIC, _ALL) if _limit(one, key, whose) == 0}
    of_all = [_number(_largest(said, server, resource)) for resource in resources]
    of_all += [_number(one.get(key)) for one in both for key in _OLDER.values()]
    if _ALL in zero or 0 in of_all:
        return "no job runs there, by a limit of 0"
    return "only for those who have a limit of their own: that of all others is 0" if zero else ""


def _of_user(said: Attributes, kind: str) -> int | None:
    """How many jobs a user may have running, or queued."""
    return least(_limit(said, f"max_{kind}", _USER), _number(said.get(_OLDER[kind])))


def _limit(said: Attributes, key: str, whose: str) -> int | None:
    """One of the limits in `[u:PBS_GENERIC=10],[o:PBS_ALL=100]`."""
    match = re.search(rf"\[{whose}=(\d+)\]", said.get(key, "").replace(" ", ""))
    return int(match[1]) if match else None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
