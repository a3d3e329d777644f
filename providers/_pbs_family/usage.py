"""What jobs have used, from the attributes that PBS and Torque have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from psij_parsl.platforms.usage import Usage, clock_seconds, held, size_bytes


def used(resources: Mapping[str, Any], *, cores: int | None, memory_asked: str, nodes: int) -> Usage:
    """The figures in `resources_used`; `memory_asked` is of the whole job, as is the memory that was used.

    The daemons of the nodes look at the processes from time to time: in a job that ended before, they have seen nothing,
    and say 0. Of ranks that were started by ssh they know nothing, either.
    """
    elapsed = clock_seconds(str(resources.get("walltime", "")))
    return replace(
        held(cores, elapsed),
        cpu_s=clock_seconds(str(resources.get("cput", ""))) or None,
        memory_bytes=size_bytes(str(resources.get("mem", ""))) or None,
        memory_asked_bytes=size_bytes(memory_asked) or None,
        at_least="without ranks that were started by ssh" if nodes > 1 else "",
    )
