"""Torque as it is unless the administrator sets keep_completed: an ended job is unknown at once.

Then the exit file in the job's folder tells its end, and Torque's log there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState
from psij_parsl.errors import Rejected
from psij_parsl.testing import PlatformContract
from psij_parsl.testing.tools import PATIENCE_S, comes_true, ended, shell
from tests.simulated.server import Simulated

pytestmark = pytest.mark.slow

Executor = Callable[..., BatchSchedulerExecutor]


@pytest.fixture
def forgetful(torque: Simulated) -> Simulated:
    torque.control(history=False, kill_delay=0.5)
    return torque


@pytest.fixture
def executor(torque_executor: Executor, forgetful: Simulated) -> BatchSchedulerExecutor:
    return torque_executor(grace_s=1.0, settle_s=0.5)


NO_RECORD = "this server keeps no record of a job that has ended, and another program's job leaves no exit file"


class TestTorqueThatForgets(PlatformContract):
    """The whole contract suite."""

    array_size = 16
    must_have = ("nodes", "memory", "gpus")
    samples = {"features": ["bigmem"], "resources": ["pmem=2gb"], "priority": "77", "mail_events": "ae"}

    def test_the_manager_sees_the_exit_code_too(self, executor: BatchSchedulerExecutor) -> None:
        """It does not: the exit file alone has it."""
        job = executor.submit(shell("exit 4"))
        status = job.wait(PATIENCE_S)
        assert (status.state, status.exit_code) == (JobState.FAILED, 4)
        assert executor.scheduler.qstat(lambda seen: [job.native_id]).of(job.native_id) is None

    @pytest.mark.skip(reason=NO_RECORD)
    def test_a_job_that_was_not_submitted_by_us_can_be_attached(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        raise NotImplementedError

    @pytest.mark.skip(reason=NO_RECORD)
    def test_attached_four_times_at_one_instant_it_is_one_job(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        raise NotImplementedError


def test_a_job_that_ran_out_of_wall_time_is_told_by_torques_log(
    executor: BatchSchedulerExecutor, torque: Simulated
) -> None:
    job = executor.submit(shell("sleep 60"))
    torque.run("qalter", "-l", "walltime=1", job.native_id)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.TIMEOUT)
    assert "exceeded limit 1" in status.message


def test_an_element_that_ran_out_of_wall_time_has_a_log_of_its_own(
    executor: BatchSchedulerExecutor, torque: Simulated
) -> None:
    """Torque adds the index to the log's name itself, after a dash."""
    whole = executor.submit(shell("[ $PSIJ_ARRAY_INDEX = 0 ] || sleep 60", array=(0, 1)))
    second = executor.submission(f"{whole.id}_1")
    torque.run("qalter", "-l", "walltime=1", second.native_id)
    status = second.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.TIMEOUT)
    assert (executor.submission(second.id).manager_log or Path()).name == "manager.log-1"
    assert ended(executor.submission(f"{whole.id}_0")) is JobState.COMPLETED


def test_a_job_that_used_too_much_memory_is_told_by_torques_log(
    executor: BatchSchedulerExecutor, torque: Simulated
) -> None:
    job = executor.submit(shell("sleep 60"))
    comes_true(lambda: job.status().state is JobState.ACTIVE)
    torque.control(over_memory=[job.native_id])
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.OUT_OF_MEMORY)
    assert "425280kb exceeded limit 51200kb" in status.message


def test_a_job_of_another_program_that_is_forgotten_is_lost_not_completed(
    executor: BatchSchedulerExecutor, tmp_path: Path
) -> None:
    script = tmp_path / "theirs.sh"
    script.write_text("#!/bin/bash\nsleep 1\n")
    attached = executor.attach(executor.scheduler.qsub(script))
    status = attached.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)


def test_a_queued_job_that_somebody_deleted_needs_a_witness(
    executor: BatchSchedulerExecutor, torque: Simulated
) -> None:
    lonely = executor.submit(Job(command=["true"], hold=True))
    assert executor.status([lonely.id], urgent=True)[0].held
    torque.run("qdel", lonely.native_id)
    status = lonely.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)
    assert "never started" in status.message
    witness, deleted = (executor.submit(Job(command=["true"], hold=True)) for _ in range(2))
    assert executor.status([deleted.id], urgent=True)[0].held
    torque.run("qdel", deleted.native_id)
    assert ended(deleted) is JobState.CANCELED
    witness.cancel()
    assert ended(witness) is JobState.CANCELED


def test_a_job_whose_predecessor_failed_is_cancelled_for_that_reason(executor: BatchSchedulerExecutor) -> None:
    executor.channel = executor.channel._replace(grace_s=600.0)  # our own record of the other says it at once
    first = executor.submit(shell("sleep 1; exit 4"))
    second = executor.submit(Job(command=["true"], after=[first.id]))
    status = second.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.CANCELED, EndReason.DEPENDENCY)


def test_a_job_can_follow_one_of_ours_that_torque_has_forgotten_and_no_other(
    executor: BatchSchedulerExecutor,
) -> None:
    first = executor.submit(Job(command=["true"]))
    assert ended(first) is JobState.COMPLETED
    assert ended(executor.submit(Job(command=["true"], after=[first.id]))) is JobState.COMPLETED
    with pytest.raises(Rejected, match="Invalid Job Dependency") as caught:
        executor.submit(Job(command=["true"], after=["9999.tq1"]))
    assert (caught.value.limit, "keep_completed" in caught.value.hint) == ("after", True)
