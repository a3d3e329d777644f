"""Small words of the tests: a line of shell as a job, waiting with a deadline, what a platform cannot do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from .. import BatchSchedulerExecutor, Job, JobState, Submission

PATIENCE_S = 60.0


def shell(text: str, **fields: object) -> Job:
    return Job(command=["bash", "-c", text], **fields)  # type: ignore[arg-type]  # a test's own shorthand


def ended(submission: Submission) -> JobState:
    status = submission.wait(PATIENCE_S)
    assert status.final, f"{submission} is still {status}"
    return status.state


def comes_true(condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(0.05)


def needs(executor: BatchSchedulerExecutor, *words: str) -> None:
    """Skip the test if the platform's template never uses one of these words of the core."""
    for word in words:
        if word not in executor.platform.template_class.uses:
            pytest.skip(f"the {executor.platform.name} platform has no {word!r}")


def processes(text: str) -> Sequence[int]:
    """The processes of this host with that text in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if text in line and "bash\0-c" not in line:
            found.append(int(entry.name))
    return found
