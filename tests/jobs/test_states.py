"""How reports about a job are merged, and how a status is shown and stored."""

from __future__ import annotations

import json
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psij_parsl import EndReason, JobState, JobStatus
from psij_parsl.states import signal_name

STATUS = st.builds(
    JobStatus,
    st.sampled_from(JobState),
    st.text(max_size=5),
    st.none() | st.integers(0, 255),
    st.none() | st.integers(1, 64),
    st.none() | st.sampled_from(EndReason),
    st.text(max_size=5),
    st.text(max_size=5),
    st.integers(0, 4),
    st.none() | st.floats(1, 1e10),
    st.none() | st.floats(1, 1e10),
    st.booleans(),
)


@given(reports=st.lists(STATUS, min_size=1, max_size=8))
def test_a_state_never_goes_back_and_an_end_stays(reports: list[JobStatus]) -> None:
    status = JobStatus()
    for report in reports:
        before, status = status, status.then(report)
        assert status.state >= before.state
        assert status.attempt >= before.attempt
        if before.final:
            assert status == before
        if report.state is JobState.UNKNOWN:
            assert status == before
        elif not before.final and report.state >= before.state:
            assert status.state is report.state


@given(status=STATUS, report=STATUS)
def test_hearing_the_same_twice_is_as_hearing_it_once(status: JobStatus, report: JobStatus) -> None:
    once = status.then(report)
    assert once.then(report) == once


@given(status=STATUS, report=STATUS)
def test_what_was_known_of_nodes_and_start_is_not_forgotten(status: JobStatus, report: JobStatus) -> None:
    later = status.then(report)
    assert bool(later.nodes) >= bool(status.nodes)
    assert (later.started is not None) >= (status.started is not None)


def test_a_requeued_job_stays_active_and_says_so() -> None:
    running = JobStatus(JobState.ACTIVE, "RUNNING", nodes="n1")
    again = running.then(JobStatus(JobState.QUEUED, "REQUEUED", message="BeginTime", attempt=1))
    assert (again.state, again.native, again.attempt) == (JobState.ACTIVE, "REQUEUED", 1)
    assert again.message == "in the queue again: BeginTime"
    assert again.then(JobStatus(JobState.COMPLETED, "COMPLETED", 0)).attempt == 1


@given(status=STATUS)
def test_a_status_goes_through_json_unchanged(status: JobStatus) -> None:
    data = json.loads(json.dumps(status.to_dict()))
    assert JobStatus.from_dict(data) == status
    assert JobStatus.from_dict({**data, "of_a_later_version": 1}) == status


@given(status=STATUS)
def test_every_status_can_be_described_in_a_line(status: JobStatus) -> None:
    assert status.describe().startswith(status.state.name)


@pytest.mark.parametrize(
    ("status", "line", "exit_status"),
    [
        (JobStatus(JobState.COMPLETED, exit_code=0), "COMPLETED", 0),
        (JobStatus(JobState.FAILED, exit_code=3), "FAILED, exit code 3", 3),
        (JobStatus(JobState.FAILED, exit_code=137), "FAILED, exit code 137 (likely SIGKILL)", 137),
        (JobStatus(JobState.FAILED, exit_code=128), "FAILED, exit code 128", 128),
        (JobStatus(JobState.FAILED, exit_code=255), "FAILED, exit code 255", 255),
        (JobStatus(JobState.FAILED, signal=11), "FAILED, signal SIGSEGV", 139),
        (
            JobStatus(JobState.FAILED, reason=EndReason.TIMEOUT, message="TimeLimit"),
            "FAILED, TIMEOUT, TimeLimit",
            None,
        ),
        (JobStatus(JobState.QUEUED, message="Resources"), "QUEUED, Resources", None),
        (JobStatus(JobState.ACTIVE, message="None"), "ACTIVE", None),
    ],
)
def test_a_person_reads(status: JobStatus, line: str, exit_status: int | None) -> None:
    assert status.describe() == line
    assert status.exit_status == exit_status


def test_every_signal_has_its_name_and_an_odd_number_stays_one() -> None:
    for number in signal.Signals:
        assert signal_name(number) == number.name
    assert signal_name(99) == "signal 99"


def test_ends_are_final_and_nothing_else_is() -> None:
    assert [state for state in JobState if state.final] == [JobState.COMPLETED, JobState.FAILED, JobState.CANCELED]


def test_every_reason_says_what_to_do() -> None:
    for reason in EndReason:
        assert len(reason.hint) > 20
    assert len({reason.hint for reason in EndReason}) == len(EndReason)
