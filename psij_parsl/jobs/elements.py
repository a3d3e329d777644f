"""The commands of an array whose elements differ in what they run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ..job import Job
from .job_environment import exports


def element_text(indices: Sequence[int], jobs: Sequence[Job]) -> str:
    """The shell text (a `case` over the index) with the command of each element of an array, if these differ."""
    lines = ["case $psij_index in"]
    for index, job in zip(indices, jobs, strict=True):
        lines += [
            f"{index})",
            f"psij_directory={shlex.quote(str(job.directory))}",
            f"psij_stdin={shlex.quote(str(job.stdin or '/dev/null'))}",
            f"psij_stdout={shlex.quote(str(job.stdout)) if job.stdout else '$psij_folder/stdout'}",
            f"psij_stderr={shlex.quote(str(job.stderr)) if job.stderr else _beside(job)}",
            f"psij_element_environment() {{ :\n{exports(job.environment)}}}",
            f"psij_command=({shlex.join(job.command)}) ;;",
        ]
    return "\n".join([*lines, "*) psij_end 125 element ;;", "esac", ""])


def _beside(job: Job) -> str:
    return "$psij_stdout" if job.stdout else "$psij_folder/stderr"
