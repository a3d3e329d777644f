"""The shell lines of a job's script that start its command: as it is, or as so many ranks by a launch method."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from ..job import Job
from ..runs.registry import launcher as find_launcher

if TYPE_CHECKING:
    from ..sites.launch_options import LaunchOptions

WRAPPER = "rank.sh"  # the file in a job's folder that starts each rank, where one does
_CODES = "@codes@"  # stands for the file of an element's failing exit codes, which only the script can name


def launch_text(job: Job, default: str, folder: Path, launch: LaunchOptions | None = None) -> str:
    """The shell lines that become the command as its `job_mode` asks; "$@" follows, which is the command.

    `folder` is the job's, `launch` what the site says of the default launcher. Raises `InvalidRequest` where no
    launch method can do it.
    """
    if job.job_mode == "script":
        if job.launcher:  # not needed, and yet a name that there is not is a mistake
            find_launcher(job.launcher)
        return "exec --"
    from ..runs.binding import THREADS, Wrapper, thread_lines
    from ..runs.rank_io import RankIO

    name, mode = job.launcher or default, job.job_mode or "mpi"
    if launch is not None and name == default:
        method = find_launcher(name)(options=launch.options, lines=launch.lines)
    else:
        method = find_launcher(name)()
    with_threads = job.with_(environment={**dict.fromkeys(THREADS, ""), **job.environment})
    lines = [thread_lines(job.cpus_per_rank), method.lines(with_threads, mode=mode)]
    parts = [method.text(with_threads, mode=mode)]
    codes = _CODES if mode in method.independent_copies else ""
    if codes or (job.gpus_per_rank and method.follows_assignment):  # it shows each rank all GPUs of its node
        io = RankIO(stdin=Path("-"))
        rank = Wrapper(
            rank_variables=method.rank_variables,
            local_rank_variables=method.local_rank_variables,
            gpus_per_rank=job.gpus_per_rank,
            exit_codes=codes,
            hide_failures=True,
            io=io,
        )
        parts.append(shlex.join(rank.args(job, str(folder / WRAPPER))))
    line = " ".join(filter(None, parts))
    if not codes:
        return "\n".join([*filter(None, lines), f"exec -- {line}".rstrip()])
    end = f'{line} "$@" || exit\nread -r psij_code <{_CODES} || psij_code=0\nexit "$psij_code"'
    serial = f"psij_serial() {{\n: >{_CODES}\n{end}\n}}\npsij_serial".replace(_CODES, '"$PSIJ_JOB_FOLDER/codes"')
    return "\n".join([*filter(None, lines), serial])


def is_wrapped(job: Job) -> bool:
    """Whether its ranks may be told their GPUs one by one, or watched by our wrapper."""
    return job.job_mode == "serial" or (job.gpus_per_rank > 0 and job.job_mode == "mpi")
