"""What OAR says of its resources. https://oar.imag.fr/docs/latest/user/commands/oarnodes.html"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from psij_parsl.sites.generation.facts import Ask, NodeFacts, SiteFacts, Suggestion

Resource = Mapping[str, Any]
_MEMORY = ("memnode", "mem_node", "memory")  # names that sites give to a node's memory in MB
_MODELS = ("gpu_model", "gpumodel", "gputype")
_FEATURES = ("cluster", "cputype", "cpuarch")
_NO_QUEUES = (
    "OAR tells its queues to its administrators alone (oarnotify -l): add each as [queues.NAME], with its limits"
)
#: How MPI libraries get from node to node: https://oar.imag.fr/docs/latest/user/usecases.html
_BY_OARSH = {
    "OMPI_MCA_plm_rsh_agent": "oarsh",
    "PRTE_MCA_plm_ssh_agent": "oarsh",
    "HYDRA_LAUNCHER": "rsh",
    "HYDRA_LAUNCHER_EXEC": "oarsh",
}


def site_facts(ask: Ask) -> SiteFacts:
    """Nodes, by their resources, and how a core, a GPU and memory are called here."""
    resources = [one for one in json.loads(ask("oarnodes", "-J")).values() if one.get("type", "default") == "default"]
    by_node: dict[str, list[Resource]] = {}
    for one in resources:
        by_node.setdefault(str(one.get("network_address") or one.get("host")), []).append(one)
    parameters = {}
    if any(_known(one.get("core")) for one in resources):
        parameters["core_property"] = "core"
    if found := [name for name in _MEMORY if any(_number(one.get(name)) for one in resources)]:
        parameters["memory_property"] = found[0]
    return SiteFacts(
        nodes=[_node(name, group) for name, group in by_node.items()],
        parameters=parameters,
        environment=_BY_OARSH,
        remarks=(_NO_QUEUES,),
        suggestions=(Suggestion("defaults.queue", "default", "where jobs go that name no queue"),),
    )


def _node(name: str, resources: Sequence[Resource]) -> NodeFacts:
    """A node; each of its resources has the ids of its CPUs, or is one."""
    first = resources[0]
    sets = [str(one.get("cpuset") or "").replace("+", ",").split(",") for one in resources]
    ids = {cpu for group in sets for cpu in group if cpu.isdigit()}
    cores, threads = _number(first.get("core_count")), _number(first.get("thread_count"))
    gpus = {str(one["gpu"]) for one in resources if _known(one.get("gpu"))}
    each = max(map(len, sets))
    per_core = threads // cores if cores and threads and threads % cores == 0 else each if len(ids) % each == 0 else 1
    return NodeFacts(
        name=name,
        cpus=threads or len(ids) or len(resources),
        threads_per_core=per_core,
        memory=next((size for key in _MEMORY if (size := _number(first.get(key)))), None),
        gpus=len(gpus) or _number(first.get("gpu_count")) or 0,
        gpu_model=next((str(first[key]) for key in _MODELS if _known(first.get(key))), ""),
        features=frozenset(f"{key}='{first[key]}'" for key in _FEATURES if _known(first.get(key))),
    )


def _known(value: Any) -> bool:
    return value not in (None, "", "0", 0, "none", "N/A")


def _number(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isdigit() and int(text) else None
