"""A submit that is cut short, unanswered or doubled on a real Slurm: no job is lost and none runs twice."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState, Submission
from psij_parsl.jobs.record import JobRecord
from psij_parsl.testing.tools import PATIENCE_S, shell
from tests.clusters.slurm import SlurmCluster
from tests.providers.slurm.helpers import Shims, finish, impatient, jobs_in_slurm, program, ran, settled

pytestmark = pytest.mark.slow

ComesTrue = Callable[..., None]

#: For what has nothing to do with accounting and takes its time.
one_slurm = pytest.mark.parametrize("slurm", ["plain"], indirect=True)

SUBMIT = """
job = Job(command=["bash", "-c", f"echo $PSIJ_NATIVE_ID >>{log}"], **fields)
BatchSchedulerExecutor("slurm").submit(job)
"""


REST = 'exec "$real" "$@" < <(printf %s "$first"; cat)'
TAKE_SCRIPT = "script=$(cat)"  # from here on, all that the submitter had to do is done


def wait_for(go: Path) -> str:
    """Bash that waits for a file."""
    return f"until [ -e {go} ]; do sleep 0.1; done"


@pytest.fixture
def executor(slurm: SlurmCluster) -> BatchSchedulerExecutor:
    """One that comes after a submitter has died: a submission is given up after four times `settle_s`."""
    return BatchSchedulerExecutor("slurm", poll_s=0.3, settle_s=0.5)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where each execution of the job leaves a line."""
    return tmp_path / "log"


def submit_and_die(log: Path, *, fault: str = "", **fields: object) -> None:
    """Submit in another process, which is killed on the way."""
    process = program(f"log, fields = {str(log)!r}, {fields!r}\n{SUBMIT}", env={"PSIJ_PARSL_FAULT": fault})
    code, _, said = finish(process)
    assert code == -9, said


def only(executor: BatchSchedulerExecutor) -> JobRecord:
    """The one record in the journal."""
    (entry,) = executor.journal.entries().values()
    return entry


# ---- the submitter is killed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["folder", "written"])
def test_a_submitter_killed_before_its_intent_was_recorded_submitted_nothing(
    executor: BatchSchedulerExecutor, log: Path, step: str
) -> None:
    submit_and_die(log, fault=step)
    assert not executor.journal.entries()
    assert not jobs_in_slurm(executor.journal.home)
    assert executor.submit(Job(command=["true"])).wait(PATIENCE_S).state is JobState.COMPLETED


def test_a_submitter_killed_before_sbatch_leaves_a_job_that_never_runs(
    executor: BatchSchedulerExecutor, log: Path, comes_true: ComesTrue
) -> None:
    submit_and_die(log, fault="intended")
    comes_true(lambda: settled(executor))
    status = executor.status([only(executor).id])[0]
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LAUNCH_FAILED)
    assert "cut short" in status.message
    assert not jobs_in_slurm(executor.journal.home)


@pytest.mark.parametrize("step", ["submitted", "committed"])
def test_the_job_of_a_submitter_killed_after_sbatch_is_found_and_runs_once(
    executor: BatchSchedulerExecutor, log: Path, comes_true: ComesTrue, step: str
) -> None:
    submit_and_die(log, fault=step)
    comes_true(lambda: settled(executor))
    entry = only(executor)
    assert list(jobs_in_slurm(executor.journal.home)) == [entry.native]
    assert executor.status([entry.id])[0].state is JobState.COMPLETED
    assert ran(log) == 1


@one_slurm
def test_an_array_of_a_submitter_killed_after_sbatch_is_found(
    executor: BatchSchedulerExecutor, log: Path, comes_true: ComesTrue
) -> None:
    submit_and_die(log, fault="submitted", array=(0, 1, 5))
    comes_true(lambda: settled(executor))
    entry = only(executor)
    assert set(jobs_in_slurm(executor.journal.home)) == {f"{entry.native}_{index}" for index in (0, 1, 5)}
    assert ran(log) == 3


