"""Arguments that name jobs."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidRequest
from .flags import Argument

_HELP = (
    "Job ids (of psij-run or of the resource manager), ID_3 for the element with index 3 of an array, `last`, or `all` for all jobs that"
    " have not ended."
)
OPEN_JOBS = Argument("jobs", "[JOB]...", _HELP, complete="selectors")
NAMED_OPEN_JOBS = Argument("jobs", "JOB...", _HELP, complete="selectors")
ANY_JOBS = Argument("jobs", "JOB...", _HELP, complete="every_job")
JOBS_AGAIN = Argument(
    "jobs",
    "JOB...",
    "Job ids (of psij-run or of the resource manager), ID_3 for the element with index 3 of an array, `last`, or `all`, with"
    " --failed.",
    complete="every_job",
)
ENDED_JOBS = Argument("jobs", "[JOB]...", "Ids of jobs that have ended, or `last`.", complete="every_job")


def required(selectors: Sequence[str], command: str) -> Sequence[str]:
    """The same selectors. Raises `InvalidRequest` if there are none."""
    if not selectors:
        raise InvalidRequest(f"`psij-run {command}` needs a job", hint=f"psij-run {command} last")
    return selectors


def some_ids(ids: Sequence[str]) -> str:
    """Ids for a note: five of them at most."""
    return f"{', '.join(ids[:5])}{' and more' if len(ids) > 5 else ''}"
