"""The allocation of a Cobalt job, from its environment variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psij_parsl.resources import gpus
from psij_parsl.resources.allocation import Allocation
from psij_parsl.resources.hostlist import expand, lines
from psij_parsl.resources.node import Node
from psij_parsl.resources.variables import not_empty, read_named, seconds


def allocation(environ: Mapping[str, str]) -> Allocation | None:
    """Cobalt: node numbers in COBALT_PARTNAME (`1001-1005,1030`, named nid01001 …) or names in COBALT_NODEFILE.

    Cobalt gives no number of CPUs: the site file has it.
    """
    if "COBALT_JOBID" not in environ:
        return None
    if environ.get("COBALT_NODEFILE"):
        names: Sequence[str] = tuple(lines(read_named(environ, "COBALT_NODEFILE")))
    else:
        names = expand(environ.get("COBALT_PARTNAME", ""), prefix="nid", width=5)
    gpu_ids = gpus.visible(environ) or ()
    end = environ.get("COBALT_ENDTIME", "")
    nodes = tuple(Node(name, (), gpu_ids) for name in names)
    return Allocation("cobalt", environ["COBALT_JOBID"], not_empty(nodes, "Cobalt"), seconds(end))
