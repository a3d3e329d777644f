"""A block error handler, for `block_error_handler` of Parsl's executors: it decides when an executor has failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parsl.jobs.error_handlers import _get_error
from parsl.jobs.states import JobState, JobStatus

NOT_NOW = "not now: "
"""Start of the message of a block that was not submitted: there were too many, or the manager did not answer."""

_FAILURES = (JobState.FAILED, JobState.MISSING)


def consecutive_failures(executor: Any, status: Mapping[str, JobStatus], threshold: int = 3) -> None:
    """Fail all tasks when the last `threshold` blocks that ended have all failed, and no block is running.

    Unlike Parsl's own handlers, one early success does not switch it off, one failed block is no reason to stop,
    and blocks that are queued, or that were not sent, do not count. The error has the message of each
    of those blocks.
    """
    if any(block.state is JobState.RUNNING for block in status.values()):
        return
    sent = {key: block for key, block in status.items() if NOT_NOW not in (block.message or "")}
    ended = [key for key in sorted(sent, key=int) if sent[key].terminal]
    last = {key: sent[key] for key in ended[-threshold:]}
    if len(last) == threshold and all(block.state in _FAILURES for block in last.values()):
        executor.set_bad_state_and_fail_all(_get_error(last))
