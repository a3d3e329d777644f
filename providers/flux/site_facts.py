"""What Flux says of its resources and queues. https://flux-framework.readthedocs.io/projects/flux-rfc/en/latest/spec_20.html"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from psij_parsl.resources.hostlist import expand, numbers
from psij_parsl.sites.generation.facts import Ask, NodeFacts, QueueFacts, SiteFacts

from .records import QUEUE_COLUMNS, read_queue

_MEMORY = "Flux does not count memory: add it to each type of nodes, for --mem is checked against it"


def site_facts(ask: Ask) -> SiteFacts:
    """Queues with the nodes that have their properties; cores and GPUs of each rank."""
    nodes = list(_nodes(json.loads(ask("flux", "resource", "R"))))
    columns = "|".join(f"{{{name}}}" for name in QUEUE_COLUMNS)
    lines = ask("flux", "queue", "list", "-n", "-o", columns).splitlines()
    config = json.loads(ask("flux", "config", "get", optional=True) or "{}")
    tables = config.get("queues", {})
    needed = {name: set(table.get("requires", ())) for name, table in tables.items()}
    general = _job_size(config)
    sizes = {name: {**general, **_job_size(table)} for name, table in tables.items()}
    found = [queue for line in lines if line.strip() and (queue := read_queue(line)) is not None]
    return SiteFacts(
        nodes=nodes,
        feature_parameter="requires",
        queues=[
            QueueFacts(
                name=queue.name,
                default=queue.default,
                open=queue.up,
                strict=True,
                nodes=(
                    own := frozenset(node.name for node in nodes if needed.get(queue.name, set()) <= node.features)
                ),
                min_nodes=queue.min_nodes,
                max_nodes=min(queue.max_nodes or len(own), len(own)) or None,
                max_time_min=queue.minutes,
                max_cores=sizes.get(queue.name, general).get("ncores"),
                max_gpus=sizes.get(queue.name, general).get("ngpus"),
            )
            for queue in found
        ],
        remarks=(_MEMORY,),
    )


def _job_size(table: Mapping[str, Any]) -> dict[str, int | None]:
    """The limits that the instance or a queue sets to the size of a job; -1 is none."""
    limits = table.get("policy", {}).get("limits", {}).get("job-size", {}).get("max", {})
    return {name: limit if limit >= 0 else None for name, limit in limits.items()}


def _nodes(document: Mapping[str, Any]) -> Iterator[NodeFacts]:
    execution = document["execution"]
    names = [name for part in execution.get("nodelist", ()) for name in expand(part)]
    ranks = sorted(rank for entry in execution["R_lite"] for rank in numbers(str(entry["rank"])))
    name_of = dict(zip(ranks, names, strict=True))
    features: dict[int, set[str]] = {}
    for feature, text in execution.get("properties", {}).items():
        for rank in numbers(text):
            features.setdefault(rank, set()).add(feature)
    for entry in execution["R_lite"]:
        children = entry["children"]
        one = NodeFacts(
            name="",
            cpus=len(numbers(str(children.get("core", "")))) or None,
            gpus=len(numbers(str(children.get("gpu", "")))),
        )
        for rank in numbers(str(entry["rank"])):
            yield replace(one, name=name_of[rank], features=frozenset(features.get(rank, ())))
