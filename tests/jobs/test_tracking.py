"""What became of a job: the manager's record, the exit file and the journal put together, case by case."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import EndReason, JobState, JobStatus
from psij_parsl.jobs.array_status import summary
from psij_parsl.jobs.record import JobRecord
from psij_parsl.jobs.verdict import Inquiry, manager_log, resolve_status
from psij_parsl.platforms.queries import UNSTARTED, UNSTARTED_ELEMENTS, SchedulerRecord
from psij_parsl.platforms.scheduler import Scheduler
from tests.platforms.test_scheduler import Stand

NOW, GRACE = 1_000_000.0, 120.0
QUEUED = JobStatus(JobState.QUEUED, "PENDING")
RUNNING = JobStatus(JobState.ACTIVE, "RUNNING", nodes="n1", started=NOW - 500)
RERUN = replace(RUNNING, attempt=1)
UNKNOWN = JobStatus(JobState.UNKNOWN, "HIBERNATING")
DONE = JobStatus(JobState.COMPLETED, "COMPLETED", 0)
ASKED = {"": NOW - 10}
LOST = JobStatus(JobState.FAILED, "LOST", reason=EndReason.LOST, message="its supervisor is gone")


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
    history_answered: bool = True
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
        RUNNING,
        failed(reason=EndReason.TIMEOUT),
        JobState.FAILED,
        None,
        EndReason.TIMEOUT,
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
    "an output file whose directory is not there": Case(
        RUNNING,
        failed(125),
        JobState.FAILED,
        125,
        EndReason.LAUNCH_FAILED,
        "directory of its output",
        "7 0 125 folder 1",
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
    # An end is the manager's word and the exit file together.
    "another code than the manager's 0 is believed": Case(
        RUNNING, DONE, JobState.FAILED, 3, exit_file="7 0 3 command 99"
    ),
    "a killed command behind the manager's 0": Case(
        RUNNING, DONE, JobState.FAILED, 137, exit_file="7 0 137 command 99"
    ),
    "a failed start behind the manager's 0": Case(
        RUNNING, DONE, JobState.FAILED, 125, EndReason.LAUNCH_FAILED, "setup", "7 0 125 setup 99"
    ),
    "the manager's 0 and an exit file of another id": Case(
        RUNNING, DONE, JobState.COMPLETED, 0, exit_file="8 0 3 command 99"
    ),
    "the manager's 0 and an exit file of an earlier attempt": Case(
        RERUN, replace(DONE, attempt=1), JobState.COMPLETED, 0, exit_file="7 0 3 command 99"
    ),
    "the manager's 0 and no exit file": Case(RUNNING, DONE, JobState.COMPLETED, 0),
    "lost by the manager, and done by the exit file": Case(
        RUNNING, LOST, JobState.COMPLETED, 0, exit_file="7 0 0 command 99"
    ),
    "lost by the manager, and failed by the exit file": Case(
        RUNNING, LOST, JobState.FAILED, 3, exit_file="7 0 3 command 99"
    ),
    "lost by the manager, and nobody knows better": Case(RUNNING, LOST, JobState.FAILED, None, EndReason.LOST),
    "done by the exit file, and out of memory by the manager": Case(
        RUNNING,
        failed(reason=EndReason.OUT_OF_MEMORY),
        JobState.FAILED,
        None,
        EndReason.OUT_OF_MEMORY,
        exit_file="7 0 0 command 99",
    ),
    "done by the exit file, and cancelled by the manager": Case(
        RUNNING, JobStatus(JobState.CANCELED, "CANCELLED"), JobState.CANCELED, exit_file="7 0 0 command 99"
    ),
    "without the processes to begin with": Case(
        RUNNING, failed(125), JobState.FAILED, 125, EndReason.LAUNCH_FAILED, "too few", "7 0 125 start 1"
    ),
    "a job that it was to follow, by the script's own look": Case(
        RUNNING, failed(125), JobState.FAILED, 125, EndReason.DEPENDENCY, "to follow", "7 0 125 dependency 1"
    ),
    "cancelled by us while it waited for another": Case(
        QUEUED,
        JobStatus(JobState.CANCELED, "CANCELLED", reason=EndReason.DEPENDENCY, message="x"),
        JobState.CANCELED,
        asked=True,
    ),
    # Gone, with an exit file.
    "the exit file is the second source": Case(RUNNING, None, JobState.COMPLETED, 0, exit_file="7 0 0 command 99"),
    "the exit file tells a failure": Case(RUNNING, None, JobState.FAILED, 3, exit_file="7 0 3 command 99"),
    "the exit file tells a failed start": Case(
        RUNNING, None, JobState.FAILED, 125, EndReason.LAUNCH_FAILED, "directory", "7 0 125 directory 99"
    ),
    "the exit file tells although history is silent": Case(
        RUNNING, None, JobState.COMPLETED, 0, exit_file="7 0 0 command 99", history_answered=False
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
        RUNNING,
        None,
        JobState.FAILED,
        None,
        EndReason.LOST,
        "has not known it for 120 s",
        missing_since=NOW - GRACE,
        still_missing=NOW - GRACE,
    ),
    "silence is no absence": Case(RUNNING, None, JobState.ACTIVE, history_answered=False),
    "silence does not count towards the time of grace's end": Case(
        RUNNING,
        None,
        JobState.ACTIVE,
        history_answered=False,
        missing_since=NOW - 2 * GRACE,
        still_missing=NOW - 2 * GRACE,
    ),
    # Cancelled.
    "gone after it was asked to be cancelled": Case(QUEUED, None, JobState.CANCELED, asked=True),
    "cancelled, while history is silent": Case(QUEUED, None, JobState.QUEUED, asked=True, history_answered=False),
    "cancelled, as the manager says": Case(RUNNING, JobStatus(JobState.CANCELED, "CANCELLED"), JobState.CANCELED),
    "killed by the signal of our cancel": Case(RUNNING, failed(signal=15), JobState.CANCELED, asked=True),
    "ended with the code of the signal of our cancel": Case(RUNNING, failed(143), JobState.CANCELED, 143, asked=True),
    "ended with the code of a hangup, as Flux ends jobs": Case(
        RUNNING, failed(129), JobState.CANCELED, 129, asked=True
    ),
    "killed by a signal that nobody of us sent": Case(RUNNING, failed(signal=15), JobState.FAILED),
    "failed by itself before the cancel reached it": Case(RUNNING, failed(3), JobState.FAILED, 3, asked=True),
    "done before the cancel reached it": Case(RUNNING, DONE, JobState.COMPLETED, 0, asked=True),
    "done before the cancel reached it, by its exit file": Case(
        RUNNING, None, JobState.COMPLETED, 0, exit_file="7 0 0 command 1", asked=True
    ),
    "out of time before the cancel reached it": Case(
        RUNNING, failed(signal=15, reason=EndReason.TIMEOUT), JobState.FAILED, None, EndReason.TIMEOUT, asked=True
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_status_of(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    if case.exit_file:
        (tmp_path / "exit").write_text(case.exit_file + "\n")
    entry = JobRecord("j1", "slurm", str(tmp_path), native="7", cancelled=ASKED if case.asked else {})
    record = None if case.record is None else SchedulerRecord("7", case.record)
    status, since = resolve_status(
        Inquiry(
            Stand(),
            entry,
            "",
            "7",
            record,
            case.before,
            NOW,
            history_answered=case.history_answered,
            missing_since=case.missing_since,
            grace_s=GRACE,
        )
    )
    assert (status.state, status.exit_code, status.reason) == (case.state, case.exit_code, case.reason)
    assert case.says in status.message
    assert since == case.still_missing


def test_an_element_of_an_array_has_an_exit_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "exit").write_text("7_3 0 5 command 1\n")
    entry = JobRecord("j1", "slurm", str(tmp_path), native="7", array=(2, 3))
    for key, state in (("3", JobState.FAILED), ("2", JobState.ACTIVE)):
        status, _ = resolve_status(Inquiry(Stand(), entry, key, f"7_{key}", None, RUNNING, NOW, grace_s=GRACE))
        assert status.state is state


def test_a_lost_job_says_what_to_do_and_when_it_was_noticed(tmp_path: Path) -> None:
    entry = JobRecord("j1", "slurm", str(tmp_path), native="7")
    status, _ = resolve_status(
        Inquiry(Stand(), entry, "", "7", None, RUNNING, NOW, missing_since=NOW - 500, grace_s=GRACE)
    )
    assert status.ended == NOW
    assert status.started == RUNNING.started
    assert status.reason
    assert "psij-run logs" in status.reason.hint


def test_an_end_that_was_known_stays_whatever_comes_later(tmp_path: Path) -> None:
    entry = JobRecord("j1", "slurm", str(tmp_path), native="7", cancelled=ASKED)
    for record in (SchedulerRecord("7", failed(9)), SchedulerRecord("7", RUNNING)):
        status, _ = resolve_status(Inquiry(Stand(), entry, "", "7", record, DONE, NOW, grace_s=GRACE))
        assert status == DONE


# ---- managers that are not alike -----------------------------------------------------------------------------------


class Odd(Stand):
    """A manager that takes codes for itself, forgets what never started, and whose 0 may lie."""

    own_codes = (99, 100)
    zero_may_lie = True
    exit_lag_s = 30.0
    counts_attempts = False
    log_signs = (
        (r"(?P<text>walltime \d+ exceeded limit \d+)", EndReason.TIMEOUT),
        (r"(?P<text>mem \S+ exceeded limit \S+)", EndReason.OUT_OF_MEMORY),
    )


class Forgetful(Stand):
    forgets = UNSTARTED


class ForgetsElements(Stand):
    forgets = UNSTARTED_ELEMENTS


def asked_of(
    scheduler: Scheduler, folder: Path, record: JobStatus | None, before: JobStatus = RUNNING, **known: Any
) -> tuple[JobStatus, float | None]:
    entry = known.pop("entry", JobRecord("j1", "odd", str(folder), native="7"))
    told = None if record is None else known.pop("shown", SchedulerRecord("7", record))
    return resolve_status(
        Inquiry(scheduler, entry, known.pop("key", ""), "7", told, before, NOW, grace_s=GRACE, **known)
    )


def left(folder: Path, text: str) -> None:
    (folder / "exit").write_text(text + "\n")


@pytest.mark.parametrize("code", [99, 100])
def test_a_code_that_the_manager_takes_for_itself_is_told_by_the_exit_file(tmp_path: Path, code: int) -> None:
    left(tmp_path, f"7 0 {code} command {NOW:.0f}")
    assert asked_of(Odd(), tmp_path, failed(1))[0].exit_code == code
    assert asked_of(Stand(), tmp_path, failed(1))[0].exit_code == 1


def test_a_zero_that_may_lie_waits_for_the_exit_file(tmp_path: Path) -> None:
    (tmp_path / "claim").symlink_to("7")
    status, since = asked_of(Odd(), tmp_path, DONE)
    assert (status.state, since) == (JobState.ACTIVE, NOW)
    assert "waiting for its exit file" in status.message
    status, since = asked_of(Odd(), tmp_path, DONE, missing_since=NOW - 31)
    assert (status.state, status.message, since) == (JobState.COMPLETED, "no exit file seen", None)
    left(tmp_path, f"7 0 3 command {NOW:.0f}")
    assert asked_of(Odd(), tmp_path, DONE, missing_since=NOW - 5)[0].exit_code == 3


def test_nothing_is_waited_for_where_our_script_never_began_or_is_not_there(tmp_path: Path) -> None:
    assert asked_of(Odd(), tmp_path, DONE)[0].state is JobState.COMPLETED
    (tmp_path / "claim").symlink_to("7")
    attached = JobRecord("j1", "odd", str(tmp_path), native="7", attached=True)
    assert asked_of(Odd(), tmp_path, DONE, entry=attached)[0].state is JobState.COMPLETED


def test_where_the_counts_differ_the_times_tell_of_which_start_an_exit_file_is(tmp_path: Path) -> None:
    """PBS counts starts that failed; our script does not see them."""
    left(tmp_path, f"7 0 3 command {NOW:.0f}")
    again = replace(DONE, attempt=4, started=NOW - 60)
    assert asked_of(Odd(), tmp_path, again)[0].exit_code == 3
    (tmp_path / "claim").symlink_to("7")
    status, _ = asked_of(Odd(), tmp_path, replace(again, started=NOW + 60), missing_since=NOW - 100)
    assert status.state is JobState.COMPLETED


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("=>> PBS: job killed: walltime 76 exceeded limit 60", EndReason.TIMEOUT),
        ("=>> PBS: job killed: mem 425280kb exceeded limit 51200kb", EndReason.OUT_OF_MEMORY),
    ],
)
@pytest.mark.parametrize("ended", [failed(143), failed(signal=9), failed(), failed(137)])
def test_the_managers_own_log_tells_why_it_killed_a_job(
    tmp_path: Path, line: str, reason: EndReason, ended: JobStatus
) -> None:
    (tmp_path / "manager.log").write_text(f"one\n{line}\nTerminated\n")
    status, _ = asked_of(Odd(), tmp_path, ended)
    assert status.reason is reason
    assert "exceeded limit" in status.message
    assert "=>>" not in status.message


def test_a_job_that_ended_by_itself_is_not_told_otherwise_by_a_log(tmp_path: Path) -> None:
    (tmp_path / "manager.log").write_text("walltime 76 exceeded limit 60\n")
    assert asked_of(Odd(), tmp_path, failed(3))[0].reason is None
    os.utime(tmp_path / "manager.log", (NOW - 500, NOW - 500))
    later = replace(failed(signal=9), attempt=1, started=NOW - 100)
    assert asked_of(Odd(), tmp_path, later)[0].reason is None  # the log is of an earlier attempt


class Telling(Stand):
    """A manager that keeps no record of an end, but writes it into the job's log."""

    log_signs = (
        (r"(?P<text>deleted by .*)", None),
        (r"(?P<text>ended with (?P<code>\d+))", None),
        (r"(?P<text>could not be started)", EndReason.LAUNCH_FAILED),
    )


