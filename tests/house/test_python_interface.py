"""The Python interface on the local platform: what callbacks, handles, results and the verbs for many promise."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobFailed, JobState, JobStatus, Submission
from psij_parsl.errors import InvalidRequest
from psij_parsl.testing.tools import PATIENCE_S

ComesTrue = Callable[..., None]

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


def test_a_time_in_which_our_records_cannot_be_read_costs_no_news(
    home: Path, comes_true: ComesTrue, caplog: pytest.LogCaptureFixture
) -> None:
    executor, listener = BatchSchedulerExecutor("local"), Listener()
    job = executor.submit(Job(command=["true"], hold=True))
    stop = executor.on_status(listener)
    comes_true(lambda: job.id in listener.told, PATIENCE_S)
    executor.journal.path.rename(home / "aside")
    executor.journal.path.mkdir()
    comes_true(lambda: "changes of jobs are reported later: cannot read" in caplog.text, PATIENCE_S)
    executor.journal.path.rmdir()
    (home / "aside").rename(executor.journal.path)
    executor.release([job])
    comes_true(lambda: listener.ends(job), PATIENCE_S)
    stop()


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


# ---- arrays --------------------------------------------------------------------------------------------------


def test_the_result_of_an_array_is_the_list_of_what_its_elements_printed(home: Path, tmp_path: Path) -> None:
    executor = BatchSchedulerExecutor("local")
    job = Job(command=["bash", "-c", "echo case $PSIJ_ARRAY_INDEX"], array=(2, 10, 3))
    whole = executor.submit(job)
    assert whole.result(PATIENCE_S) == ["case 2\n", "case 3\n", "case 10\n"]
    assert [each.id for each in whole.elements()] == [f"{whole.id}_{index}" for index in (2, 3, 10)]
    assert whole.elements()[2].result() == "case 10\n"
    assert whole.elements()[2].elements() == []
    assert executor.submit(job.with_(stdout=tmp_path / "out")).result(PATIENCE_S) == whole.result()


def test_an_array_that_failed_shows_the_first_element_that_did(home: Path) -> None:
    executor = BatchSchedulerExecutor("local")
    command = "echo oh $PSIJ_ARRAY_INDEX >&2; exit $((PSIJ_ARRAY_INDEX % 2))"
    whole = executor.submit(Job(command=["bash", "-c", command], array=range(4)))
    with pytest.raises(JobFailed) as caught:
        whole.result(PATIENCE_S)
    text = str(caught.value)
    assert "FAILED, exit code 1, 2 COMPLETED, 2 FAILED" in text
    assert f"{whole.id}_1\n--- the end of {whole.folder}/1/stderr\noh 1" in text
    assert "oh 3" not in text


# ---- what names jobs -----------------------------------------------------------------------------------------


def test_handles_do_for_ids(home: Path) -> None:
    executor = BatchSchedulerExecutor("local")
    jobs = executor.submit_many([Job(command=["true"], hold=True), Job(command=["true"], hold=True, wall_time_min=1)])
    executor.hold(jobs)
    assert [status.state for status in executor.status(jobs)] == [JobState.QUEUED] * 2
    executor.release(jobs[:1])
    assert executor.cancel(jobs[1:]) == [True]
    assert executor.wait([jobs[0], jobs[1].id], PATIENCE_S)
    assert [status.state for status in executor.status(jobs)] == [JobState.COMPLETED, JobState.CANCELED]
    assert executor.attach(jobs[0].native_id).id == jobs[0].id


def test_what_names_no_job_is_refused_in_one_sentence(home: Path) -> None:
    executor = BatchSchedulerExecutor("local")
    job = executor.submit(Job(command=["true"]))
    verbs = (executor.status, executor.wait, executor.cancel, executor.hold, executor.release)
    for verb in verbs:
        for nothing in (1, None, job.status):
            with pytest.raises(InvalidRequest, match=r"names no job \(pass an id or a handle .* or a list of them"):
                verb(nothing)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest, match="1 names no job"):
            verb([1])  # type: ignore[list-item]
        with pytest.raises(InvalidRequest, match="'all' is not the name of one job"):
            verb(["all"])
    for one in (executor.attach, executor.submission, executor.elements):
        with pytest.raises(InvalidRequest, match="1 names no job"):
            one(1)  # type: ignore[arg-type]
    wrong = {"true now": r"pass its words, \['true', 'now'\]", print: "Parsl runs functions", None: r"pass the words"}
    for each, hint in [*wrong.items(), ({"command": ["true"]}, r"Job\(command="), (b"true", "pass the words")]:
        for take in (executor.submit, executor.render):
            with pytest.raises(InvalidRequest, match=f"is no Job, and no list of a command's words .*{hint}"):
                take(each)  # type: ignore[arg-type]
    for many in (Job(command=["true"]), {"command": ["true"]}, None, "true"):
        with pytest.raises(InvalidRequest, match="is no list of jobs"):
            executor.submit_many(many)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="is no Job"):
        executor.submit_many([{}])  # type: ignore[list-item]
    assert executor.wait([job], PATIENCE_S)
    assert [each.id for each in executor.journal.entries().values()] == [job.id]


@pytest.mark.parametrize("poll_s", [0, -1, float("nan")])
def test_a_time_between_queries_that_is_none_is_refused(home: Path, poll_s: float) -> None:
    with pytest.raises(InvalidRequest, match=f"poll_s={poll_s} is no time"):
        BatchSchedulerExecutor("local", poll_s=poll_s)
