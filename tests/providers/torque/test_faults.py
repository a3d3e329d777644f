"""A Torque that is down, hangs, submits twice, prints odd things, or has other jobs of our ids; and how its jobs end."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState
from psij_parsl.errors import InvalidRequest, Rejected
from psij_parsl.testing.tools import PATIENCE_S, comes_true, ended, shell
from tests.cli.helpers import psij
from tests.providers.simulated_manager import SimulatedFaults
from tests.simulated.server import Simulated

pytestmark = pytest.mark.slow

Executor = Callable[..., BatchSchedulerExecutor]


@pytest.fixture
def executor(torque_executor: Executor) -> BatchSchedulerExecutor:
    return torque_executor(grace_s=0.5, settle_s=0.5)


class TestFaults(SimulatedFaults):
    platform = "torque"
    down = "cannot connect to server tq1"
    errors_after_taking = ("submit error (Time out)", "submit error (The moon is full)")
    cuts = (1, 40, 200, 900)
    other_forms = ("null", "<Data>", "<html><body>Down on Friday</body></html>")
    unknown_states = ("Z",)
    damages = ("<x>", "&")
    notices = ("{id}\nNotice: project chem has 2 jobs left today", "Balance 5.5\n{id} queued, 0 ahead")

    @pytest.fixture
    def server(self, torque: Simulated) -> Simulated:
        return torque


# ---- the server ----------------------------------------------------------------------------------------------------


def test_a_submission_that_qsub_repeats_by_itself_runs_once(
    executor: BatchSchedulerExecutor, torque: Simulated, tmp_path: Path
) -> None:
    """The server did not answer in time: qsub sends it again, and both arrive."""
    torque.control(repeated=True)
    job = executor.submit(shell("echo x >>runs; sleep 1", directory=tmp_path))
    torque.control(repeated=False)
    assert ended(job) is JobState.COMPLETED
    comes_true(lambda: all(each["state"] == "C" for each in torque.jobs().values()))
    assert len(torque.jobs()) == 2
    assert (tmp_path / "runs").read_text() == "x\n"


@pytest.mark.parametrize("junk", ["<x>", "&", "</y>", "<comment>a & b < c</comment>", "\x1b[0m", "<nothing/>"])
def test_text_that_is_no_xml_costs_nothing(executor: BatchSchedulerExecutor, torque: Simulated, junk: str) -> None:
    odd, other = (executor.submit(Job(command=["true"], hold=True)) for _ in range(2))
    torque.control(spoil={odd.native_id: junk})
    records = executor.scheduler.qstat(lambda seen: ()).records
    assert {records[job.native_id.partition(".")[0]].status.held for job in (odd, other)} == {True}
    assert records[odd.native_id.partition(".")[0]].tag == f"psij:{odd.id}"
    odd.cancel()
    other.cancel()


# ---- whose job it is -----------------------------------------------------------------------------------------------


def test_a_server_that_does_not_show_its_name_in_ids(executor: BatchSchedulerExecutor, torque: Simulated) -> None:
    qsub = torque.bin / "qsub"
    real = qsub.rename(torque.bin / "real-qsub")
    qsub.write_text(f'#!/bin/sh\nanswer=$({real} "$@") && echo "${{answer%.tq1}}"\n')
    qsub.chmod(0o755)
    job = executor.submit(shell("exit 3"))
    assert job.native_id.isdigit()
    assert job.wait(PATIENCE_S).exit_code == 3


# ---- ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [False, True])
def test_a_job_that_runs_out_of_wall_time_says_so(
    executor: BatchSchedulerExecutor, torque: Simulated, old: bool
) -> None:
    torque.control(old_status=old)
    job = executor.submit(shell("sleep 60"))
    torque.run("qalter", "-l", "walltime=1", job.native_id)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.TIMEOUT)


def test_the_end_of_a_running_job_is_told(executor: BatchSchedulerExecutor) -> None:
    job = executor.submit(shell("sleep 60", wall_time_min=30))
    comes_true(lambda: job.status().state is JobState.ACTIVE)
    assert executor.scheduler.end_time(job.native_id) == (executor.status([job.id])[0].started or 0) + 1800
    job.cancel()
    assert ended(job) is JobState.CANCELED


@pytest.mark.parametrize("held", [True, False])
def test_a_job_that_somebody_deleted_is_cancelled(
    executor: BatchSchedulerExecutor, torque: Simulated, held: bool
) -> None:
    job = executor.submit(shell("sleep 60", hold=held))
    if not held:
        comes_true(lambda: job.status().state is JobState.ACTIVE)
    torque.run("qdel", job.native_id)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.CANCELED, None)


def test_a_signal_ends_a_job_that_does_not_take_it(executor: BatchSchedulerExecutor) -> None:
    """It goes to every process, the login shell around the script included."""
    job = executor.submit(shell("sleep 60"))
    comes_true(lambda: (job.folder / "claim").is_symlink())
    comes_true(lambda: job.status().state is JobState.ACTIVE)
    executor.scheduler.signal(job.native_id, "USR1")
    status = job.wait(PATIENCE_S)
    assert (status.state, status.signal) == (JobState.FAILED, 10)


def test_a_job_whose_dependency_failed_is_cancelled_for_that_reason(executor: BatchSchedulerExecutor) -> None:
    first = executor.submit(shell("sleep 1; exit 4"))
    second = executor.submit(Job(command=["true"], after=[first.id]))
    assert not executor.status([second.id], urgent=True)[0].held
    status = second.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.CANCELED, EndReason.DEPENDENCY)
    assert first.native_id in status.message


def test_an_element_that_is_cancelled_leaves_the_others_alone(
    executor: BatchSchedulerExecutor, torque: Simulated
) -> None:
    whole = executor.submit(shell("[ $PSIJ_ARRAY_INDEX = 0 ] || sleep 60", array=(0, 1, 7)))
    first, second, third = (executor.submission(f"{whole.id}_{index}") for index in (0, 1, 7))
    assert ended(first) is JobState.COMPLETED
    assert second.native_id == "0[1].tq1"
    comes_true(lambda: second.status().state is JobState.ACTIVE)
    assert second.cancel()
    assert ended(second) is JobState.CANCELED
    assert third.status().state is JobState.ACTIVE
    whole.cancel()
    assert ended(third) is JobState.CANCELED


# ---- what is asked for ---------------------------------------------------------------------------------------------


def test_no_more_elements_run_at_a_time_than_were_asked_for(
    executor: BatchSchedulerExecutor, torque: Simulated
) -> None:
    whole = executor.submit(shell("sleep 1", array=range(4), parameters={"slots": 2}))
    most = 0
    while not whole.status().final:
        jobs = torque.jobs().values()
        most = max(most, sum(job["state"] == "R" for job in jobs if job["index"] is not None))
    assert most == 2
    assert whole.status().message == "4 COMPLETED"


def test_a_job_can_follow_an_array(executor: BatchSchedulerExecutor, torque: Simulated) -> None:
    array = executor.submit(shell("sleep 1", array=(0, 1)))
    good = executor.submit(Job(command=["true"], after=[array.id]))
    assert torque.jobs()[good.native_id]["asked_depend"] == "afterokarray:0[].tq1"
    assert ended(good) is JobState.COMPLETED


def test_a_job_in_torque_finds_its_nodes_and_cores(executor: BatchSchedulerExecutor) -> None:
    text = (
        'echo "$PBS_NUM_NODES $PBS_NUM_PPN $PBS_NP $(wc -l <"$PBS_NODEFILE") $(cat "$PSIJ_NODEFILE" | tr "\\n" " ")"'
    )
    job = executor.submit(shell(text, num_nodes=2, ranks_per_node=2, cpus_per_rank=3, job_mode="script"))
    assert job.result(PATIENCE_S).split() == ["2", "6", "12", "12", "node01", "node02"]


@pytest.mark.parametrize(
    ("asked", "limit", "text"),
    [
        ({"queue": "none"}, "queue", "Unknown queue"),
        ({"queue": "closed"}, "queue", "not enabled"),
        ({"queue": "short", "wall_time_min": 60}, "queue limits", "max walltime"),
        ({"num_nodes": 9, "job_mode": "script"}, "queue limits", "feasible nodes"),
    ],
)
def test_a_refusal_names_what_was_at_fault(
    executor: BatchSchedulerExecutor, asked: dict[str, object], limit: str, text: str
) -> None:
    with pytest.raises(Rejected, match=text) as caught:
        executor.submit(Job(command=["true"], **asked))  # type: ignore[arg-type]
    assert (caught.value.limit, bool(caught.value.hint)) == (limit, True)
    assert not executor.journal.entries()


def test_root_is_refused_with_torques_own_text(executor: BatchSchedulerExecutor, torque: Simulated) -> None:
    (torque.bin / "qsub").write_text("#!/bin/sh\necho 'qsub can not be run as root'\nexit 1\n")
    with pytest.raises(Rejected, match="can not be run as root"):
        executor.submit(Job(command=["true"]))
    assert not executor.journal.entries()


def test_a_queue_of_another_server_is_refused(executor: BatchSchedulerExecutor) -> None:
    with pytest.raises(InvalidRequest, match="no queue batch@other") as caught:
        executor.submit(Job(command=["true"], queue="batch@other"))
    assert "PBS_DEFAULT" in caught.value.hint


def test_psij_run_runs_on_it_and_names_it(torque: Simulated) -> None:
    done = psij("run", "--platform", "torque", "--", "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n")
    listed = json.loads(psij("platform", "list", "--json").stdout)
    found = {row["name"]: row for row in listed}
    assert found["torque"]["installed"]
    assert found["pbspro"]["error"] == f"the qsub at {torque.bin}/qsub is Torque's, not PBS Pro's"
    assert subprocess.run(["qstat", "--version"], capture_output=True, check=True).stdout == b""
