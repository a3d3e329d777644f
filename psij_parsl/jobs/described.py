"""A job as callers describe it: a `Job`, or the words of its command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import InvalidRequest
from ..job import Job, check_mappings, check_names


def a_job(job: Any, fields: Mapping[str, Any], complete: Callable[[dict[str, Any]], dict[str, Any]]) -> Job:
    """The job to submit: a `Job`, with these fields changed, or the words of a command, with these fields.

    `complete` fills up what is given for a command. Raises `InvalidRequest` for what is neither.
    """
    if isinstance(job, Job):
        return job.with_(**fields) if fields else job
    if isinstance(job, Sequence) and not isinstance(job, str | bytes):
        check_names(fields)
        check_mappings(fields)
        return Job(**complete({**fields, "command": job}))
    raise InvalidRequest(f"a {type(job).__name__} is no Job, and no list of a command's words", hint=_meant(job))


def _meant(job: Any) -> str:
    """A hint for what was passed in place of a job."""
    if isinstance(job, str):
        return f"pass its words, {job.split()!r}, or ['bash', '-c', text] for a line of shell"
    if isinstance(job, Mapping):
        return "make one of what it says: Job(command=['hostname'])"
    if callable(job):
        return "a job is a command, e.g. ['python3', 'script.py']; Parsl runs functions: see `parsl_config`"
    return "pass the words of its command, ['hostname'], or Job(command=['hostname'])"
