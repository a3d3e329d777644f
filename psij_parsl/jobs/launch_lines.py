"""Makes the shell lines of a job's script that start its command, directly or as ranks with a launch method."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..job import Job
from .script_variables import script_variables
from .stand_ins import FOLDER as STAND_INS
from .stand_ins import path_lines

if TYPE_CHECKING:
    from ..sites.launch_options import LaunchOptions

LAUNCHER = "launcher.sh"  # the file in a job's folder with what is to be done before the launch line: see `lines`
WRAPPER = "rank.sh"  # the file in a job's folder that starts each rank, where one does
_CODES = "@codes@"  # stands for the file of an element's failing exit codes, which only the script can name
_CODES_FILE = '"$PSIJ_JOB_FOLDER/codes"'
_QUOTED = re.compile(r"""\"(?:\\.|[^"\\])*"|'[^']*'(?:"'"'[^']*')*""")  # a word, or a part of one

_PROGRAM_VARIABLES = ("psij_launcher", "psij_launch_args")  # variables that a launch method's `lines` set


class LaunchLines(NamedTuple):
    """The shell lines that start a script's command, "$@"; `start` is the last one, which becomes the command."""

    before: str
    start: str


def launch_lines(
    job: Job, default: str, folder: Path, launch: LaunchOptions | None = None, platform: str = ""
) -> LaunchLines:
    """The lines that start the command as its `job_mode` asks.

    `folder` is the job's, `launch` what the site says of the default launcher, `platform` that to which the job goes.
    Raises `InvalidRequest` where no launch method can do it.
    """
    stand_ins = path_lines(job, platform, folder)
    if job.job_mode == "script":
        if job.launcher:  # not needed, but an unknown name is a mistake
            from ..runs.registry import launcher

            launcher(job.launcher)
        lines = "\n".join(filter(None, (script_variables(job, platform), stand_ins)))
        note = f"  # {job.compat}'s commands are there: {STAND_INS} in the job's folder\n" if stand_ins else ""
        return LaunchLines(lines, f'{note}  exec -- "$@"')
    from ..runs.binding import THREADS, Wrapper
    from ..runs.rank_io import RankIO
    from ..runs.registry import launcher

    name, mode = job.launcher or default, job.job_mode or "mpi"
    if launch is not None and name == default:
        method = launcher(name)(options=launch.options, lines=launch.lines)
    else:
        method = launcher(name)()
    with_threads = job.with_(environment={**dict.fromkeys(THREADS, ""), **job.environment})
    before = [f"psij_threads {job.cpus_per_rank} {' '.join(THREADS)}", method.lines(with_threads, mode=mode)]
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
        rank_text = shlex.join(rank.args(job, str(folder / WRAPPER))).replace(_CODES, _CODES_FILE)
        before.append(f"psij_rank=({rank_text})")
        parts.append('"${psij_rank[@]}"')
    line = " ".join([*filter(None, parts), '"$@"'])
    programs = dict.fromkeys(text for text in _QUOTED.findall(line) if "\n" in text)
    for number, text in enumerate(programs, 1):  # of ours: they would hide the line
        before.append(f"psij_program_{number}={text}")
        line = line.replace(text, f'"$psij_program_{number}"')
    start = ""
    if variable := next((name_set for name_set in _PROGRAM_VARIABLES if name_set in line), ""):
        start += f"  # ${variable}: the {name} that is found on the node, by {LAUNCHER} in the job's folder\n"
    if "psij_rank" in line:
        start += f"  # $psij_rank: starts each rank, with {WRAPPER} in the job's folder\n"
    if codes:
        before.append(f": >{_CODES_FILE}")
        start += f'  {line} || exit\n  read -r psij_code <{_CODES_FILE} || psij_code=0\n  exit "$psij_code"'
    else:
        start += f"  exec -- {line}"
    return LaunchLines("\n".join(filter(None, before)), start)


def is_wrapped(job: Job) -> bool:
    """Whether our wrapper may start its ranks: to give each rank its GPUs, or to note exit codes."""
    return job.job_mode == "serial" or (job.gpus_per_rank > 0 and job.job_mode == "mpi")