@pytest.mark.parametrize(
    ("log", "state", "exit_code", "reason"),
    [
        ("deleted by bob", JobState.CANCELED, None, None),
        ("ended with 0", JobState.COMPLETED, 0, None),
        ("ended with 3", JobState.FAILED, 3, None),
        ("could not be started", JobState.FAILED, None, EndReason.LAUNCH_FAILED),
    ],
)
@pytest.mark.parametrize("before", [QUEUED, RUNNING])
def test_without_a_record_and_an_exit_file_the_managers_log_tells_the_end(
    tmp_path: Path, log: str, state: JobState, exit_code: int | None, reason: EndReason | None, before: JobStatus
) -> None:
    (tmp_path / "manager.log").write_text(f"one\n{log}\nbye\n")
    status, _ = asked_of(Telling(), tmp_path, None, before)
    assert (status.state, status.exit_code, status.reason) == (state, exit_code, reason)
    assert status.message == log


@pytest.mark.parametrize(
    ("log", "state"),
    [
        ("deleted by bob", JobState.CANCELED),
        ("deleted by bob\nended with 143", JobState.FAILED),  # the deletion came too late
    ],
)
def test_the_managers_log_tells_a_job_that_somebody_deleted_from_one_that_failed(
    tmp_path: Path, log: str, state: JobState
) -> None:
    (tmp_path / "manager.log").write_text(f"{log}\n")
    left(tmp_path, f"7 0 143 command {NOW:.0f}")
    status, _ = asked_of(Telling(), tmp_path, None)
    assert (status.state, status.exit_code) == (state, 143)


