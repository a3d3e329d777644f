"""A Cobalt that is down, hangs, forgets, or deletes jobs: no job is lost, none runs twice, each end is told as it was.

The manager is simulated from its public source (tests/simulated/cobalt).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState, Submission
from psij_parsl.errors import Rejected
from psij_parsl.testing.tools import PATIENCE_S, comes_true, ended, shell
from tests.providers.simulated_manager import SimulatedFaults
from tests.simulated.server import Simulated

pytestmark = pytest.mark.slow

Executor = Callable[..., BatchSchedulerExecutor]


@pytest.fixture
def on_cobalt(cobalt: Simulated) -> Executor:
    return partial(BatchSchedulerExecutor, "cobalt", poll_s=0.1)


@pytest.fixture
def executor(on_cobalt: Executor) -> BatchSchedulerExecutor:
    return on_cobalt(grace_s=0.5, settle_s=0.5)


class TestFaults(SimulatedFaults):
    platform = "cobalt"
    script_options = "#COBALT -n 1 -t 10\n"
    down = "Failed to connect to queue-manager"
    errors_after_taking = ("<Fault 20: 'Server Failure'>",)
    cuts = (1, 60, 200)
    other_forms = ("null", "7", "<html><body>Down on Friday</body></html>")  # with a line break: a site's notices
    unknown_states = ("hibernating",)
    damages = ("    junk",)
    notices = ("Welcome to head7.\nDown on 2026.11\n{id}", "{id}\n2 jobs left, 5.5 of 7.GB")

    @pytest.fixture
    def server(self, cobalt: Simulated) -> Simulated:
        return cobalt


def running(job: Submission) -> Submission:
    comes_true(lambda: job.status().state is JobState.ACTIVE and (job.folder / "claim").is_symlink())
    return job


def gated(folder: Path, then: str) -> Job:
    """A job that does something as soon as the test makes the file `go`."""
    return shell(f"until [ -e {folder}/go ]; do sleep 0.2; done; {then}")


# ---- ends --------------------------------------------------------------------------------------------------------


def test_a_job_that_is_gone_without_a_trace_is_lost_and_not_done(
    executor: BatchSchedulerExecutor, cobalt: Simulated
) -> None:
    job = running(executor.submit(shell("sleep 60")))
    cobalt.forget(job.native_id)
    (job.folder / "manager.log").unlink()
    (job.folder / "claim").unlink()  # so that the script, which Cobalt ends now, says nothing that is its own
    (job.folder / "exit").mkdir()
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)


def test_a_job_out_of_wall_time_is_told_by_the_log(executor: BatchSchedulerExecutor, cobalt: Simulated) -> None:
    job = running(executor.submit(shell("sleep 60")))
    cobalt.change(job.native_id, walltime=1)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.TIMEOUT)
    assert status.message == "maximum execution time exceeded; initiating job termination"


KILL_SCRIPT = "kill -9 $(cut -d' ' -f6 /proc/$$/stat)"  # the job's script is its session's first process


def test_a_script_that_was_killed_leaves_no_exit_file_and_the_log_has_its_code(
    executor: BatchSchedulerExecutor, cobalt: Simulated
) -> None:
    status = executor.submit(shell(f"{KILL_SCRIPT}; sleep 60")).wait(PATIENCE_S)
    assert (status.state, status.exit_code, status.reason) == (JobState.FAILED, 137, None)
    assert "exit code of 137" in status.message


@pytest.mark.parametrize("hold", [True, False], ids=["held", "running"])
def test_a_job_that_somebody_deleted_is_cancelled_as_the_log_says(
    executor: BatchSchedulerExecutor, cobalt: Simulated, hold: bool
) -> None:
    job = executor.submit(shell("sleep 60", hold=hold))
    if not hold:
        running(job)
    cobalt.run("qdel", job.native_id)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.CANCELED, None)
    assert "user delete requested" in status.message


def test_a_job_that_ended_by_itself_is_not_what_an_older_line_of_the_log_says(
    executor: BatchSchedulerExecutor, cobalt: Simulated, tmp_path: Path
) -> None:
    job = running(executor.submit(gated(tmp_path, "exit 3")))
    with (job.folder / "manager.log").open("a") as log:
        log.write(
            "Thu Nov 05 17:29:30 2020 +0000 (UTC) Info: user delete requested with signal SIGTERM by user bob\n"
        )
    (tmp_path / "go").touch()
    status = job.wait(PATIENCE_S)
    assert (status.state, status.exit_code) == (JobState.FAILED, 3)


def test_what_a_job_prints_is_no_word_of_cobalts(
    executor: BatchSchedulerExecutor, cobalt: Simulated, tmp_path: Path
) -> None:
    """The script's own messages are in the same file as Cobalt's log."""
    job = running(executor.submit(gated(tmp_path, "exit 143")))
    with (job.folder / "manager.log").open("a") as log:
        log.write("Info: maximum execution time exceeded\nuser delete requested by bob\n")
    (tmp_path / "go").touch()
    status = job.wait(PATIENCE_S)
    assert (status.state, status.exit_code, status.reason) == (JobState.FAILED, 143, None)


@pytest.mark.parametrize("state", ["held", "queued", "running"])
def test_a_cancelled_job_is_cancelled(executor: BatchSchedulerExecutor, cobalt: Simulated, state: str) -> None:
    job = executor.submit(shell("sleep 60", hold=state == "held", queue="stopped" if state == "queued" else None))
    if state == "running":
        running(job)
    assert job.cancel()
    assert ended(job) is JobState.CANCELED
    assert not cobalt.jobs()


# ---- dependencies ------------------------------------------------------------------------------------------------


def test_a_job_whose_dependency_failed_is_taken_out_of_the_queue(
    executor: BatchSchedulerExecutor, cobalt: Simulated, tmp_path: Path
) -> None:
    first = executor.submit(gated(tmp_path, "exit 3"))
    second = executor.submit(Job(command=["true"], after=[first.id]))
    (tmp_path / "go").touch()
    status = second.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.CANCELED, EndReason.DEPENDENCY)
    comes_true(lambda: not cobalt.jobs())


def test_a_dependency_that_is_no_job_of_cobalts_is_found_out(
    executor: BatchSchedulerExecutor, cobalt: Simulated
) -> None:
    """qsub warns, and takes the job, which can never start."""
    job = executor.submit(Job(command=["true"], after=["afterok:4711"]))
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.CANCELED, EndReason.DEPENDENCY)


def test_a_job_follows_two_that_end_one_after_the_other(
    executor: BatchSchedulerExecutor, cobalt: Simulated, tmp_path: Path
) -> None:
    waits = gated(tmp_path, f"echo 1 >>{tmp_path}/log"), gated(tmp_path, f"sleep 1; echo 2 >>{tmp_path}/log")
    firsts = [executor.submit(job) for job in waits]
    last = executor.submit(shell("echo 3 >>log", directory=tmp_path, after=[job.id for job in firsts]))
    (tmp_path / "go").touch()
    assert ended(last) is JobState.COMPLETED
    assert (tmp_path / "log").read_text() == "1\n2\n3\n"


# ---- places, nodes, changes --------------------------------------------------------------------------------------


def test_in_a_folder_with_blanks_a_job_runs_and_is_known_by_its_tag(
    on_cobalt: Executor, cobalt: Simulated, tmp_path: Path
) -> None:
    executor = on_cobalt(home=tmp_path / "my state")
    job = executor.submit(gated(tmp_path, "exit 3"))
    comes_true(lambda: executor.status([job.id], urgent=True)[0].native == "running")
    (tmp_path / "go").touch()
    assert job.wait(PATIENCE_S).exit_code == 3


@pytest.mark.parametrize("nodefile", [False, True], ids=["cray", "cluster"])
def test_a_job_has_the_nodes_that_cobalt_shows(
    executor: BatchSchedulerExecutor, cobalt: Simulated, tmp_path: Path, nodefile: bool
) -> None:
    cobalt.control(nodefile=nodefile)
    job = executor.submit(gated(tmp_path, 'cat "$PSIJ_NODEFILE"').with_(num_nodes=2))
    comes_true(lambda: job.status().nodes)
    (tmp_path / "go").touch()
    assert job.result(PATIENCE_S).split() == job.status().nodes.split(",") == ["nid00001", "nid00002"]


def test_when_its_wall_time_ends_can_be_asked(executor: BatchSchedulerExecutor, cobalt: Simulated) -> None:
    job = running(executor.submit(shell("sleep 60", wall_time_min=10)))
    status, end = job.status(), executor.scheduler.end_time(job.native_id)
    assert status.started is not None
    assert end == status.started + 600
    job.cancel()


def test_only_a_job_that_waits_can_be_held_or_given_more_time(
    executor: BatchSchedulerExecutor, cobalt: Simulated
) -> None:
    job = running(executor.submit(shell("sleep 60")))
    with pytest.raises(Rejected, match="already active"):
        executor.hold([job.id])
    with pytest.raises(Rejected, match="running job"):
        executor.scheduler.extend(job.native_id, 20)
    job.cancel()
    waiting = executor.submit(Job(command=["true"], hold=True))
    executor.scheduler.extend(waiting.native_id, 20)
    assert cobalt.jobs()[waiting.native_id]["walltime"] == 1200
    waiting.cancel()


def test_queues_are_told_with_their_limits(executor: BatchSchedulerExecutor, cobalt: Simulated) -> None:
    queues = {queue.name: queue for queue in executor.scheduler.queues()}
    assert {name for name, queue in queues.items() if queue.up} == {"default", "short"}
    assert (queues["default"].default, queues["short"].minutes) == (True, 60)
