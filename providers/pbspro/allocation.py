"""The allocation as PBS Pro's job variables tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from psij_parsl.resources.allocation import Allocation
from psij_parsl.resources.environments import pbs


def allocation(environ: Mapping[str, str]) -> Allocation | None:
    """The hosts of PBS_NODEFILE, each once, and their CPUs; None outside a job, and in one of Torque.

    PBS tells a job no end: it is asked of the server (`PBSProScheduler.end_query`). GPUs are what the vendor's
    variable shows, as PBS's cgroups hook sets it.
    """
    if "PBS_NUM_PPN" in environ:
        return None
    found = pbs(environ)
    return None if found is None else replace(found, platform="pbspro")
