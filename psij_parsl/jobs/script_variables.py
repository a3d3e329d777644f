"""The variables of a manager that its job scripts read, for those that run elsewhere: shell lines that set them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..platforms.registry import platform as find_platform

if TYPE_CHECKING:
    from ..job import Job

_RANKFILE = "PSIJ_RANKFILE"


def script_variables(job: Job, platform: str) -> str:
    """Lines that export them; '' for a job whose script is no manager's and calls no other manager's commands.

    On its own manager, which is the `platform`, only those are set that would be others than for a job of its own.
    """
    wanted: dict[str, str] = {}
    for name in dict.fromkeys((job.compat if job.compat != platform else "", job.script_of)):
        if not name:
            continue
        habits = find_platform(name).directive_table.habits
        own = name == platform
        wanted |= {**(habits.own_variables if own else habits.variables)}
        if job.array:
            wanted |= {**({} if own else habits.array_variables), **habits.index_variables}
    known: dict[str, Any] = {
        "name": shlex.quote(job.display_name),
        "num_ranks": job.num_ranks,
        "num_cores": job.num_ranks * job.cpus_per_rank,
        "cpus_per_rank": job.cpus_per_rank,
        "gpus_on_node": job.gpus_on_node or "",
        "array_count": len(job.array),
        "array_first": min(job.array, default=0),
        "array_last": max(job.array, default=0),
        "array_step": _step(sorted(job.array)),
    }
    lines = []
    for name, text in wanted.items():
        value = str(known[text[1:-1]]) if text.startswith("{") else text
        if not value:
            continue
        if _RANKFILE in text:
            lines.append(_rank_file(job))
            value = '"$PSIJ_JOB_FOLDER/ranks"'
        lines.append(f"export {name}={value}")
    return "\n".join(lines)


def _step(indices: Sequence[int]) -> int:
    """The step from an index to the next one; 1 where they differ, or there is one index alone."""
    steps = {after - before for before, after in pairwise(indices)}
    return steps.pop() if len(steps) == 1 else 1


def _rank_file(job: Job) -> str:
    """A line that writes a file with the name of a node for each rank."""
    each = (
        str(job.ranks_per_node) if job.num_nodes else f'$((({job.num_ranks} - 1) / $(wc -l <"$PSIJ_NODEFILE") + 1))'
    )
    return (
        "while read -r host; do for ((rank = 0; rank < " + each + '; rank++)); do echo "$host"; done; done'
        f' <"$PSIJ_NODEFILE" | head -n {job.num_ranks} >"$PSIJ_JOB_FOLDER/ranks"'
    )
