"""A PBS server that is down, hangs, forgets, or prints what is no JSON: no job is lost, none runs twice."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobState
from psij_parsl.providers.pbspro.records import jobs, read_job, recovered
from tests.providers.simulated_manager import SimulatedFaults, answering
from tests.simulated.server import Simulated

pytestmark = pytest.mark.slow

Executor = Callable[..., BatchSchedulerExecutor]


@pytest.fixture
def executor(pbspro: Executor) -> BatchSchedulerExecutor:
    return pbspro(grace_s=0.5, settle_s=0.5)


class TestFaults(SimulatedFaults):
    platform = "pbspro"
    down = "cannot connect to server head"
    errors_after_taking = (
        "End of File",
        "qsub: Connection reset by peer",
        "qsub: Premature end of message",
        "Batch protocol error",
        "qsub: Communication failure.",
        "qsub: Connection timed out",
        "a wrapper's own words",
    )
    cuts = (1, 200, 900)
    cut_short = "cut short|cannot be read|can be read"
    other_forms = tuple(f'{{\n "Jobs": {found}\n}}\n' for found in ("null", "[]", '"x"', "7", "[" * 100_000))
    unknown_states = ("Z",)
    damages = ("007",)
    notices = ("Welcome to head7.\nDown on 2026.11\n{id}", "{id}\n2 jobs left, 5.5 of 7.GB")

    @pytest.fixture
    def server(self, pbs: Simulated) -> Simulated:
        return pbs


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
