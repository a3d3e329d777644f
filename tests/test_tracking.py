"""What became of a job: the manager's record, the exit file and the journal put together, case by case."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from psij_parsl import EndReason, JobState, JobStatus
from psij_parsl.entry import Entry
from psij_parsl.scheduler import Record
from psij_parsl.verdict import Inquiry, resolve
from tests.test_scheduler import Stand

NOW, GRACE = 1_000_000.0, 120.0
QUEUED = JobStatus(JobState.QUEUED, "PENDING")
RUNNING = JobStatus(JobState.ACTIVE, "RUNNING", nodes="n1", started=NOW - 500)
RERUN = replace(RUNNING, attempt=1)
UNKNOWN = JobStatus(JobState.UNKNOWN, "HIBERNATING")
DONE = JobStatus(JobState.COMPLETED, "COMPLETED", 0)
ASKED = {"": NOW - 10}


def failed(code: int | None = None, signal: int | None = None, reason: EndReason | None = None) -> JobStatus:
    return JobStatus(JobState.FAILED, "FAILED", code, signal, reason)


@dataclass
class Case:
    """What is known of job 7, and what is to be made of it. `exit_file` is the text, '' for none."""

    before: JobStatus
    record: JobStatus | None
    state: JobState
    exit_code: int | None = None
    reason: EndReason | None = None
    says: str = ""
    exit_file: str = ""
    heard: bool = True
    missing_since: float | None = None
    asked: bool = False
    still_missing: float | None = None


CASES = {
    # What the manager says.
    "the manager's word counts": Case(QUEUED, RUNNING, JobState.ACTIVE),
    "an end is told": Case(RUNNING, DONE, JobState.COMPLETED, 0),
    "an exit code is told": Case(RUNNING, failed(3), JobState.FAILED, 3),
    "a state never goes back": Case(RUNNING, QUEUED, JobState.ACTIVE, says=""),
    "unknown never overwrites what is known": Case(RUNNING, UNKNOWN, JobState.ACTIVE),
    "unknown never overwrites what is known of a queued job": Case(QUEUED, UNKNOWN, JobState.QUEUED),
    "an exit file does not overrule a manager that calls it running": Case(
        RUNNING, RUNNING, JobState.ACTIVE, exit_file="7 0 0 command 1"
    ),
    "an exit file does not overrule a time-out": Case(
        RUNNING, failed(reason=EndReason.TIMEOUT), JobState.FAILED, None, EndReason.TIMEOUT,
        exit_file="7 0 143 command 1",
    ),
    "being seen again ends being missing": Case(RUNNING, RUNNING, JobState.ACTIVE, missing_since=NOW - 60),
    # What our script explains.
    "a directory that is not there": Case(
        RUNNING, failed(125), JobState.FAILED, 125, EndReason.LAUNCH_FAILED, "directory", "7 0 125 directory 1"
    ),
    "an output file that cannot be written": Case(
        RUNNING, failed(125), JobState.FAILED, 125, EndReason.LAUNCH_FAILED, "output", "7 0 125 stdout 1"
    ),
    "a command that itself ends with 125": Case(
        RUNNING, failed(125), JobState.FAILED, 125, exit_file="7 0 125 command 1"
    ),
    "an explanation of an earlier attempt is no explanation": Case(
        RERUN, replace(failed(125), attempt=1), JobState.FAILED, 125, exit_file="7 0 125 directory 1"
    ),
    "an exit code that accounting has folded": Case(
        RUNNING, failed(9), JobState.FAILED, 137, exit_file="7 0 137 command 1"
    ),
    "an exit code of 128 that accounting has folded": Case(
        RUNNING, failed(0), JobState.FAILED, 128, exit_file="7 0 128 command 1"
    ),
    "an exit file that contradicts the manager": Case(
        RUNNING, failed(9), JobState.FAILED, 9, exit_file="7 0 3 command 1"
    ),
    # Gone, with an exit file.
    "the exit file is the second source": Case(RUNNING, None, JobState.COMPLETED, 0, exit_file="7 0 0 command 99"),
    "the exit file tells a failure": Case(RUNNING, None, JobState.FAILED, 3, exit_file="7 0 3 command 99"),
    "the exit file tells a failed start": Case(
        RUNNING, None, JobState.FAILED, 125, EndReason.LAUNCH_FAILED, "directory", "7 0 125 directory 99"
    ),
    "the exit file tells although history is silent": Case(
        RUNNING, None, JobState.COMPLETED, 0, exit_file="7 0 0 command 99", heard=False
    ),
    "an exit file of another id is none": Case(
        RUNNING, None, JobState.ACTIVE, exit_file="8 0 0 command 99", still_missing=NOW
    ),
    "an exit file of an earlier attempt is none": Case(
        RERUN, None, JobState.ACTIVE, exit_file="7 0 0 command 99", still_missing=NOW
    ),
    "an exit file of a later attempt is one": Case(
        RUNNING, None, JobState.COMPLETED, 0, exit_file="7 1 0 command 99"
    ),
    "a torn exit file is none": Case(RUNNING, None, JobState.ACTIVE, exit_file="7 0 0", still_missing=NOW),
    # Gone without a trace.
    "absence is not success": Case(RUNNING, None, JobState.ACTIVE, says="looking again", still_missing=NOW),
    "absence is not success for a queued job": Case(
        QUEUED, None, JobState.QUEUED, says="looking again", still_missing=NOW
    ),
    "absence is borne for the time of grace": Case(
        RUNNING, None, JobState.ACTIVE, missing_since=NOW - GRACE + 1, still_missing=NOW - GRACE + 1
    ),
    "absence beyond it is a lost job": Case(
        RUNNING, None, JobState.FAILED, None, EndReason.LOST, "has not known it for 120 s", missing_since=NOW - GRACE,
        still_missing=NOW - GRACE,
    ),
    "silence is no absence": Case(RUNNING, None, JobState.ACTIVE, heard=False),
    "silence does not count towards the time of grace's end": Case(
        RUNNING, None, JobState.ACTIVE, heard=False, missing_since=NOW - 2 * GRACE, still_missing=NOW - 2 * GRACE
    ),
    # Cancelled.
    "gone after it was asked to be cancelled": Case(QUEUED, None, JobState.CANCELED, asked=True),
    "cancelled, while history is silent": Case(QUEUED, None, JobState.QUEUED, asked=True, heard=False),
    "cancelled, as the manager says": Case(RUNNING, JobStatus(JobState.CANCELED, "CANCELLED"), JobState.CANCELED),
    "killed by the signal of our cancel": Case(RUNNING, failed(signal=15), JobState.CANCELED, asked=True),
    "ended with the code of the signal of our cancel": Case(RUNNING, failed(143), JobState.CANCELED, 143, asked=True),
    "killed by a signal that nobody of us sent": Case(RUNNING, failed(signal=15), JobState.FAILED),
    "failed by itself before the cancel reached it": Case(RUNNING, failed(3), JobState.FAILED, 3, asked=True),
    "done before the cancel reached it": Case(RUNNING, DONE, JobState.COMPLETED, 0, asked=True),
    "done before the cancel reached it, by its exit file": Case(
        RUNNING, None, JobState.COMPLETED, 0, exit_file="7 0 0 command 1", asked=True
    ),
    "out of time before the cancel reached it": Case(
        RUNNING, failed(signal=15, reason=EndReason.TIMEOUT), JobState.FAILED, None, EndReason.TIMEOUT, asked=True
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_status_of(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    if case.exit_file:
        (tmp_path / "exit").write_text(case.exit_file + "\n")
    entry = Entry("j1", "slurm", str(tmp_path), native="7", cancelled=ASKED if case.asked else {})
    record = None if case.record is None else Record("7", case.record)
    status, since = resolve(
        Inquiry(
            Stand(), entry, "", "7", record, case.before, NOW, heard=case.heard, missing_since=case.missing_since,
            grace_s=GRACE,
        )
    )  # fmt: skip
    assert (status.state, status.exit_code, status.reason) == (case.state, case.exit_code, case.reason)
    assert case.says in status.message
    assert since == case.still_missing


def test_an_element_of_an_array_has_an_exit_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "exit").write_text("7_3 0 5 command 1\n")
    entry = Entry("j1", "slurm", str(tmp_path), native="7", array=(2, 3))
    for key, state in (("3", JobState.FAILED), ("2", JobState.ACTIVE)):
        status, _ = resolve(Inquiry(Stand(), entry, key, f"7_{key}", None, RUNNING, NOW, grace_s=GRACE))
        assert status.state is state


def test_a_lost_job_says_what_to_do_and_when_it_was_noticed(tmp_path: Path) -> None:
    entry = Entry("j1", "slurm", str(tmp_path), native="7")
    status, _ = resolve(Inquiry(Stand(), entry, "", "7", None, RUNNING, NOW, missing_since=NOW - 500, grace_s=GRACE))
    assert status.ended == NOW
    assert status.started == RUNNING.started
    assert status.reason
    assert "psij-run logs" in status.reason.hint


def test_an_end_that_was_known_stays_whatever_comes_later(tmp_path: Path) -> None:
    entry = Entry("j1", "slurm", str(tmp_path), native="7", cancelled=ASKED)
    for record in (Record("7", failed(9)), Record("7", RUNNING)):
        status, _ = resolve(Inquiry(Stand(), entry, "", "7", record, DONE, NOW, grace_s=GRACE))
        assert status == DONE