def test_a_job_that_was_moved_is_no_longer_known_and_not_lost(tmp_path: Path) -> None:
    gone = JobStatus(JobState.UNKNOWN, "M", message="moved to elsewhere")
    moved = SchedulerRecord("7", gone, moved=True)
    status, since = asked_of(Stand(), tmp_path, gone, shown=moved, missing_since=NOW - 10 * GRACE)
    assert (status.state, status.message, since) == (JobState.ACTIVE, "moved to elsewhere", None)
    left(tmp_path, f"7 0 0 command {NOW:.0f}")
    assert asked_of(Stand(), tmp_path, gone, shown=moved)[0].state is JobState.COMPLETED


@pytest.mark.parametrize("witness", [True, False])
def test_gone_while_it_was_queued_is_cancelled_where_a_witness_says_so(tmp_path: Path, witness: bool) -> None:
    known: dict[str, Any] = {"missing_since": NOW - GRACE, "witness": lambda: witness}
    status, _ = asked_of(Forgetful(), tmp_path, None, QUEUED, **known)
    expected = (JobState.CANCELED, None) if witness else (JobState.FAILED, EndReason.LOST)
    assert (status.state, status.reason) == expected
    assert "start" in status.message
    (tmp_path / "claim").symlink_to("7")  # it has begun
    known["missing_since"] = NOW - 2 * GRACE
    assert asked_of(Forgetful(), tmp_path, None, QUEUED, **known)[0].reason is EndReason.LOST


