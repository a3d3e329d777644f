"""An LSF that is down, hangs, forgets, or prints what cannot be read: no job is lost, none runs twice."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState
from psij_parsl.testing.tools import PATIENCE_S, comes_true, ended, shell
from tests.providers.simulated_manager import SimulatedFaults
from tests.simulated.server import Simulated

pytestmark = pytest.mark.slow


@pytest.fixture
def executor(lsf: Simulated) -> BatchSchedulerExecutor:
    return BatchSchedulerExecutor("lsf", poll_s=0.1, grace_s=0.5, settle_s=0.5)


class TestFaults(SimulatedFaults):
    platform = "lsf"
    submits, cancels = ("bsub",), ("bkill",)
    down, down_hint = "LSF is down", "lsid"
    errors_after_taking = ("Failed in receiving the reply of mbatchd",)
    cuts = (1, 60, 200)
    other_forms = ("null", "7", "<html><body>Down on Friday</body></html>")
    unknown_states = ("FROZEN",)
    damages = ("^a row",)
    notices = ("Project chem <12 kSU>, job 7 of 9\n{id}\nSee <https://example.org/5>", "{id}\nJob <5> of today")

    @pytest.fixture
    def server(self, lsf: Simulated) -> Simulated:
        return lsf


def running(executor: BatchSchedulerExecutor, job_id: str) -> bool:
    return executor.status([job_id], urgent=True)[0].state is JobState.ACTIVE


# ---- the server ----------------------------------------------------------------------------------------------------


def test_a_command_does_not_wait_for_ever_for_a_server_that_is_down(lsf: Simulated) -> None:
    """LSF's own default; the variable that bounds it reaches each of our commands."""
    assert BatchSchedulerExecutor("lsf").scheduler.given(os.environ)["LSB_NTRIES"] == "3"
    lsf.control(server="down")
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["bjobs", "-o", "jobid delimiter='^'"], capture_output=True, timeout=2)


def test_a_job_whose_host_does_not_answer_runs_as_far_as_we_know(
    executor: BatchSchedulerExecutor, lsf: Simulated
) -> None:
    job = executor.submit(shell("sleep 2"))
    comes_true(lambda: running(executor, job.id))
    for state in ("UNKWN", "ZOMBI"):
        lsf.control(state={job.native_id: state})
        assert running(executor, job.id)
    lsf.control(state={})
    assert ended(job) is JobState.COMPLETED


# ---- history ----------------------------------------------------------------------------------------------------


def test_an_end_that_bjobs_no_longer_shows_is_told_by_bhist(executor: BatchSchedulerExecutor, lsf: Simulated) -> None:
    """Killed by somebody else, so that no exit file tells more."""
    job = executor.submit(shell("sleep 60"))
    comes_true(lambda: running(executor, job.id))
    lsf.control(clean_period_s=0.0)
    lsf.run("bkill", job.native_id)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.message) == (JobState.CANCELED, "TERM_OWNER")
    assert lsf.calls("bhist")


def test_without_any_record_the_wall_time_is_told_by_the_managers_log(
    executor: BatchSchedulerExecutor, lsf: Simulated
) -> None:
    jobs = [executor.submit(shell("sleep 60")), executor.submit(shell("sleep 60", array=(0, 3)))]
    comes_true(lambda: all(status.state is JobState.ACTIVE for status in executor.status([job.id for job in jobs])))
    lsf.control(history=False)
    lsf.change(*(job_id for job_id, job in lsf.jobs().items() if not job["array"]), walltime=1)
    for job in jobs:
        status = job.wait(PATIENCE_S)
        assert (status.state, status.reason) == (JobState.FAILED, EndReason.TIMEOUT)
    assert "TERM_RUNLIMIT" in (jobs[1].folder / "manager.log.3").read_text()  # by our index


# ---- ends --------------------------------------------------------------------------------------------------------


def test_a_job_that_runs_out_of_wall_time_says_so(executor: BatchSchedulerExecutor, lsf: Simulated) -> None:
    job = executor.submit(shell("trap 'echo warned; exit 0' USR2; sleep 60 & wait"))
    comes_true(lambda: running(executor, job.id))
    lsf.change(job.native_id, walltime=1)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.TIMEOUT)
    assert job.stdout is not None
    assert job.stdout.read_text() == "warned\n"


def test_a_job_that_uses_too_much_memory_says_so(executor: BatchSchedulerExecutor, lsf: Simulated) -> None:
    job = executor.submit(shell("sleep 60"))
    comes_true(lambda: running(executor, job.id))
    lsf.control(over_memory=[job.native_id])
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.OUT_OF_MEMORY)


def test_a_job_whose_predecessor_failed_is_cancelled_for_that_reason(executor: BatchSchedulerExecutor) -> None:
    first = executor.submit(shell("sleep 1; exit 1"))
    second = executor.submit(Job(command=["true"], after=[first.id]))
    status = second.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.CANCELED, EndReason.DEPENDENCY)


