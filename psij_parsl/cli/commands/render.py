"""`render`: the script of a job, without submitting it."""

from __future__ import annotations

from pathlib import Path

from ..command import Command, Invocation
from ..job_flags import JOB_COMMAND, JOB_FLAGS
from ..job_request import JobRequest, job_request
from ..job_table import JobTable
from ..output import Renderer


def _render(out: Renderer, invocation: Invocation) -> int:
    request = job_request(out, JobTable(), invocation, submitted_here=False)
    return print_script(out, request, verbose="verbose" in invocation.texts)


def print_script(out: Renderer, request: JobRequest, *, verbose: bool) -> int:
    """Print the script that would be submitted."""
    executor = request.target.executor
    site = request.target.site
    if site is not None and (fault := site.spool_fault()) is not None:
        out.note(f"{fault.message}: the script has it as it is")
    script = request.render()
    argv = list(executor.scheduler.submit_argv(Path("script.sh")))
    out.answer(script, {"script": script, "submit": argv, "platform": executor.platform.name, "site": executor.site})
    if verbose:
        out.note(f"the command to submit it: {' '.join(argv)}")
    return 0


RENDER = Command(
    "render",
    "Show the script that `submit` would send, without submitting it.",
    _render,
    JOB_FLAGS,
    JOB_COMMAND,
    examples=("psij-run render --platform slurm -N 4 -- ./solver",),
    runs_program=True,
)