def test_what_a_manager_keeps_a_record_of_is_lost_without_one(tmp_path: Path) -> None:
    known: dict[str, Any] = {"missing_since": NOW - GRACE, "witness": lambda: True}
    assert asked_of(Stand(), tmp_path, None, QUEUED, **known)[0].reason is EndReason.LOST
    assert asked_of(ForgetsElements(), tmp_path, None, QUEUED, **known)[0].reason is EndReason.LOST
    array = JobRecord("j1", "odd", str(tmp_path), native="7", array=(0, 1))
    status, _ = asked_of(ForgetsElements(), tmp_path, None, QUEUED, entry=array, key="1", **known)
    assert status.state is JobState.CANCELED


def test_a_job_that_cannot_follow_another_is_told_so_at_once(tmp_path: Path) -> None:
    status, _ = asked_of(Stand(), tmp_path, None, QUEUED, unmet=lambda: "job abc")
    assert (status.state, status.reason) == (JobState.CANCELED, EndReason.DEPENDENCY)
    assert "job abc" in status.message
    assert asked_of(Stand(), tmp_path, None, RUNNING, unmet=lambda: "job abc")[0].state is JobState.ACTIVE


def test_a_job_that_the_manager_was_told_to_forget_ended_as_was_recorded(tmp_path: Path) -> None:
    end = JobStatus(JobState.FAILED, "Eqw", reason=EndReason.LAUNCH_FAILED, message="no such directory")
    entry = JobRecord("j1", "odd", str(tmp_path), native="7", dropped={"": end})
    assert asked_of(Stand(), tmp_path, None, QUEUED, entry=entry)[0].reason is EndReason.LAUNCH_FAILED


