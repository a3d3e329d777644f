"""The allocation of an HTCondor job, from the descriptions (ads) of the job and of its slot."""

from __future__ import annotations

import re
from collections.abc import Mapping

from psij_parsl.resources import gpus, host
from psij_parsl.resources.allocation import Allocation, counted
from psij_parsl.resources.variables import read_named

_NO_GPU = "10000"  # what HTCondor puts into the vendors' variables where a job has no GPU


def allocation(environ: Mapping[str, str]) -> Allocation | None:
    """The slot on this host; None outside a job.

    https://htcondor.readthedocs.io/en/latest/users-manual/env-of-job.html
    The wall time is counted from the start of this attempt, as HTCondor does.
    """
    if not {"_CONDOR_JOB_AD", "_CONDOR_MACHINE_AD"} <= environ.keys():
        return None
    job, slot = (_attributes(read_named(environ, name)) for name in ("_CONDOR_JOB_AD", "_CONDOR_MACHINE_AD"))
    cpus, memory = _number(slot, "Cpus") or _number(job, "CpusProvisioned") or 1, _number(slot, "Memory")
    gpu_ids = tuple(gpu_id for gpu_id in gpus.visible(environ) or () if gpu_id != _NO_GPU)
    nodes, siblings = counted([host.name()], [cpus], gpu_ids, [memory])
    began, limit = _number(job, "JobCurrentStartDate"), _number(job, "AllowedJobDuration")
    return Allocation(
        "htcondor",
        f"{job.get('ClusterId', '')}.{job.get('ProcId', '')}",
        nodes,
        end=float(began + limit) if began and limit else None,
        cluster=job.get("GlobalJobId", "").strip('"').partition("#")[0],
        siblings=siblings,
        attempt=job.get("NumJobStarts", ""),
        gpus_told=True,
    )


def _attributes(text: str) -> dict[str, str]:
    """The lines `Name = value` of an ad."""
    return dict(re.findall(r"^(\w+) = (.*)$", text, re.MULTILINE))


def _number(attributes: Mapping[str, str], name: str) -> int | None:
    text = attributes.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None
