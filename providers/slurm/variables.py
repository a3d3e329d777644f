"""sbatch's input environment variables (SBATCH_*), by which users set options of their jobs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from psij_parsl.platforms.queries import Wish


def wished_value(variable: str, text: str) -> str | None:
    """The value of one of sbatch's variables as our field or parameter takes it; None if that has no such value."""
    if variable == "SBATCH_EXCLUSIVE":
        return "yes" if text in ("", "exclusive") else None  # not user, mcs, topo
    if variable in ("SBATCH_REQUEUE", "SBATCH_NO_REQUEUE"):
        return "no" if variable == "SBATCH_NO_REQUEUE" else "yes"
    return time_limit(text) if variable == "SBATCH_TIMELIMIT" else text


def time_limit(text: str) -> str | None:
    """A time limit as Slurm reads it, in minutes: 30 or 30:00 are minutes; None for one without end.

    https://slurm.schedmd.com/sbatch.html#OPT_time
    """
    if text.upper() in ("UNLIMITED", "INFINITE", "-1"):
        return None
    days, dash, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdecimal() for part in (*parts, days or "0")) or len(parts) > 3:
        return text  # the check of the wall time reports what is wrong with it
    numbers = [*map(int, parts), 0, 0][: 3 if dash or len(parts) == 3 else 2]
    hours, minutes, seconds = numbers if len(numbers) == 3 else (0, *numbers)
    return str(-(-((int(days or 0) * 24 + hours) * 3600 + minutes * 60 + seconds) // 60))


#: sbatch's input variables, each with the job's field or the parameter that it sets.
#: https://slurm.schedmd.com/sbatch.html#SECTION_INPUT-ENVIRONMENT-VARIABLES
WISHES: Mapping[str, str] = {
    "SBATCH_ACCOUNT": "project",
    "SBATCH_PARTITION": "queue",
    "SBATCH_QOS": "qos",
    "SBATCH_TIMELIMIT": "wall_time_min",
    "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_RESERVATION": "reservation",
    "SBATCH_EXCLUSIVE": "exclusive",
    "SBATCH_GRES": "gres",
    "SBATCH_MEM_PER_NODE": "memory_per_node",
    "SBATCH_MEM_PER_GPU": "memory_per_gpu",
    "SBATCH_THREADS_PER_CORE": "threads_per_core",
    "SBATCH_JOB_NAME": "name",
    "SBATCH_REQUEUE": "requeue",
    "SBATCH_NO_REQUEUE": "requeue",
}
#: Variables that are not followed, because we set what they set: sbatch's messages, its files, the job's environment.
NO_WISH = re.compile(
    r"SBATCH_(DEBUG|EXPORT|EXPORT_FILE|GET_USER_ENV|IGNORE_PBS|INPUT|OUTPUT|ERROR|OPEN_MODE|WAIT|\w+_BIND(_\w+)?)"
)


def wishes_in(environ: Mapping[str, str], parameters: Mapping[str, Any]) -> Sequence[Wish]:
    """What such variables set; `parameters` are those of the platform that were given by other means."""
    wishes = []
    for variable in sorted(environ):
        if not variable.startswith("SBATCH_") or NO_WISH.fullmatch(variable):
            continue
        name, value = WISHES.get(variable, ""), wished_value(variable, environ[variable])
        if parameters.get("queue_as") == "qos":  # then a queue is a QOS, and no field is for a partition
            name = {"SBATCH_QOS": "queue", "SBATCH_PARTITION": ""}.get(variable, name)
        if environ[variable] or value:
            wishes.append(Wish(variable, name, value if name else None))
    return wishes
