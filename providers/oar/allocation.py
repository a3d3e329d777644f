"""The allocation of an OAR job, from its environment variables and the files that they name."""

from __future__ import annotations

import re
from collections.abc import Mapping

from psij_parsl.resources.allocation import Allocation
from psij_parsl.resources.node import Node
from psij_parsl.resources.variables import nodes_of_file, read_named


def allocation(environ: Mapping[str, str]) -> Allocation | None:
    """OAR: OAR_NODEFILE has a line per resource, which is a core on most machines.

    OAR_RESOURCE_PROPERTIES_FILE names each core's number on its host, as `cpuset = '3'`.
    https://oar.imag.fr/docs/latest/user/mechanisms.html
    """
    if "OAR_JOB_ID" not in environ or "OAR_NODEFILE" not in environ:
        return None
    nodes, siblings = nodes_of_file(environ, "OAR_NODEFILE")
    if environ.get("OAR_RESOURCE_PROPERTIES_FILE"):
        nodes = _with_cpusets(nodes, read_named(environ, "OAR_RESOURCE_PROPERTIES_FILE"))
    return Allocation("oar", environ["OAR_JOB_ID"], nodes, siblings=siblings)


def _with_cpusets(nodes: tuple[Node, ...], properties: str) -> tuple[Node, ...]:
    """The nodes with their CPU ids from the properties file. A node with too few there stays as it is."""
    cpus_of_node: dict[str, set[int]] = {}
    for line in properties.splitlines():
        resource = dict(re.findall(r"(\w+)\s*=\s*'([^']*)'", line))
        name = resource.get("network_address") or resource.get("host") or ""
        if re.fullmatch(r"\d+(,\d+)*", resource.get("cpuset", "")):
            cpus_of_node.setdefault(name, set()).update(map(int, resource["cpuset"].split(",")))
    return tuple(
        node._replace(cpus=tuple(sorted(cpus_of_node[node.name])), real_ids=True)
        if len(cpus_of_node.get(node.name, ())) >= len(node.cpus)
        else node
        for node in nodes
    )
