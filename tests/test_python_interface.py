"""The Python interface on the local platform: what callbacks, handles, results and the verbs for many promise."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from psij_parsl import BatchSchedulerExecutor, Job, JobState, JobStatus, Submission

ComesTrue = Callable[..., None]
PATIENCE_S = 60.0


# ---- callbacks -----------------------------------------------------------------------------------------------


class Listener:
    """What callbacks told, by our ids. While it is `busy` with a job the thread that calls back does nothing else."""

    def __init__(self) -> None:
        self.told: dict[str, list[JobState]] = {}
        self.let_go, self.begun, self.busy = threading.Event(), threading.Event(), ""

    def __call__(self, submission: Submission, status: JobStatus) -> None:
        self.told.setdefault(submission.id, []).append(status.state)
        if submission.name == self.busy:
            self.begun.set()
            assert self.let_go.wait(PATIENCE_S)

    def ends(self, job: Submission) -> int:
        return sum(state.final for state in self.told.get(job.id, []))


def test_the_end_of_a_job_is_told_that_came_and_went_between_two_looks(home: Path, comes_true: ComesTrue) -> None:
    executor, other = BatchSchedulerExecutor("local"), BatchSchedulerExecutor("local")
    earlier = executor.submit(Job(command=["true"]))
    assert earlier.wait(PATIENCE_S).final
    listener = Listener()
    listener.busy = "busy"
    stop = executor.on_status(listener)
    executor.submit(Job(command=["true"], name="busy"))
    assert listener.begun.wait(PATIENCE_S)
    jobs = [each.submit(Job(command=["true"])) for each in (executor, other)]
    jobs.append(executor.submit(Job(command=["true"], array=(0, 1))))
    jobs = [*jobs[:2], *(executor.submission(f"{jobs[2].id}_{index}") for index in (0, 1))]
    assert executor.wait([job.id for job in jobs], PATIENCE_S)
    listener.let_go.set()
    comes_true(lambda: all(listener.ends(job) for job in jobs), PATIENCE_S)
    last = executor.submit(Job(command=["true"]))
    comes_true(lambda: listener.ends(last), PATIENCE_S)
    stop()
    assert [listener.ends(job) for job in jobs] == [1] * 4
    assert earlier.id not in listener.told


def test_a_listener_that_comes_back_at_once_is_called_once_for_each_change(home: Path, comes_true: ComesTrue) -> None:
    executor, listener = BatchSchedulerExecutor("local"), Listener()
    executor.on_status(listener)()
    stop = executor.on_status(listener)
    jobs = [executor.submit(Job(command=["true"])) for _ in range(3)]
    comes_true(lambda: all(listener.ends(job) for job in jobs), PATIENCE_S)
    last = executor.submit(Job(command=["true"]))
    comes_true(lambda: listener.ends(last), PATIENCE_S)
    stop()
    assert [listener.ends(job) for job in (*jobs, last)] == [1] * 4
