"""Helpers of the contract suite: a shell command as a job, waiting with a deadline, skipping unsupported tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from .. import BatchSchedulerExecutor, Job, JobState, Submission

PATIENCE_S = 300.0  # on a busy machine; it costs nothing where all goes well


def shell(text: str, **fields: object) -> Job:
    return Job(command=["bash", "-c", text], **fields)  # type: ignore[arg-type]  # a test's own shorthand


def ended(submission: Submission) -> JobState:
    status = submission.wait(PATIENCE_S)
    assert status.final, f"{submission} is still {status}"
    return status.state


def comes_true(condition: Callable[[], Any], seconds: float = PATIENCE_S, what: str = "") -> Any:
    """The first true answer of a condition, or an AssertionError when time is up; `what` says what was waited for."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.05)
    return answer


def needs(executor: BatchSchedulerExecutor, *fields: str) -> None:
    """Skip the test if the platform's template does not use one of these fields of a job."""
    for field in fields:
        if field not in executor.platform.template_class.uses:
            pytest.skip(f"the {executor.platform.name} platform has no {field!r}")


def processes(text: str) -> Sequence[int]:
    """The pids of this host's processes that have the text in their command line, other than `bash -c`."""
    pids = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if text in line and "bash\0-c" not in line:
            pids.append(int(entry.name))
    return pids
