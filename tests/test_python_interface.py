"""The Python interface on the local platform: what callbacks, handles, results and the verbs for many promise."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobState, JobStatus, Submission
from psij_parsl.errors import InvalidRequest

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


# ---- held and released ---------------------------------------------------------------------------------------


def test_what_has_not_ended_of_an_array_is_released(home: Path) -> None:
    executor = BatchSchedulerExecutor("local")
    whole = executor.submit(Job(command=["true"], array=(0, 1, 2), hold=True))
    executor.cancel([f"{whole.id}_1"])
    executor.release([whole.id])
    assert executor.wait([whole.id], PATIENCE_S)
    states = [executor.status([f"{whole.id}_{index}"])[0].state.name for index in range(3)]
    assert states == ["COMPLETED", "CANCELED", "COMPLETED"]
    for turn in (executor.hold, executor.release):
        with pytest.raises(InvalidRequest, match=f"job {whole.id} has ended"):
            turn([whole.id])


def test_elements_that_run_are_named_and_the_others_held(
    home: Path, comes_true: ComesTrue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PSIJ_LOCAL_CORES_TOTAL", "1")
    executor = BatchSchedulerExecutor("local")
    whole = executor.submit(Job(command=["sleep", "60"], array=(4, 7)))
    first, second = (executor.submission(f"{whole.id}_{index}") for index in (4, 7))
    comes_true(lambda: first.status().state is JobState.ACTIVE, PATIENCE_S)
    executor.hold([whole.id])
    assert f"of array {whole.id} these run, and are not held: {first.id}" in caplog.text
    comes_true(lambda: second.status().held, PATIENCE_S)
    executor.cancel([second.id])
    comes_true(lambda: second.status().final, PATIENCE_S)
    with pytest.raises(InvalidRequest, match=f"{first.id}: all that is left of array {whole.id} runs"):
        executor.hold([whole.id])
    executor.cancel([whole.id])
    assert executor.wait([whole.id], PATIENCE_S)