def test_a_job_may_follow_one_element_of_an_array(executor: BatchSchedulerExecutor, lsf: Simulated) -> None:
    many = executor.submit(shell("sleep 1; exit $PSIJ_ARRAY_INDEX", array=(0, 1)))
    second = executor.submit(Job(command=["true"], after=[f"{many.id}_0"]))
    assert lsf.jobs()[second.native_id]["depend"] == [["afterok", f"{many.native_id}[1]"]]
    assert ended(second) is JobState.COMPLETED


def test_a_cancelled_element_is_cancelled_and_the_others_go_on(executor: BatchSchedulerExecutor) -> None:
    many = executor.submit(shell("[ $PSIJ_ARRAY_INDEX = 0 ] && sleep 60 || sleep 2", array=(0, 1, 2)))
    comes_true(lambda: running(executor, f"{many.id}_0"))
    executor.cancel([f"{many.id}_0"])
    assert many.wait(PATIENCE_S).message == "1 CANCELED, 2 COMPLETED"


def test_only_the_elements_that_wait_are_held(executor: BatchSchedulerExecutor, lsf: Simulated) -> None:
    many = executor.submit(shell("sleep 3", array=(0, 1), array_limit=1))
    comes_true(lambda: running(executor, f"{many.id}_0"))
    executor.hold([many.id])
    assert lsf.calls("bstop") == [["bstop", f"{many.native_id}[2]"]]
    assert executor.status([f"{many.id}_1"], urgent=True)[0].held
    executor.release([many.id])
    assert ended(many) is JobState.COMPLETED


def test_a_job_that_was_requeued_runs_again_under_the_same_id(
    executor: BatchSchedulerExecutor, lsf: Simulated, tmp_path: Path
) -> None:
    job = executor.submit(shell(f"echo x >>{tmp_path}/runs; [ $(wc -l <{tmp_path}/runs) = 2 ] || sleep 60"))
    comes_true((tmp_path / "runs").exists)
    lsf.run("brequeue", job.native_id)
    assert ended(job) is JobState.COMPLETED
    assert (tmp_path / "runs").read_text() == "x\nx\n"


def test_an_exit_code_with_which_lsf_runs_a_job_again_is_not_its_end(
    executor: BatchSchedulerExecutor, lsf: Simulated, tmp_path: Path
) -> None:
    text = f"echo x >>{tmp_path}/runs; [ $(wc -l <{tmp_path}/runs) = 2 ] && exit 4; exit 77"
    job = executor.submit(shell(text, parameters={"requeue_codes": [77]}))
    assert job.wait(PATIENCE_S).exit_code == 4
    assert (tmp_path / "runs").read_text() == "x\nx\n"


def test_a_stranger_with_our_id_is_left_alone(executor: BatchSchedulerExecutor, lsf: Simulated) -> None:
    ours = executor.submit(Job(command=["true"], hold=True))
    assert executor.status([ours.id], urgent=True)[0].held
    lsf.change(ours.native_id, description="", output="/home/bob/out", submitted=time.time() - 86400)
    executor.cancel([ours.id])
    status = ours.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)
    assert lsf.jobs()[ours.native_id]["state"] == "PSUSP"


# ---- inside a job --------------------------------------------------------------------------------------------------


def test_a_launch_node_is_no_node_of_the_job(executor: BatchSchedulerExecutor) -> None:
    text = 'echo $LSB_MCPU_HOSTS; cat "$PSIJ_NODEFILE"'
    job = executor.submit(shell(text, num_nodes=2, job_mode="script", parameters={"nodes_option": "nnodes"}))
    assert job.result(PATIENCE_S).splitlines() == ["batch1 1 node01 8 node02 8", "node01", "node02"]


def test_signals_and_the_end_of_a_running_job(executor: BatchSchedulerExecutor) -> None:
    job = executor.submit(shell("trap 'exit 5' USR1; echo ready; sleep 60 & wait", wall_time_min=30))
    assert job.stdout is not None
    comes_true(lambda: job.stdout.exists() and job.stdout.read_text() == "ready\n")
    end = executor.scheduler.end_time(job.native_id)
    assert end is not None
    assert abs(end - time.time() - 1800) < 60
    executor.scheduler.extend(job.native_id, 40)
    assert (executor.scheduler.end_time(job.native_id) or 0) - end == 600
    executor.scheduler.signal(job.native_id, signal.Signals.SIGUSR1.name.removeprefix("SIG"))
    assert job.wait(PATIENCE_S).exit_code in (5, 138)


def test_without_a_year_the_jobs_are_told_all_the_same(executor: BatchSchedulerExecutor, lsf: Simulated) -> None:
    lsf.control(year=False)
    job = executor.submit(shell("exit 3"))
    status = job.wait(PATIENCE_S)
    assert (status.state, status.exit_code) == (JobState.FAILED, 3)
    record = executor.scheduler.qstat(lambda seen: ()).of(job.native_id)
    assert record is not None
    assert abs((record.submitted or 0) - time.time()) < 180
