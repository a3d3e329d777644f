"""How a job on PBS really ended: PBS's word, our exit file, PBS's log and our own records put together."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState, Submission
from psij_parsl.testing.tools import PATIENCE_S, comes_true, ended, shell
from tests.simulated.server import Simulated

pytestmark = pytest.mark.slow

Executor = Callable[..., BatchSchedulerExecutor]
RECORDED = Path(__file__).parents[2] / "recorded" / "openpbs"


@pytest.fixture
def executor(pbspro: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BatchSchedulerExecutor:
    monkeypatch.chdir(tmp_path)
    made = pbspro(grace_s=1.0, settle_s=0.5)
    made.scheduler.exit_lag_s = 1.0
    return made


def active(executor: BatchSchedulerExecutor, text: str = "sleep 60") -> Submission:
    job = executor.submit(shell(text))
    comes_true(lambda: job.status().state is JobState.ACTIVE)
    return job


# ---- 0 that is not 0 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [3, 137, 99])
def test_an_exit_file_with_another_code_than_the_managers_0_is_believed(
    executor: BatchSchedulerExecutor, pbs: Simulated, code: int
) -> None:
    """After `pbs_mom -p` PBS says 0 of every job (tests/recorded/openpbs/mom-restarted-with-p*)."""
    pbs.control(zero=True)
    status = executor.submit(shell(f"exit {code}")).wait(PATIENCE_S)
    assert (status.state, status.exit_code, status.reason) == (JobState.FAILED, code, None)


def test_0_without_an_exit_file_is_told_as_that_after_a_while(
    executor: BatchSchedulerExecutor, pbs: Simulated
) -> None:
    pbs.control(zero=True, kill_delay=0.0)
    job = executor.submit(shell("kill -9 $PPID $(ps -o ppid= -p $PPID) 0"))  # nothing is left to write one
    comes_true(lambda: pbs.jobs()[job.native_id]["state"] == "F")
    assert not (job.folder / "exit").exists()
    waiting = executor.status([job.id], urgent=True)[0]
    assert (waiting.final, "exit file" in waiting.message) == (False, True)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.exit_code, status.message) == (JobState.COMPLETED, 0, "no exit file seen")


def test_an_attached_job_has_no_exit_file_and_is_not_waited_for(
    executor: BatchSchedulerExecutor, pbs: Simulated
) -> None:
    executor.scheduler.exit_lag_s = 600.0
    job = executor.attach(pbs.run("qsub", "--", "/bin/sleep", "0.3").strip())
    status = job.wait(PATIENCE_S)
    assert (status.state, status.message) == (JobState.COMPLETED, "")


# ---- without job history -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["sleep 60", "trap 'exit 1' TERM; sleep 60 & wait", "trap '' TERM; sleep 60; sleep 60"]
)
def test_without_history_the_wall_time_is_told_by_the_managers_log(
    executor: BatchSchedulerExecutor, pbs: Simulated, text: str
) -> None:
    pbs.control(history=False, kill_delay=0.5)
    job = active(executor, text)
    pbs.run("qalter", "-l", "walltime=1", job.native_id)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.TIMEOUT)
    assert status.message.startswith("job killed: walltime ")
    assert status.message.endswith(" exceeded limit 1")


def test_without_history_memory_is_told_by_the_managers_log(executor: BatchSchedulerExecutor, pbs: Simulated) -> None:
    pbs.control(history=False)
    job = active(executor)
    pbs.control(over_memory=[job.native_id])
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.OUT_OF_MEMORY)
    assert status.message == "job killed: mem 425280kb exceeded limit 51200kb"


def test_a_real_log_of_a_job_that_left_no_exit_file_tells_why(
    executor: BatchSchedulerExecutor, pbs: Simulated
) -> None:
    pbs.control(history=False)
    executor.channel = executor.channel._replace(grace_s=600.0)
    job = executor.submit(Job(command=["true"], hold=True))
    (job.folder / "claim").symlink_to(job.native_id)  # it began
    shutil.copy(RECORDED / "walltime.manager.log", job.folder / "manager.log")
    pbs.forget(job.native_id)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.TIMEOUT)
    assert status.message == "job killed: walltime 338 exceeded limit 300"


@pytest.mark.parametrize("history", [True, False])
def test_a_job_whose_predecessor_failed_is_cancelled_for_that_reason(
    executor: BatchSchedulerExecutor, pbs: Simulated, history: bool
) -> None:
    pbs.control(history=history)
    executor.channel = executor.channel._replace(grace_s=600.0)  # our own record of the other says it at once
    first = executor.submit(shell("sleep 1; exit 4"))
    second = executor.submit(Job(command=["true"], after=[first.id]))
    status = second.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.CANCELED, EndReason.DEPENDENCY)


@pytest.mark.parametrize("history", [True, False])
def test_a_job_that_we_cancel_while_it_waits_for_another_is_cancelled_by_us(
    executor: BatchSchedulerExecutor, pbs: Simulated, history: bool
) -> None:
    pbs.control(history=history)
    first = active(executor)
    second = executor.submit(Job(command=["true"], after=[first.id]))
    assert executor.status([second.id], urgent=True)[0].state is JobState.QUEUED
    second.cancel()
    status = second.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.CANCELED, None)
    first.cancel()


def test_without_history_a_queued_job_that_somebody_deleted_needs_a_witness(
    executor: BatchSchedulerExecutor, pbs: Simulated
) -> None:
    pbs.control(history=False)
    lonely = executor.submit(Job(command=["true"], hold=True))
    assert executor.status([lonely.id], urgent=True)[0].state is JobState.QUEUED
    pbs.run("qdel", lonely.native_id)
    status = lonely.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)
    assert "never started" in status.message
    witness, deleted = (executor.submit(Job(command=["true"], hold=True)) for _ in range(2))
    assert executor.status([deleted.id], urgent=True)[0].state is JobState.QUEUED
    pbs.run("qdel", deleted.native_id)
    status = deleted.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.CANCELED, None)
    assert "somebody cancelled it before it started" in status.message
    witness.cancel()
    assert ended(witness) is JobState.CANCELED


def test_with_history_a_queued_job_that_somebody_deleted_is_cancelled(
    executor: BatchSchedulerExecutor, pbs: Simulated
) -> None:
    job = executor.submit(Job(command=["true"], hold=True))
    pbs.run("qdel", job.native_id)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.CANCELED, None)


# ---- starts that failed, and other servers -----------------------------------------------------------------------


def hopeless(pbs: Simulated, job: Submission) -> None:
    """As PBS leaves a job after 20 failed starts."""
    pbs.change(
        job.native_id,
        state="H",
        hold="s",
        substate=20,
        starts=21,
        comment="job held, too many failed attempts to run",
    )


def test_a_job_that_pbs_has_given_up_starting_is_dropped_and_has_failed(
    executor: BatchSchedulerExecutor, pbs: Simulated
) -> None:
    job = executor.submit(Job(command=["true"], hold=True))
    hopeless(pbs, job)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LAUNCH_FAILED)
    assert status.message == "job held, too many failed attempts to run"
    assert pbs.calls("qdel") == [["qdel", job.native_id]]
    assert pbs.jobs()[job.native_id]["state"] == "F"


def test_one_that_was_attached_is_left_alone(executor: BatchSchedulerExecutor, pbs: Simulated) -> None:
    job = executor.attach(pbs.run("qsub", "-h", "--", "/bin/true").strip())
    hopeless(pbs, job)
    status = executor.status([job.id], urgent=True)[0]
    assert (status.state, status.held) == (JobState.QUEUED, True)
    assert not pbs.calls("qdel")


def test_a_job_that_was_moved_to_another_server_ended_as_its_exit_file_says(
    executor: BatchSchedulerExecutor, pbs: Simulated
) -> None:
    job = active(executor, "sleep 1; exit 5")
    pbs.change(job.native_id, state="M", comment="Job has been moved to workq@other")
    comes_true(lambda: "moved" in executor.status([job.id], urgent=True)[0].message)
    assert not job.status().final
    status = job.wait(PATIENCE_S)
    assert (status.state, status.exit_code) == (JobState.FAILED, 5)


# ---- again, and late ---------------------------------------------------------------------------------------------


def test_the_exit_file_of_an_earlier_start_is_not_taken_for_this_ones(
    executor: BatchSchedulerExecutor, pbs: Simulated, tmp_path: Path
) -> None:
    """PBS counts failed starts too: which start a file is of is told by the time."""
    job = active(executor, "echo x >>runs; [ $(wc -l <runs) = 2 ] || sleep 60; sleep 1; exit 3")
    comes_true((tmp_path / "runs").exists)
    pbs.run("qrerun", job.native_id)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.exit_code, status.attempt) == (JobState.FAILED, 3, 1)
    pbs.control(zero=True)
    stale = active(executor, "sleep 2")
    (stale.folder / "exit").write_text(f"{stale.native_id} 0 7 command {time.time() - 3600:.0f}\n")
    assert ended(stale) is JobState.COMPLETED


def test_a_job_that_ended_in_an_outage_ended_when_its_exit_file_says(
    executor: BatchSchedulerExecutor, pbs: Simulated
) -> None:
    job = executor.submit(shell("exit 3"))
    comes_true(lambda: pbs.jobs()[job.native_id]["state"] == "F")
    wrote = float((job.folder / "exit").read_text().split()[-1])
    pbs.change(job.native_id, ended=wrote + 600)  # when PBS came back
    assert job.wait(PATIENCE_S).ended == wrote