def test_a_cancel_that_was_not_sent_has_cancelled_nothing(tmp_path: Path) -> None:
    entry = JobRecord("j1", "odd", str(tmp_path), native="7", committed=1.0, cancelled={"": NOW}, unsent=("",))
    assert asked_of(Stand(), tmp_path, None, QUEUED, entry=entry)[0].state is JobState.QUEUED


# ---- an array as a whole -------------------------------------------------------------------------------------------


def test_an_array_begins_with_its_first_element_ends_with_its_last_and_has_all_nodes() -> None:
    elements = [
        JobStatus(JobState.COMPLETED, started=100.0 + n, ended=110.0 + n, nodes=f"node{n % 3:02d}") for n in range(9)
    ]
    whole = summary([*elements[4:], *elements[:4]])
    assert (whole.started, whole.ended, whole.nodes) == (100.0, 118.0, "node[00-02]")
    going = summary([*elements, JobStatus(JobState.QUEUED)])
    assert (going.state, going.started, going.ended) == (JobState.ACTIVE, 100.0, None)
    held = summary([JobStatus(JobState.QUEUED, held=True)] * 2)
    assert (held.state, held.held) == (JobState.QUEUED, True)
    assert not summary([JobStatus(JobState.QUEUED, held=True), JobStatus(JobState.QUEUED)]).held


def test_an_elements_log_is_named_by_us_or_by_the_manager(tmp_path: Path) -> None:
    entry = JobRecord("7qp3kx2abc", "x", str(tmp_path), array=(1, 2, 3))
    for name in ("manager.log", "manager.log.1", "manager.log-2"):
        (tmp_path / name).touch()
    logs = {key: manager_log(entry, key).name for key in ("", "1", "2", "3")}
    assert logs == {"": "manager.log", "1": "manager.log.1", "2": "manager.log-2", "3": "manager.log"}
