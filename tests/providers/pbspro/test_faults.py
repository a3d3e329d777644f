"""A PBS server that is down, hangs, forgets, or prints what is no JSON: no job is lost, none runs twice."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobState
from psij_parsl.errors import Ambiguous, Unavailable
from psij_parsl.providers.pbspro.records import jobs, read_job, recovered
from psij_parsl.system.commands import Output
from psij_parsl.testing.tools import PATIENCE_S, comes_true, ended, shell
from tests.simulated.server import Simulated

pytestmark = pytest.mark.slow

Executor = Callable[..., BatchSchedulerExecutor]


@pytest.fixture
def executor(pbspro: Executor) -> BatchSchedulerExecutor:
    return pbspro(grace_s=0.5, settle_s=0.5)


def test_a_server_that_is_down_leaves_states_as_they_were(
    executor: BatchSchedulerExecutor, pbs: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psij_parsl.platforms.scheduler.backoff", lambda **settings: iter(()))
    job = executor.submit(shell("sleep 1; exit 3"))
    comes_true(lambda: job.status().state is JobState.ACTIVE)
    pbs.control(server="down")
    with pytest.raises(Unavailable):
        executor.submit(Job(command=["true"]))
    assert len(executor.journal.entries()) == 1
    assert job.status().state is JobState.ACTIVE
    with pytest.raises(Unavailable):
        job.cancel()
    pbs.control(server="up")
    assert job.wait(PATIENCE_S).exit_code == 3


def test_a_submission_to_a_hung_server_is_found_when_it_wakes_up_and_runs_once(
    pbspro: Executor, pbs: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = pbspro(settle_s=3.0)
    monkeypatch.setattr(executor.scheduler, "qsub", partial(executor.scheduler.qsub, timeout_s=0.5))
    monkeypatch.setattr(executor.scheduler.run, "timeout_s", 0.7)
    pbs.control(server="hung")
    waking = threading.Timer(2.0, lambda: pbs.control(server="up"))
    waking.start()
    job = executor.submit(shell("echo x >>runs", directory=tmp_path))
    waking.join()
    monkeypatch.setattr(executor.scheduler.run, "timeout_s", 30.0)
    assert ended(job) is JobState.COMPLETED
    assert (tmp_path / "runs").read_text() == "x\n"
    assert len(pbs.jobs()) == 1


def test_a_server_that_stays_hung_leaves_the_job_in_the_journal(
    pbspro: Executor, pbs: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = pbspro(settle_s=0.5, patience_s=1.5)
    monkeypatch.setattr(executor.scheduler, "qsub", partial(executor.scheduler.qsub, timeout_s=0.3))
    monkeypatch.setattr(executor.scheduler.run, "timeout_s", 0.3)
    pbs.control(server="hung")
    with pytest.raises(Ambiguous):
        executor.submit(Job(command=["true"]))
    [entry] = executor.journal.entries().values()
    monkeypatch.setattr(executor.scheduler.run, "timeout_s", 30.0)
    pbs.control(server="up")
    assert executor.wait([entry.id], PATIENCE_S)


@pytest.mark.parametrize("size", [1, 200, 900])
def test_an_answer_that_is_cut_short_is_no_answer(
    executor: BatchSchedulerExecutor, pbs: Simulated, size: int
) -> None:
    job = executor.submit(Job(command=["true"], hold=True))
    pbs.control(truncate=size)
    with pytest.raises(Unavailable, match="cut short|cannot be read|can be read"):
        executor.scheduler.qstat(lambda seen: [job.native_id])
    assert job.status().state is JobState.QUEUED
    pbs.control(truncate=0)
    job.cancel()


def test_without_history_the_exit_file_tells_the_end(executor: BatchSchedulerExecutor, pbs: Simulated) -> None:
    pbs.control(history=False)
    good, bad = executor.submit(Job(command=["true"])), executor.submit(shell("exit 3"))
    assert ended(good) is JobState.COMPLETED
    status = bad.wait(PATIENCE_S)
    assert (status.state, status.exit_code) == (JobState.FAILED, 3)
    many = executor.submit(shell("exit $PSIJ_ARRAY_INDEX", array=(0, 1, 2)))
    assert many.wait(PATIENCE_S).message == "1 COMPLETED, 2 FAILED"
    running = executor.submit(shell("sleep 60"))
    comes_true(lambda: running.status().state is JobState.ACTIVE)
    running.cancel()
    assert ended(running) is JobState.CANCELED
    held = executor.submit(Job(command=["true"], hold=True))
    held.cancel()
    assert ended(held) is JobState.CANCELED


def test_an_unknown_state_changes_nothing_and_is_said_once(
    executor: BatchSchedulerExecutor, pbs: Simulated, caplog: pytest.LogCaptureFixture
) -> None:
    job = executor.submit(shell("sleep 2"))
    comes_true(lambda: job.status().state is JobState.ACTIVE)
    pbs.control(state={job.native_id: "Z"})
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert executor.status([job.id], urgent=True)[0].state is JobState.ACTIVE
    assert len([line for line in caplog.messages if "'Z'" in line]) <= 1
    pbs.control(state={})
    assert ended(job) is JobState.COMPLETED


@pytest.mark.parametrize("junk", ["007", '"say "x" to"', "\\'", "0x1F", '"a\nb\\q"'])
def test_json_that_is_none_costs_nobody_anything(executor: BatchSchedulerExecutor, pbs: Simulated, junk: str) -> None:
    """Its own state is read line by line, and so are the other jobs'."""
    odd, other = (executor.submit(Job(command=["true"], hold=True)) for _ in range(2))
    pbs.control(spoil={odd.native_id: junk})
    answer = executor.scheduler.qstat(lambda seen: ())
    assert {answer.records[job.native_id.partition(".")[0]].status.native for job in (odd, other)} == {"H"}
    assert answer.records[odd.native_id.partition(".")[0]].status.held
    assert answer.records[odd.native_id.partition(".")[0]].tag == f"psij:{odd.id}"
    odd.cancel()
    other.cancel()


