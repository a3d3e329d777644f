"""`resources show`, `detect` and `fit`: the current allocation, which runs hold what, and what is idle."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...job_size import Resources
from ...system.id_ranges import format_ranges
from ..command import Command, Invocation
from ..flags import JSON
from ..job_flags import SHARE, job_flags
from ..job_from_flags import even_shape
from ..output import Column, Renderer, length

if TYPE_CHECKING:
    from ...resources import Holder, Node, NodeResources

_BAR = 12  # characters of a full bar
_ABOUT = (
    Column("platform", "manager"),
    Column("id", "job"),
    Column("cluster", "cluster"),
    Column("hosts", "nodes"),
    Column("time_left_s", "time left", length),
)
_NODES = (
    Column("hosts", "NODES", wraps=True),
    Column("count", "COUNT"),
    Column("cpus", "CPUS BUSY", wraps=True),
    Column("gpus", "GPUS BUSY", wraps=True),
    Column("memory", "MB BUSY"),
)
_DETECTED = (
    Column("hosts", "NODES", wraps=True),
    Column("count", "COUNT"),
    Column("cpus", "CPUS", wraps=True),
    Column("gpus", "GPUS", wraps=True),
    Column("memory", "MB"),
)
_HOLDERS = (
    Column("id", "RUN"),
    Column("pid", "PID"),
    Column("host", "ON"),
    Column("for_s", "FOR", length),
    Column("hosts", "NODES", wraps=True),
    Column("cpus", "CPUS", wraps=True),
    Column("gpus", "GPUS", wraps=True),
)


def _show(out: Renderer, invocation: Invocation) -> int:
    nodes = _nodes()
    pairs = list(zip(nodes.idle(), nodes.busy(), strict=True))
    holders = [_holder(holder) for holder in nodes.holders()]
    about = _about(nodes, [idle for idle, _ in pairs])
    if out.json:
        contents = [{"name": idle.name, "idle": _content(idle), "busy": _content(busy)} for idle, busy in pairs]
        out.record({**about, "nodes": contents, "holders": holders}, ())
        return 0
    out.record(about, _ABOUT)
    out.out.write("\n")
    out.table(_NODES, _alike(pairs))
    if holders:
        out.out.write("\n")
        out.table(_HOLDERS, [{**row, **_summary(row)} for row in holders])
    return 0


def _detect(out: Renderer, invocation: Invocation) -> int:
    from ...resources import NodeResources
    from ...sites import find

    allocation = NodeResources.discover(hardware=find(placing=False).hardware_of, shared=False).allocation
    nodes = allocation.nodes
    data = {
        "platform": allocation.platform,
        "id": allocation.id,
        "cluster": allocation.cluster,
        "end": allocation.end,
        "time_left_s": max(0.0, allocation.end - time.time()) if allocation.end else None,
        "hosts": _compressed(node.name for node in nodes),
    }
    if out.json:
        out.record({**data, "nodes": [{"name": node.name, **_content(node)} for node in nodes]}, ())
        return 0
    out.record(data, _ABOUT)
    out.out.write("\n")
    groups: dict[tuple[Any, ...], list[str]] = {}
    for node in nodes:
        groups.setdefault(node[1:], []).append(node.name)
    rows = [
        {
            "hosts": _compressed(names),
            "count": len(names),
            "memory": memory,
            "cpus": f"{len(cpus)}: {format_ranges(cpus)}" if real else f"{len(cpus)}, ids unknown",
            "gpus": f"{len(gpus)}: {','.join(gpus)}" if gpus else "0",
        }
        for (cpus, gpus, memory, real), names in groups.items()
    ]
    out.table(_DETECTED, rows)
    return 0


def _fit(out: Renderer, invocation: Invocation) -> int:
    values = invocation.values()
    nodes, share = _nodes(), values.get("share")
    rank = Resources(
        cpus_per_rank=values.get("cpus_per_task", 1),
        threads_per_core=values.get("threads_per_core", 1),
        gpus_per_rank=values.get("gpus_per_task", 0),
        memory_per_node=values.get("mem"),
    )
    if "ntasks" in values and "nodes" not in values and "ntasks_per_node" not in values:
        request = nodes.arrange(values["ntasks"], rank, share=share)
    else:
        numbers: dict[str, Any] = dict(even_shape(values))
        request = replace(rank, **numbers)
    nodes.check(request, share=share)
    number = nodes.fit(request, share=share)
    requested = {"num_nodes": request.num_nodes, "ranks_per_node": request.ranks_per_node, "share": share}
    out.answer(str(number), {"fit": number, **requested})
    return 0


def _nodes() -> NodeResources:
    from ...resources import NodeResources
    from ...sites import find

    return NodeResources.discover(hardware=find(placing=False).hardware_of)


def _about(resources: NodeResources, nodes: Sequence[Node]) -> dict[str, Any]:
    allocation = resources.allocation
    return {
        "platform": allocation.platform,
        "id": allocation.id,
        "cluster": allocation.cluster,
        "time_left_s": resources.time_left(),
        "hosts": _compressed(node.name for node in nodes),
    }


def _content(node: Node) -> dict[str, Any]:
    data = {"cpus": list(node.cpus), "gpus": list(node.gpus), "memory_mb": node.memory}
    return data if node.real_ids else {**data, "real_ids": False}


def _alike(pairs: Sequence[tuple[Node, Node]]) -> list[dict[str, Any]]:
    """One row for all nodes with the same numbers."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for idle, busy in pairs:
        numbers = [len(busy.cpus), len(idle.cpus), len(busy.gpus), len(idle.gpus), busy.memory or 0, idle.memory or 0]
        groups.setdefault(tuple(numbers), []).append(idle.name)
    return [
        {
            "hosts": _compressed(names),
            "count": len(names),
            "cpus": _bar(cpus, cpus + cpus_idle),
            "gpus": _bar(gpus, gpus + gpus_idle),
            "memory": f"{memory}/{memory + memory_idle}" if memory + memory_idle else "",
        }
        for (cpus, cpus_idle, gpus, gpus_idle, memory, memory_idle), names in groups.items()
    ]