def test_a_submitter_killed_while_sbatch_returns_loses_nothing(
    executor: BatchSchedulerExecutor, shims: Shims, log: Path, comes_true: ComesTrue
) -> None:
    shims.put("sbatch", f'{TAKE_SCRIPT}\nid=$("$real" "$@" <<<"$script")\nkill -9 $PPID\necho "$id"')
    submit_and_die(log)
    comes_true(lambda: settled(executor))
    entry = only(executor)
    assert list(jobs_in_slurm(executor.journal.home)) == [entry.native]
    assert (executor.status([entry.id])[0].state, ran(log)) == (JobState.COMPLETED, 1)


@one_slurm
def test_a_submitter_killed_before_sbatch_sends_anything_leaves_a_job_that_never_runs(
    executor: BatchSchedulerExecutor, shims: Shims, log: Path, comes_true: ComesTrue
) -> None:
    shims.put("sbatch", f"{TAKE_SCRIPT}\nkill -9 $PPID")
    submit_and_die(log)
    comes_true(lambda: settled(executor))
    assert executor.status([only(executor).id])[0].reason is EndReason.LAUNCH_FAILED
    assert not jobs_in_slurm(executor.journal.home)


def test_an_sbatch_that_outlives_its_submitter_and_the_search_runs_nothing(
    executor: BatchSchedulerExecutor, shims: Shims, log: Path, comes_true: ComesTrue, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    shims.put("sbatch", f'{TAKE_SCRIPT}\nkill -9 $PPID\n{wait_for(go)}\nexec "$real" "$@" <<<"$script"')
    submit_and_die(log)
    comes_true(lambda: settled(executor))
    entry = only(executor)
    assert executor.status([entry.id])[0].reason is EndReason.LAUNCH_FAILED
    go.touch()
    comes_true(lambda: list(jobs_in_slurm(executor.journal.home).values()) == ["FAILED"])
    assert ran(log) == 0
    assert "second copy" in (entry.folder / "manager.log").read_text()
    assert executor.status([entry.id])[0].reason is EndReason.LAUNCH_FAILED


@one_slurm
def test_an_sbatch_that_outlives_its_submitter_is_found(
    executor: BatchSchedulerExecutor, shims: Shims, log: Path, comes_true: ComesTrue, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    shims.put("sbatch", f'{TAKE_SCRIPT}\nkill -9 $PPID\n{wait_for(go)}\nexec "$real" "$@" <<<"$script"')
    submit_and_die(log)
    assert executor.status([only(executor).id])[0].state is JobState.NEW
    go.touch()
    comes_true(lambda: settled(executor))
    assert list(jobs_in_slurm(executor.journal.home)) == [only(executor).native]
    assert ran(log) == 1


def test_a_job_cancelled_before_its_id_was_known_is_cancelled_when_it_is_found(
    executor: BatchSchedulerExecutor, log: Path, comes_true: ComesTrue
) -> None:
    submit_and_die(log, fault="submitted", hold=True)
    assert executor.cancel([only(executor).id]) == [True]
    comes_true(lambda: settled(executor))
    assert executor.status([only(executor).id])[0].state is JobState.CANCELED
    assert list(jobs_in_slurm(executor.journal.home).values()) == ["CANCELLED"]
    assert ran(log) == 0


@one_slurm
def test_an_sbatch_that_is_killed_may_have_submitted(
    executor: BatchSchedulerExecutor, shims: Shims, log: Path
) -> None:
    shims.put("sbatch", f'{TAKE_SCRIPT}\n"$real" "$@" <<<"$script" >/dev/null\nkill -9 $$')
    job = executor.submit(shell(f"echo x >>{log}"))
    assert job.wait(PATIENCE_S).state is JobState.COMPLETED
    assert list(jobs_in_slurm(executor.journal.home)) == [job.native_id]
    assert ran(log) == 1


@one_slurm
def test_sbatch_gets_the_whole_script_or_nothing(
    executor: BatchSchedulerExecutor, shims: Shims, log: Path, comes_true: ComesTrue, tmp_path: Path
) -> None:
    """Its input is a pipe that it may find half filled: with the first bytes read, the submitter is killed."""
    shims.put("sbatch", f"first=$(dd bs=1 count=1 2>/dev/null)\nkill -9 $PPID\n{REST}")
    fields = {"environment": {"LONG": "x" * 100}, "setup": "# " + "long " * 5000}
    submit_and_die(log, **fields)
    comes_true(lambda: settled(executor))
    assert executor.status([only(executor).id])[0].state is JobState.COMPLETED
    assert ran(log) == 1


# ---- the controller hangs ----------------------------------------------------------------------------------------


def submit_to_a_hung_controller(
    slurm: SlurmCluster, shims: Shims, log: Path, wait_for_resume: Callable[[], None]
) -> tuple[BatchSchedulerExecutor, Submission]:
    """Submit while slurmctld is stopped; it goes on after sbatch has given up and `wait_for_resume()`."""
    shims.put("sbatch", f'"$real" "$@"; code=$?; echo $code >>{shims.folder}/sbatch.ended; exit $code')
    executor = BatchSchedulerExecutor("slurm", poll_s=0.4, settle_s=3.0)
    made: list[Submission] = []
    job = shell(f"echo $PSIJ_NATIVE_ID >>{log}")
    thread = threading.Thread(target=lambda: made.append(executor.submit(job)))
    slurm.pause_controller()
    thread.start()
    wait_for_resume()
    slurm.resume_controller()
    thread.join(PATIENCE_S)
    assert made, "the submit did not return"
    return executor, made[0]


def test_a_submit_to_a_hung_controller_runs_exactly_once(
    slurm: SlurmCluster,
    shims: Shims,
    log: Path,
    comes_true: ComesTrue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SLURM_CONF", impatient(slurm.directory / "etc" / "slurm.conf", tmp_path))
    given_up = shims.folder / "sbatch.ended"
    executor, job = submit_to_a_hung_controller(
        slurm, shims, log, lambda: comes_true(lambda: ran(given_up) == 1, 40.0)
    )
    assert "Socket timed out" in caplog.text
    assert job.wait(PATIENCE_S).state is JobState.COMPLETED
    slurm.wait_idle()
    assert ran(log) == 1
    assert list(jobs_in_slurm(executor.journal.home)) == [job.native_id] == log.read_text().split()


@pytest.mark.skipif(not os.environ.get("PSIJ_TEST_LONG"), reason="a whole minute, as the one above in seconds")
def test_a_submit_to_a_controller_that_hangs_for_a_minute_runs_exactly_once(
    slurm: SlurmCluster, shims: Shims, log: Path
) -> None:
    executor, job = submit_to_a_hung_controller(slurm, shims, log, lambda: time.sleep(60.0))
    assert ran(shims.folder / "sbatch.ended") == 1
    assert job.wait(PATIENCE_S).state is JobState.COMPLETED
    slurm.wait_idle()
    assert list(jobs_in_slurm(executor.journal.home)) == [job.native_id] == log.read_text().split()


# ---- two copies of one submission --------------------------------------------------------------------------------


def sbatch_again(job: Submission) -> str:
    """What Slurm does when it takes a submission twice."""
    script = job.folder / "script.sh"
    return subprocess.run(
        ["sbatch", "--parsable", str(script)], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_second_copy_of_a_submission_runs_nothing_and_is_recorded(
    executor: BatchSchedulerExecutor, log: Path, comes_true: ComesTrue, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    job = executor.submit(shell(f"echo $PSIJ_NATIVE_ID >>{log}; {wait_for(go)}"))
    comes_true(lambda: ran(log) == 1)
    second = sbatch_again(job)
    comes_true(lambda: jobs_in_slurm(executor.journal.home)[second] == "FAILED")
    comes_true(lambda: executor.status([job.id]) and only(executor).twins == (second,))
    assert only(executor).native == job.native_id
    go.touch()
    assert job.wait(PATIENCE_S).state is JobState.COMPLETED
    assert log.read_text().split() == [job.native_id]


@one_slurm
def test_of_two_copies_that_wait_one_is_cancelled(
    executor: BatchSchedulerExecutor, log: Path, comes_true: ComesTrue
) -> None:
    job = executor.submit(shell(f"echo $PSIJ_NATIVE_ID >>{log}", hold=True))
    second = sbatch_again(job)
    comes_true(lambda: executor.status([job.id]) and only(executor).twins == (second,))
    comes_true(lambda: jobs_in_slurm(executor.journal.home)[second] == "CANCELLED")
    assert only(executor).native == job.native_id
    executor.release([job.id])
    assert job.wait(PATIENCE_S).state is JobState.COMPLETED
    assert log.read_text().split() == [job.native_id]


def test_of_two_copies_the_one_that_runs_is_the_job(
    executor: BatchSchedulerExecutor, log: Path, comes_true: ComesTrue
) -> None:
    job = executor.submit(shell(f"echo $PSIJ_NATIVE_ID >>{log}; sleep 1", hold=True))
    second = sbatch_again(job)
    executor.scheduler.release([second])
    comes_true(lambda: ran(log) == 1)
    assert job.wait(PATIENCE_S).state is JobState.COMPLETED
    assert only(executor).native == second
    assert only(executor).twins == (job.native_id,)
    comes_true(lambda: jobs_in_slurm(executor.journal.home)[job.native_id] == "CANCELLED")
    assert log.read_text().split() == [second]


@one_slurm
def test_the_end_of_the_copy_that_did_not_run_is_not_the_end_of_the_job(
    executor: BatchSchedulerExecutor, log: Path, comes_true: ComesTrue, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    job = executor.submit(shell(f"echo $PSIJ_NATIVE_ID >>{log}; {wait_for(go)}", hold=True))
    second = sbatch_again(job)
    executor.scheduler.release([second])
    comes_true(lambda: ran(log) == 1)
    executor.scheduler.release([job.native_id])
    comes_true(lambda: jobs_in_slurm(executor.journal.home)[job.native_id] == "FAILED")
    # Nobody has asked yet: the first answer has the end of the one and the life of the other.
    comes_true(lambda: executor.status([job.id], urgent=True)[0].state is JobState.ACTIVE)
    assert only(executor).native == second
    go.touch()
    assert job.wait(PATIENCE_S).state is JobState.COMPLETED
    assert ran(log) == 1


@one_slurm
def test_of_two_copies_of_an_array_each_element_runs_once(
    executor: BatchSchedulerExecutor, log: Path, comes_true: ComesTrue
) -> None:
    job = executor.submit(shell(f"echo $PSIJ_ARRAY_INDEX >>{log}; sleep 1", array=(0, 1, 2, 3), hold=True))
    second = sbatch_again(job)
    comes_true(lambda: executor.status([job.id]) and only(executor).twins == (second,))
    executor.release([job.id])
    assert job.wait(PATIENCE_S).state is JobState.COMPLETED
    assert sorted(log.read_text().split()) == ["0", "1", "2", "3"]


@one_slurm
def test_a_copy_that_was_not_chosen_cannot_start_between_the_choice_and_its_end(
    executor: BatchSchedulerExecutor, shims: Shims, log: Path, comes_true: ComesTrue
) -> None:
    """It could take the claim, be cancelled, and the chosen one would then end at the claim: nothing had run."""
    job = executor.submit(shell(f"echo $PSIJ_NATIVE_ID >>{log}; sleep 3", hold=True))
    second = sbatch_again(job)
    # The moment before scancel: the second copy starts and has time enough to get to its claim.
    shims.put("scancel", f'scontrol release {second}; sleep 2; exec "$real" "$@"')
    comes_true(lambda: executor.status([job.id]) and only(executor).twins == (second,))
    executor.release([job.id])
    assert job.wait(PATIENCE_S).state is JobState.COMPLETED
    assert log.read_text().split() == [job.native_id]
