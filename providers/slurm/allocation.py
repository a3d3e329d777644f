"""The allocation of a Slurm job, from its environment variables.

https://slurm.schedmd.com/sbatch.html#SECTION_OUTPUT-ENVIRONMENT-VARIABLES
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from psij_parsl.errors import AllocationError
from psij_parsl.resources import gpus
from psij_parsl.resources.allocation import Allocation, counted
from psij_parsl.resources.hostlist import counts, expand

#: Variables with the ids of this node's GPUs; the first that is set counts.
_GPU_IDS = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS")
#: Variables with the number of GPUs of each node, for nodes (or login nodes, under salloc) that have no ids.
_GPU_COUNTS = ("SLURM_GPUS_ON_NODE", "SLURM_GPUS_PER_NODE")


def allocation(environ: Mapping[str, str]) -> Allocation | None:
    """The job's nodes and CPUs; None outside a job. Slurm gives the end time since 23.02 only.

    The GPU ids are this node's, and assumed to be the same on the others: no variable has those. Raises
    `AllocationError` when the variables contradict each other.
    """
    job_id = environ.get("SLURM_JOB_ID")
    if not job_id or "SLURM_JOB_NODELIST" not in environ:
        return None
    names = expand(environ["SLURM_JOB_NODELIST"])
    cpus = counts(environ.get("SLURM_JOB_CPUS_PER_NODE", f"1(x{len(names)})"))
    if len(cpus) != len(names):
        raise AllocationError(
            f"Slurm names {len(names)} nodes and the CPUs of {len(cpus)}:"
            f" {environ['SLURM_JOB_NODELIST']} and {environ['SLURM_JOB_CPUS_PER_NODE']}",
            hint="after a change of the job's size, source the slurm_job_…_resize.sh that scontrol wrote",
        )
    nodes, siblings = counted(names, cpus, _gpus(environ), _memory(environ, cpus))
    end = environ.get("SLURM_JOB_END_TIME", "")
    return Allocation(
        "slurm",
        job_id,
        nodes,
        end=float(end) if end.isdigit() else None,
        cluster=environ.get("SLURM_CLUSTER_NAME", ""),
        siblings=siblings,
        attempt=environ.get("SLURM_RESTART_COUNT", ""),
        gpus_told=True,
        queue=environ.get("SLURM_JOB_PARTITION", ""),
    )


def _gpus(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The GPU ids as the vendor's variable (CUDA_VISIBLE_DEVICES and the like) takes them.

    Where Slurm confines a job to its devices, these are numbered from 0 again, and the vendor's variable has the
    right numbers. Inside a run that was given a part of the GPUs, that variable has fewer ids than Slurm's list;
    then Slurm's list counts.
    """
    visible = gpus.visible(environ) or ()
    for name in _GPU_IDS:
        if listed := environ.get(name):
            gpu_ids = tuple(gpu_id for part in listed.split(",") for gpu_id in _ids(part))
            return visible if len(visible) == len(gpu_ids) else gpu_ids
    for name in _GPU_COUNTS:
        if match := re.fullmatch(r"(?:.*:)?(\d+)(?:\(.*\))?", environ.get(name, "")):
            number = int(match[1])
            return visible if len(visible) == number else tuple(map(str, range(number)))
    return visible


def _ids(part: str) -> tuple[str, ...]:
    return expand(f"[{part}]") if re.fullmatch(r"\d+-\d+", part) else (part,)


def _memory(environ: Mapping[str, str], cpus: tuple[int, ...]) -> list[int | None]:
    """MB on each node; [] where Slurm gives no number. Its 0 means all memory of the node."""
    per_node, per_cpu = environ.get("SLURM_MEM_PER_NODE", ""), environ.get("SLURM_MEM_PER_CPU", "")
    if per_node.isdigit() and int(per_node):
        return [int(per_node)]
    if per_cpu.isdigit() and int(per_cpu):
        return [int(per_cpu) * count for count in cpus]
    return []
