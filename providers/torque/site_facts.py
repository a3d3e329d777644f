"""What Torque says of its nodes and queues: `pbsnodes -x`, `qstat -Q -f` and `qstat -B -f`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree.ElementTree import Element, fromstring

from psij_parsl.sites.generation.facts import Ask, NodeFacts, SiteFacts

from .._pbs_family.site_facts import in_mb, queue_facts
from .records import long_form


def site_facts(ask: Ask) -> SiteFacts:
    """Queues; nodes with their processors, as the server's file has them."""
    text = ask("pbsnodes", "-x")
    nodes = list(fromstring(text)) if text.strip() else []
    server = next(long_form(ask("qstat", "-B", "-f", optional=True)), {})
    queues = {queue["Queue"]: queue for queue in long_form(ask("qstat", "-Q", "-f"))}
    every = {_text(node, "name"): set(_text(node, "properties").split(",")) for node in nodes}
    members = {name: frozenset(_members(queue, every)) for name, queue in queues.items()}
    return SiteFacts(
        version=server.get("pbs_version", ""),
        nodes=[_node(node) for node in nodes],
        queues=queue_facts(queues, server, members),
    )


def _members(queue: Mapping[str, str], nodes: Mapping[str, set[str]]) -> list[str]:
    """The nodes that have the property which the queue gives to its jobs; all of them where it gives none."""
    needed = queue.get("resources_default.neednodes", "")
    return [name for name, properties in nodes.items() if not needed or needed in properties]


def _text(node: Element, name: str) -> str:
    return (node.findtext(name) or "").strip()


def _node(node: Element) -> NodeFacts:
    status = dict(re.findall(r"(?:^|,)(\w+)=([^,]*)", _text(node, "status")))
    processors, gpus = _text(node, "np"), _text(node, "gpus")
    return NodeFacts(
        name=_text(node, "name"),
        cpus=int(processors) if processors.isdigit() and int(processors) else None,
        memory=in_mb(status.get("physmem", "")),
        gpus=int(gpus) if gpus.isdigit() else 0,
        features=frozenset(filter(None, _text(node, "properties").split(","))),
    )
