"""`submit`: a job in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import Unwritten
from ...jobs.executor import Submission
from ..command import Command, Invocation
from ..flags import Flag
from ..job_flags import JOB_COMMAND, JOB_FLAGS
from ..job_request import JobRequest, job_request
from ..job_table import JobTable
from ..output import Renderer
from ..stdio import unwritten
from .render import print_script

if TYPE_CHECKING:
    from ...jobs.batch import BatchSchedulerExecutor


def _submit(out: Renderer, invocation: Invocation) -> int:
    table = JobTable()
    request = job_request(out, table, invocation)
    verbose = "verbose" in invocation.texts
    if "dry_run" in invocation.texts:
        return print_script(out, request, verbose=verbose)
    request.take_input(out)
    submission = _submitted(out, request)
    executor = request.target.executor
    write_error = print_id(out, executor, submission)
    if write_error is not None:
        out.error(write_error)
    if verbose:
        out.note(f"{executor.platform.name} id {submission.native_id}; folder {submission.folder}")
    exit_code = 0
    if "wait" in invocation.texts:
        from .wait import wait_for

        exit_code = wait_for(out, table, [submission.id])
    return exit_code or (write_error.exit_status if write_error is not None else 0)


def _submitted(out: Renderer, request: JobRequest) -> Submission:
    try:
        return request.submit()
    except KeyboardInterrupt:
        out.note("interrupted during the submission; `psij-run list` shows whether the job was submitted")
        raise


def print_id(out: Renderer, executor: BatchSchedulerExecutor, submission: Submission) -> Unwritten | None:
    """Print the id. If stdout cannot be written, the error that is returned has the id: the job is submitted."""
    try:
        out.answer(
            submission.id,
            {
                "id": submission.id,
                "native_id": submission.native_id,
                "folder": str(submission.folder),
                "platform": executor.platform.name,
                "site": executor.site,
                "name": submission.name,
            },
        )
        out.out.flush()
    except OSError as error:
        return unwritten(
            error,
            f"job {submission.id} was submitted ({executor.platform.name} id {submission.native_id})",
            f"do not submit it again: `psij-run status {submission.id}` shows it",
        )
    return None


SUBMIT = Command(
    "submit",
    "Submit a job and print its id.",
    _submit,
    (
        Flag("wait", ("--wait",), "", "Wait for the job and exit with its exit code.", switch=True, in_script=False),
        Flag("dry_run", ("--dry-run",), "", "Only show the script, as `render` does.", switch=True, in_script=False),
        *JOB_FLAGS,
    ),
    JOB_COMMAND,
    examples=(
        "psij-run submit -t 1h30m -A chem -- ./solver input.dat",
        "psij-run submit --array 0-9 job.sh",
        'psij-run submit -d "$(psij-run submit ./first)" ./second',
    ),
    runs_program=True,
)
