"""What PBS says of its nodes and queues: `pbsnodes`, `qstat -Qf` and `qstat -Bf`, all as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from psij_parsl.sites.generation.facts import Ask, NodeFacts, SiteFacts

from .._pbs_family.site_facts import Attributes, in_mb, queue_facts
from .records import queues, servers

_JSON = ("-F", "json")
_GROUP = "Qlist"  # the resource by which sites commonly give nodes to queues
_KNOWN = frozenset(
    ("arch", "host", "vnode", "mem", "ncpus", "ngpus", "vmem", "naccelerators", "hpmem", "accelerator_memory")
)


def site_facts(ask: Ask) -> SiteFacts:
    """Execution and routing queues; nodes by their host, with what jobs can ask for."""
    of_nodes = json.loads(ask("pbsnodes", "-a", *_JSON), strict=False)
    of_queues = {name: _flat(said) for name, said in queues(ask("qstat", "-Qf", *_JSON))}
    server = next((_flat(said) for said in servers(ask("qstat", "-Bf", *_JSON, optional=True) or "{}")), {})
    hosts: dict[str, list[Attributes]] = {}
    for name, said in of_nodes.get("nodes", {}).items():
        flat = _flat(said)
        hosts.setdefault(flat.get("resources_available.host", name), []).append(flat)
    members = {name: frozenset(_members(name, said, hosts)) for name, said in of_queues.items()}
    return SiteFacts(
        version=of_nodes.get("pbs_version", ""),
        nodes=[_node(name, vnodes) for name, vnodes in hosts.items()],
        queues=queue_facts(of_queues, server, members),
    )


def _flat(said: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in said.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = str(value)
    return flat


def _members(queue: str, said: Attributes, hosts: Mapping[str, list[Attributes]]) -> list[str]:
    """The hosts of a queue: those that name it, or have its group; else all that belong to no queue."""
    own = [name for name, vnodes in hosts.items() if any(one.get("queue") == queue for one in vnodes)]
    if own:
        return own
    group = said.get(f"default_chunk.{_GROUP}", "")
    free = [name for name, vnodes in hosts.items() if not any("queue" in one for one in vnodes)]
    if not group:
        return free
    lists = {name: ",".join(one.get(f"resources_available.{_GROUP}", "") for one in hosts[name]) for name in free}
    return [name for name in free if group in re.split(r"[,\s\"]+", lists[name])]


def _node(name: str, vnodes: list[Attributes]) -> NodeFacts:
    """A host; its parts (vnodes) add up."""

    def total(resource: str) -> int:
        texts = [one.get(f"resources_available.{resource}", "") for one in vnodes]
        return sum(int(text) for text in texts if text.isdigit())

    sizes = [in_mb(one.get("resources_available.mem", "")) or 0 for one in vnodes]
    model = next(
        (value for key in ("gpu_model", "gputype", "gpu_type") if (value := vnodes[0].get(_available(key)))), ""
    )
    return NodeFacts(
        name=name,
        cpus=total("ncpus") or None,
        memory=sum(sizes) or None,
        gpus=total("ngpus") or total("naccelerators"),
        gpu_model=model,
        features=frozenset(_features(vnodes[0])),
    )


def _available(name: str) -> str:
    return f"resources_available.{name}"


def _features(said: Attributes) -> list[str]:
    """What a job can say of its chunks to get such a node, as `name=value`."""
    start = _available("")
    own = {key.removeprefix(start): value for key, value in said.items() if key.startswith(start)}
    return [f"{key}={value}" for key, value in own.items() if key not in _KNOWN and len(value) <= 40]