def answering(executor: BatchSchedulerExecutor, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have qstat print that text from now on."""

    def run(argv: Sequence[str], **settings: object) -> Output:
        return Output(tuple(argv), 0, text, "")

    monkeypatch.setattr(executor.scheduler, "run", run)


@pytest.mark.parametrize("found", ["null", "[]", '"x"', "7", "[" * 100_000])
def test_a_document_of_another_form_is_no_answer(
    executor: BatchSchedulerExecutor, pbs: Simulated, monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    job = executor.submit(Job(command=["true"], hold=True))
    before = job.status().state
    with monkeypatch.context() as patch:
        answering(executor, f'{{\n "Jobs": {found}\n}}\n', patch)
        with pytest.raises(Unavailable):
            executor.scheduler.qstat(lambda seen: [job.native_id])
        assert executor.status([job.id], urgent=True)[0].state is before
    job.cancel()


@pytest.mark.parametrize("odd", [{"Exit_status": 2**40}, {"Exit_status": 1e300}])
def test_an_end_that_makes_no_sense_is_none_and_is_not_written_down(
    executor: BatchSchedulerExecutor, pbs: Simulated, monkeypatch: pytest.MonkeyPatch, odd: dict[str, object]
) -> None:
    """It could not be read again: the job stayed open, and each look added a line to the journal."""
    job = executor.submit(Job(command=["true"], hold=True))
    said = {"job_state": "F", "Variable_List": {"PSIJ_JOB_TAG": f"psij:{job.id}"}, **odd}
    with monkeypatch.context() as patch:
        answering(executor, json.dumps({"Jobs": {job.native_id: said}}, indent=1) + "\n", patch)
        size = executor.journal.path.stat().st_size
        for _ in range(3):
            assert executor.status([job.id], urgent=True)[0].state is JobState.QUEUED
        assert executor.journal.path.stat().st_size == size
    job.cancel()


def test_a_tag_that_is_no_text_harms_nobody(
    executor: BatchSchedulerExecutor, pbs: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PBS prints a variable's value as a number where it looks like one."""
    job = executor.submit(Job(command=["true"], hold=True))
    said = {"job_state": "R", "Variable_List": {"PSIJ_JOB_TAG": f"psij:{job.id}"}}
    both = {job.native_id: said, "99999.head": {**said, "Variable_List": {"PSIJ_JOB_TAG": 5}}}
    with monkeypatch.context() as patch:
        answering(executor, json.dumps({"Jobs": both}, indent=1) + "\n", patch)
        assert executor.status([job.id], urgent=True)[0].state is JobState.ACTIVE
    job.cancel()


@pytest.mark.parametrize("form", ["{}", "Notice: down on {Friday}\n{}", "{}Notice: down on {Friday}\n", "{} Bye.\n"])
def test_what_a_wrapper_of_qstat_prints_around_its_answer_does_no_harm(form: str) -> None:
    answer = '{\n "Jobs": {\n  "2.head": {\n   "job_state": "Q"\n  }\n }\n}\n'
    assert dict(jobs(form.replace("{}", answer))) == {"2.head": {"job_state": "Q"}}


def test_a_record_without_a_state_harms_its_own_job_alone() -> None:
    broken = '{\n "Jobs": {\n  "1.head": {\n   "x": 007\n  },\n  "2.head": {\n   "job_state": "Q"\n  }\n }\n}'
    pieces = dict(jobs(broken))
    with pytest.raises(ValueError, match="job_state"):
        recovered(str(pieces["1.head"]))
    record = read_job(("2.head", pieces["2.head"]))
    assert record is not None
    assert record.status.state is JobState.QUEUED


def test_another_users_jobs_are_passed_over() -> None:
    assert read_job(("1.head", {"job_state": "R", "Job_Owner": "bob@head"}), owner="alice") is None
    assert read_job(("1.head", {"job_state": "R", "Job_Owner": "alice@head"}), owner="alice") is not None
