"""The allocation of a Grid Engine job, from its environment variables."""

from __future__ import annotations

from collections.abc import Mapping

from psij_parsl.resources import gpus, host
from psij_parsl.resources.allocation import Allocation, counted
from psij_parsl.resources.hostlist import pe_hostfile
from psij_parsl.resources.variables import number, read_named


def allocation(environ: Mapping[str, str]) -> Allocation | None:
    """Grid Engine: PE_HOSTFILE in a parallel environment, else NSLOTS on this host; GPUs from SGE_HGR_gpu.

    https://gridscheduler.sourceforge.net/htmlman/htmlman1/qsub.html
    """
    if "JOB_ID" not in environ or "SGE_ROOT" not in environ:
        return None
    job_id, task = environ["JOB_ID"], environ.get("SGE_TASK_ID", "undefined")
    visible = gpus.visible(environ)
    gpu_ids = tuple(environ.get("SGE_HGR_gpu", "").split()) if visible is None else visible
    if environ.get("PE_HOSTFILE"):
        rows = list(pe_hostfile(read_named(environ, "PE_HOSTFILE")))
    else:
        rows = [(environ.get("HOSTNAME") or host.name(), number(environ, "NSLOTS") or 1, ())]
    names = dict.fromkeys(name for name, _, _ in rows)
    totals = [sum(count for host_name, count, _ in rows if host_name == name) for name in names]
    nodes, siblings = counted(names, totals, gpu_ids)
    bound = {name: cpus for name, count, cpus in rows if len(cpus) == count}
    nodes = tuple(
        node._replace(cpus=bound[node.name], real_ids=True) if len(bound.get(node.name, ())) == total else node
        for node, total in zip(nodes, totals, strict=True)
    )
    native_id = job_id if task == "undefined" else f"{job_id}.{task}"
    queue, cluster = environ.get("QUEUE", ""), environ.get("SGE_CELL", "")
    return Allocation("gridengine", native_id, nodes, cluster=cluster, siblings=siblings, queue=queue)
