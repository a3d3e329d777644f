"""`resources show`, `detect` and `fit`: the allocation that one stands in, who has what, and what is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from ...job import Resources
from ...platforms.templates.validators import positive_int
from ..arguments import JsonRenderer
from ..job_from_flags import read, shape
from ..options import FLAGS, Chosen, Flag, job_flags
from ..output import Column, Renderer, length

if TYPE_CHECKING:
    from ...resources import Hardware, Holder, Node, NodeResources

_BAR = 12  # characters of a full bar
_NAMES = ("nodes", "ntasks", "ntasks_per_node", "cpus_per_task", "threads_per_core", "gpus_per_task", "mem", "json")
_FIT: tuple[Flag, ...] = (
    *(flag for flag in FLAGS if flag.name in _NAMES),
    Flag("share", ("--share",), "N", "1/N of each node, so that N such runs fit; 1: whole nodes.", positive_int),
)
_ABOUT = (
    Column("platform", "manager"),
    Column("id", "job"),
    Column("cluster", "cluster"),
    Column("hosts", "nodes"),
    Column("time_left_s", "time left", length),
)
_NODES = (
    Column("hosts", "NODES"),
    Column("count", "COUNT"),
    Column("cpus", "CPUS BUSY"),
    Column("gpus", "GPUS BUSY"),
    Column("memory", "MB BUSY"),
)
_DETECTED = (
    Column("hosts", "NODES"),
    Column("count", "COUNT"),
    Column("cpus", "CPUS"),
    Column("gpus", "GPUS"),
    Column("memory", "MB"),
)
_HOLDERS = (
    Column("id", "RUN"),
    Column("pid", "PID"),
    Column("host", "ON"),
    Column("for_s", "FOR", length),
    Column("hosts", "NODES"),
    Column("cpus", "CPUS"),
    Column("gpus", "GPUS"),
)


def show(ctx: typer.Context, json: JsonRenderer = False) -> int:
    """Show what is busy and idle on each node, and who has it."""
    out: Renderer = ctx.obj
    nodes = _nodes()
    pairs = list(zip(nodes.idle(), nodes.busy(), strict=True))
    held = [_holder(each) for each in nodes.holders()]
    about = _about(nodes, [idle for idle, _ in pairs])
    if out.json:
        each = [{"name": idle.name, "idle": _content(idle), "busy": _content(busy)} for idle, busy in pairs]
        out.record({**about, "nodes": each, "holders": held}, ())
        return 0
    out.record(about, _ABOUT)
    out.out.write("\n")
    out.table(_NODES, _alike(pairs))
    if held:
        out.out.write("\n")
        out.table(_HOLDERS, [{**row, **_summary(row)} for row in held])
    return 0


def detect(ctx: typer.Context, json: JsonRenderer = False) -> int:
    """Show what the environment says of this job's nodes, before anything is taken of them."""
    out: Renderer = ctx.obj
    from ...resources.discover import discover

    allocation = discover(hardware=_hardware())
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
            "cpus": f"{len(cpus)}: {_packed(cpus)}" if real else f"{len(cpus)}, not told which",
            "gpus": f"{len(gpus)}: {','.join(gpus)}" if gpus else "0",
        }
        for (cpus, gpus, memory, real), names in groups.items()
    ]
    out.table(_DETECTED, rows)
    return 0


def fit(ctx: typer.Context, chosen: Chosen) -> int:
    """Tell how many runs of a shape fit now, beside those that are there.

    What could never fit is an error that says why.
    """
    out: Renderer = ctx.obj
    said = {flag.name: read(flag, chosen[flag.name]) for flag in _FIT if flag.name in chosen}
    nodes, share = _nodes(), said.get("share")
    each = Resources(
        cpus_per_rank=said.get("cpus_per_task", 1),
        threads_per_core=said.get("threads_per_core", 1),
        gpus_per_rank=said.get("gpus_per_task", 0),
        memory_per_node=said.get("mem"),
    )
    if "ntasks" in said and "nodes" not in said and "ntasks_per_node" not in said:
        request = nodes.arrange(said["ntasks"], each, share=share)
    else:
        request = replace(each, **shape(said))
    nodes.check(request, share=share)
    number = nodes.fit(request, share=share)
    wanted = {"num_nodes": request.num_nodes, "ranks_per_node": request.ranks_per_node, "share": share}
    out.answer(str(number), {"fit": number, **wanted})
    return 0


fit = job_flags(fit, _FIT)


def _nodes() -> NodeResources:
    from ...resources import NodeResources

    return NodeResources.discover(hardware=_hardware())


def _hardware() -> Hardware | None:
    """What this host's site says of its nodes, if it says anything."""
    from ...sites import find

    return find(placing=False).hardware


def _about(nodes: NodeResources, present: Sequence[Node]) -> dict[str, Any]:
    allocation = nodes.allocation
    return {
        "platform": allocation.platform,
        "id": allocation.id,
        "cluster": allocation.cluster,
        "time_left_s": nodes.time_left(),
        "hosts": _compressed(node.name for node in present),
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
    """`████░░░░░░░░ 3/8`; nothing of nothing is empty."""
    if not whole:
        return ""
    full, empty = "█░" if "utf" in (sys.stdout.encoding or "").lower() else "#."
    filled = -(-part * _BAR // whole) if part < whole else _BAR
    return f"{full * filled}{empty * (_BAR - filled)} {part}/{whole}"


def _holder(each: Holder) -> dict[str, Any]:
    host, _, rest = each.processes[0].partition("/")
    return {
        "id": each.id,
        "host": host,
        "pid": rest.split("/")[1] if rest.count("/") == 2 else "",
        "for_s": time.time() - each.since if each.since else None,
        "nodes": [{"name": node.name, **_content(node)} for node in each.nodes],
    }


def _summary(row: Mapping[str, Any]) -> dict[str, Any]:
    nodes = row["nodes"]
    if not nodes:
        return {"hosts": "waits"}
    cpus = {_packed(sorted(node["cpus"])) for node in nodes}
    gpus = {",".join(node["gpus"]) for node in nodes}
    return {
        "hosts": _compressed(node["name"] for node in nodes),
        "cpus": " / ".join(sorted(cpus)),
        "gpus": " / ".join(sorted(gpus)),
    }


def _packed(cpus: Sequence[int]) -> str:
    from ...resources.ledger import packed

    return packed(cpus)


def _compressed(names: Any) -> str:
    from ...resources.hostlist import compress

    return compress(names)