def _bar(part: int, whole: int) -> str:
    """`████░░░░░░░░ 3/8`; empty for none of none."""
    if not whole:
        return ""
    full, empty = "█░" if "utf" in (sys.stdout.encoding or "").lower() else "#."
    filled = -(-part * _BAR // whole) if part < whole else _BAR
    return f"{full * filled}{empty * (_BAR - filled)} {part}/{whole}"


def _holder(holder: Holder) -> dict[str, Any]:
    host, _, rest = holder.processes[0].partition("/")
    return {
        "id": holder.id,
        "host": host,
        "pid": rest.split("/")[1] if rest.count("/") == 2 else "",
        "for_s": max(0.0, time.time() - holder.since) if holder.since else None,
        "nodes": [{"name": node.name, **_content(node)} for node in holder.nodes],
    }


def _summary(row: Mapping[str, Any]) -> dict[str, Any]:
    nodes = row["nodes"]
    if not nodes:
        return {"hosts": "waits"}
    cpus = {format_ranges(sorted(node["cpus"])) for node in nodes}
    gpus = {",".join(node["gpus"]) for node in nodes}
    return {
        "hosts": _compressed(node["name"] for node in nodes),
        "cpus": " / ".join(sorted(cpus)),
        "gpus": " / ".join(sorted(gpus)),
    }


def _compressed(names: Any) -> str:
    from ...resources.hostlist import compress

    return compress(names)


SHOW = Command("show", "Show what is busy and idle on each node, and which runs hold it.", _show, (JSON,))
DETECT = Command(
    "detect", "Show the nodes, cores and GPUs of this job, as the environment describes them.", _detect, (JSON,)
)
FIT = Command(
    "fit",
    "Show how many runs of a shape fit now, next to the present ones.",
    _fit,
    (
        *job_flags(
            "nodes", "ntasks", "ntasks_per_node", "cpus_per_task", "threads_per_core", "gpus_per_task", "mem", "json"
        ),
        SHARE,
    ),
    details="A run that could never fit is an error.",
    examples=("psij-run resources fit -n 4 -g 1",),
)
