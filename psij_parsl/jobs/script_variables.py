"""The variables of a manager that its job scripts read, for those that run elsewhere: shell lines that set them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ..platforms.registry import platform as find_platform

if TYPE_CHECKING:
    from ..job import Job

_RANKFILE = "PSIJ_RANKFILE"


def script_variables(job: Job) -> str:
    """Lines that export them; '' for a job whose script is no other manager's.

    On its own manager only those are set that have the index of an array's element.
    """
    if not job.script_of:
        return ""
    table = find_platform(job.script_of).directive_table
    wanted = (
        {**table.habits.variables, **(table.habits.array_variables if job.array else {})}
        if not job.option_lines
        else {}
    )
    wanted |= table.habits.index_variables if job.array else {}
    known = {
        "name": shlex.quote(job.display_name),
        "num_ranks": job.num_ranks,
        "num_cores": job.num_ranks * job.cpus_per_rank,
        "cpus_per_rank": job.cpus_per_rank,
        "array_count": len(job.array),
        "array_first": min(job.array, default=0),
        "array_last": max(job.array, default=0),
    }
    lines = []
    for name, text in wanted.items():
        value = str(known[text[1:-1]]) if text.startswith("{") else text
        if _RANKFILE in text:
            lines.append(_rank_file(job))
            value = '"$PSIJ_JOB_FOLDER/ranks"'
        lines.append(f"export {name}={value}")
    return "\n".join(lines)


def _rank_file(job: Job) -> str:
    """A line that writes a file with the name of a node for each rank."""
    each = (
        str(job.ranks_per_node) if job.num_nodes else f'$((({job.num_ranks} - 1) / $(wc -l <"$PSIJ_NODEFILE") + 1))'
    )
    return (
        "while read -r host; do for ((rank = 0; rank < " + each + '; rank++)); do echo "$host"; done; done'
        f' <"$PSIJ_NODEFILE" | head -n {job.num_ranks} >"$PSIJ_JOB_FOLDER/ranks"'
    )
