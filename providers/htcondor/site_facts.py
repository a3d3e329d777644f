"""What HTCondor says of its machines. https://htcondor.readthedocs.io/en/latest/man-pages/condor_status.html"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from psij_parsl.sites.generation.facts import Ask, NodeFacts, SiteFacts

from .template import CONCURRENCY_LIMIT_DEFAULT

Ad = Mapping[str, Any]
_ATTRIBUTES = (
    *("Machine", "SlotType", "TotalSlotCpus", "TotalSlotMemory", "TotalSlotGPUs", "TotalSlots", "OpSysAndVer"),
    *("GPUs_DeviceName", "CUDADeviceName", "Arch", "CondorVersion"),
)
_NO_QUEUES = "HTCondor has no queues: a job says what it needs, and how long is for the pool's policy to say"
_SLOTS = "a job gets one slot of a machine: what is said of nodes is what its largest slot has"


def site_facts(ask: Ask) -> SiteFacts:
    """Machines as jobs can have them: by the largest slot of each."""
    text = ask("condor_status", "-json", "-attributes", ",".join(_ATTRIBUTES))
    by_machine: dict[str, list[Ad]] = {}
    for ad in json.loads(text or "[]"):
        if ad.get("SlotType") != "Dynamic":  # a part of another
            by_machine.setdefault(ad["Machine"], []).append(ad)
    version: list[str] = next((ad.get("CondorVersion", "").split() for ads in by_machine.values() for ad in ads), [])
    said = ask("condor_config_val", "-negotiator", "CONCURRENCY_LIMIT_DEFAULT", optional=True).strip()
    other_default = said.isdecimal() and int(said) not in (0, CONCURRENCY_LIMIT_DEFAULT)
    return SiteFacts(
        version=version[1] if len(version) > 1 else "",
        nodes=[_node(name, ads) for name, ads in by_machine.items()],
        parameters={"concurrency_limit_default": int(said)} if other_default else {},
        remarks=(_NO_QUEUES, _SLOTS),
    )


def _node(name: str, ads: Sequence[Ad]) -> NodeFacts:
    largest = max(ads, key=lambda ad: (_number(ad.get("TotalSlotGPUs")), _number(ad.get("TotalSlotCpus"))))
    model = str(largest.get("GPUs_DeviceName") or largest.get("CUDADeviceName") or "")
    return NodeFacts(
        name=name,
        cpus=_number(largest.get("TotalSlotCpus")) or None,
        memory=_number(largest.get("TotalSlotMemory")) or None,
        gpus=_number(largest.get("TotalSlotGPUs")),
        gpu_model=model,
        features=frozenset(str(largest[key]) for key in ("Arch", "OpSysAndVer") if largest.get(key)),
    )


def _number(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0
