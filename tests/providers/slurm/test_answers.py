"""What is believed of a real Slurm's answers when they are late, missing, half garbage or plainly wrong."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState, JobStatus, Submission
from psij_parsl.errors import InvalidRequest, Unavailable
from psij_parsl.jobs.job_folder import claimed_by
from psij_parsl.testing.tools import PATIENCE_S, shell
from tests.cli.helpers import psij_here
from tests.clusters.hosts import comes_true as comes_true_soon
from tests.clusters.slurm import SlurmCluster
from tests.providers.slurm.helpers import Shims, finish, impatient, program, ran

pytestmark = [pytest.mark.every_slurm, pytest.mark.slow]

ComesTrue = Callable[..., None]

both = pytest.mark.parametrize("slurm", ["accounting", "plain"], indirect=True)
with_accounting = pytest.mark.parametrize("slurm", ["accounting"], indirect=True)
without_accounting = pytest.mark.parametrize("slurm", ["plain"], indirect=True)

POLL_S, GRACE_S = 0.4, 4.0
BEYOND_GRACE = round(1.5 * GRACE_S / POLL_S)  # so many answers take longer than a job may be unknown


@pytest.fixture
def executor(slurm: SlurmCluster, shims: Shims) -> BatchSchedulerExecutor:
    return BatchSchedulerExecutor("slurm", poll_s=POLL_S, grace_s=GRACE_S)


def running(executor: BatchSchedulerExecutor, job: Submission) -> Submission:
    """The job, once it is seen to run, and its script does.

    Slurm says RUNNING before it asks the node to start the script; where that cannot be heard the job fails.
    """
    found = executor.journal.find([job.id])
    assert executor.wait_until(found, lambda all_: all_[0].state is JobState.ACTIVE, timeout=PATIENCE_S)
    assert comes_true_soon(lambda: bool(claimed_by(job.folder)), PATIENCE_S)
    return job


def answers(executor: BatchSchedulerExecutor, job: Submission, number: int) -> list[JobStatus]:
    """The job's status after each of so many further answers of Slurm."""
    seen: list[JobStatus] = []
    asked = executor.snapshot.view().asked
    deadline = time.monotonic() + number * PATIENCE_S  # on a busy machine each answer takes some seconds
    while len(seen) < number:
        status = job.status()
        assert not status.final, status  # nothing more would be asked
        assert time.monotonic() < deadline, seen
        if (now := executor.snapshot.view().asked) != asked:
            asked = now
            seen.append(status)
        time.sleep(0.05)
    return seen


# ---- no answer -----------------------------------------------------------------------------------------------


@both
def test_while_the_controller_is_down_states_stay_and_slurm_is_asked_ever_less(
    slurm: SlurmCluster,
    shims: Shims,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    comes_true: ComesTrue,
) -> None:
    monkeypatch.setenv("SLURM_CONF", impatient(slurm.directory / "etc" / "slurm.conf", tmp_path, 1))
    executor = BatchSchedulerExecutor("slurm", poll_s=0.4, grace_s=0.0)
    job = running(executor, executor.submit(shell("sleep 300")))
    shims.count("squeue", "sacct")
    slurm.stop_controller()
    began = time.monotonic()
    assert not executor.wait([job.id], 10.0)
    seconds = time.monotonic() - began
    assert job.status().state is JobState.ACTIVE
    calls = shims.calls("squeue")
    pauses = [after - before for before, after in pairwise(calls)]
    print(f"controller down for {seconds:.0f} s: squeue was called {len(calls)} times, pauses {pauses}")
    assert 3 <= len(calls) <= 7  # of the 25 that there were without a pause
    assert pauses[-1] > pauses[0]
    assert not shims.calls("sacct")
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1
    assert "it is asked again later" in told[0].getMessage()
    slurm.start_controller()
    assert job.cancel()
    assert job.wait(PATIENCE_S).state is JobState.CANCELED
    comes_true(lambda: "the resource manager answers again" in caplog.text)


@both
def test_while_nobody_can_vouch_for_us_states_stay(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor, tmp_path: Path, comes_true: ComesTrue
) -> None:
    job = running(executor, executor.submit(shell("sleep 300")))
    socket = slurm.directory / "run" / "munge.sock"
    hidden = socket.rename(socket.with_suffix(".away"))
    try:
        comes_true(lambda: job.status() and executor.snapshot.view().failures > 0)
        assert job.status().state is JobState.ACTIVE
        with pytest.raises(Unavailable):
            job.cancel()
        assert not executor.journal.get(job.id).cancel_asked("")  # it has not been heard: an end has another reason
    finally:
        hidden.rename(socket)
    assert job.cancel()
    assert job.wait(PATIENCE_S).state is JobState.CANCELED


@without_accounting
def test_a_submit_that_cannot_reach_slurm_is_tried_again_and_leaves_nothing(
    executor: BatchSchedulerExecutor, shims: Shims
) -> None:
    error = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
    shims.put("sbatch", f'cat >/dev/null; echo >>{shims.folder}/tries; echo "{error}" >&2; exit 1')
    with pytest.raises(Unavailable, match="Unable to contact"):
        executor.submit(Job(command=["true"]))
    assert ran(shims.folder / "tries") > 1
    assert not executor.journal.entries()
    assert not list((executor.journal.home / "jobs").iterdir())


@both
def test_an_empty_answer_with_an_error_is_no_answer(
    executor: BatchSchedulerExecutor, shims: Shims, caplog: pytest.LogCaptureFixture, comes_true: ComesTrue
) -> None:
    job = running(executor, executor.submit(shell("sleep 300")))
    shims.put("squeue", 'echo "slurm_load_jobs error: Unable to contact slurm controller" >&2')
    comes_true(lambda: job.status() and executor.snapshot.view().failures >= 2)
    assert job.status().state is JobState.ACTIVE
    assert caplog.text.count("it is asked again later") == 1
    shims.take_away("squeue")
    assert job.cancel()
    assert job.wait(PATIENCE_S).state is JobState.CANCELED


@without_accounting
def test_an_answer_that_is_all_garbage_is_no_answer(
    executor: BatchSchedulerExecutor, shims: Shims, comes_true: ComesTrue
) -> None:
    job = running(executor, executor.submit(shell("sleep 300")))
    shims.put("squeue", 'echo "<html>Please log in</html>"')
    comes_true(lambda: job.status() and executor.snapshot.view().failures >= 2)
    assert job.status().state is JobState.ACTIVE


@without_accounting
def test_a_command_that_hangs_is_no_answer(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor, shims: Shims, comes_true: ComesTrue
) -> None:
    job = running(executor, executor.submit(shell("sleep 300")))
    executor.scheduler.run.timeout_s = 1.0  # type: ignore[attr-defined]  # a CommandRunner's
    shims.put("squeue", "sleep 300")
    comes_true(lambda: job.status() and executor.snapshot.view().failures >= 1)
    assert "no answer within 1 s" in executor.snapshot.view().failure
    assert job.status().state is JobState.ACTIVE


# ---- an answer that is partly garbage ------------------------------------------------------------------------


@both
def test_one_bad_record_harms_one_job(
    executor: BatchSchedulerExecutor, shims: Shims, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    bad = running(executor, executor.submit(shell("sleep 300")))
    good = running(executor, executor.submit(shell(f"until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 3")))
    for name in ("squeue", "scontrol"):
        shims.put(name, f'"$real" "$@" | sed -E "s/^(JobId=)?{bad.native_id}([/| ]).*/{bad.native_id}\\2%%%/"')
    (tmp_path / "go").touch()
    assert good.wait(PATIENCE_S).exit_code == 3
    states = {status.state for status in answers(executor, bad, BEYOND_GRACE)}
    assert states == {JobState.ACTIVE}
    assert caplog.text.count("cannot read") >= 1
    shims.take_away("squeue", "scontrol")
    assert bad.cancel()
    assert bad.wait(PATIENCE_S).state is JobState.CANCELED


@both
def test_an_earlier_job_of_its_id_does_not_make_a_bad_record_an_end(
    executor: BatchSchedulerExecutor, shims: Shims
) -> None:
    """As where Slurm has lost its books and counts from 1 again: accounting remembers what had the id before."""
    job = running(executor, executor.submit(shell("sleep 300")))
    other = executor.submit(shell("sleep 300"))  # so that the answer is not garbage alone
    for name in ("squeue", "scontrol"):
        shims.put(name, f'"$real" "$@" | sed -E "s/^(JobId=)?{job.native_id}([/| ]).*/{job.native_id}\\2%%%/"')
    at = "2001-01-01T00:00:00"
    shims.put("sacct", f'"$real" "$@" && echo "{job.native_id}|COMPLETED|0:0|{at}|{at}|{at}|node01|psij:x|None|"')
    assert {status.state for status in answers(executor, job, BEYOND_GRACE)} == {JobState.ACTIVE}
    shims.take_away("squeue", "sacct", "scontrol")
    for started in (job, other):  # the next test is to find its node free
        assert started.cancel()
        assert started.wait(PATIENCE_S).state is JobState.CANCELED


@both
def test_a_line_that_nobody_foresaw_harms_no_job(
    executor: BatchSchedulerExecutor, shims: Shims, caplog: pytest.LogCaptureFixture
) -> None:
    shims.put("squeue", 'echo "squeue: a word of your administrators"; "$real" "$@"; echo; echo "|||"')
    assert executor.submit(shell("exit 3")).wait(PATIENCE_S).exit_code == 3
    assert caplog.text.count("a word of your administrators") == 1


@without_accounting
def test_a_state_that_nobody_knows_changes_nothing(
    executor: BatchSchedulerExecutor, shims: Shims, caplog: pytest.LogCaptureFixture
) -> None:
    job = running(executor, executor.submit(shell("sleep 300")))
    shims.put("squeue", '"$real" "$@" | sed s/RUNNING/DREAMING/')
    assert {status.state for status in answers(executor, job, 4)} == {JobState.ACTIVE}
    assert caplog.text.count("'DREAMING', which is not known here") == 1


# ---- a job that has vanished ---------------------------------------------------------------------------------


@both
def test_a_vanished_job_is_lost_after_its_grace_and_never_completed(
    executor: BatchSchedulerExecutor, shims: Shims
) -> None:
    job = running(executor, executor.submit(shell("sleep 300")))
    shims.forget(job.native_id)
    began = time.time()
    first, second = answers(executor, job, 2)
    assert (first.state, second.state) == (JobState.ACTIVE, JobState.ACTIVE)
    assert "does not know it any more" in second.message
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)
    assert time.time() - began >= 4.0
    assert "left no exit file" in status.message


@without_accounting
def test_a_vanished_job_that_comes_back_was_never_away(slurm: SlurmCluster, shims: Shims) -> None:
    executor = BatchSchedulerExecutor("slurm", poll_s=0.4)
    job = running(executor, executor.submit(shell("sleep 300")))
    shims.forget(job.native_id)
    assert "does not know it" in answers(executor, job, 2)[-1].message
    shims.take_away("squeue", "sacct", "scontrol")
    assert answers(executor, job, 2)[-1].message == ""
    assert not executor.snapshot.view().missing


@both
def test_a_vanished_job_that_was_to_be_cancelled_is_canceled(executor: BatchSchedulerExecutor, shims: Shims) -> None:
    job = executor.submit(Job(command=["true"], hold=True))
    shims.forget(job.native_id)
    assert job.cancel()
    status = job.wait(PATIENCE_S)
    assert (status.state, status.exit_code) == (JobState.CANCELED, None)


@with_accounting
def test_a_vanished_job_is_not_lost_while_accounting_is_down(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor, shims: Shims
) -> None:
    job = running(executor, executor.submit(shell("sleep 300", parameters={"nodelist": "node02"})))
    slurm.stop_accounting()
    shims.forget(job.native_id)
    assert {status.state for status in answers(executor, job, BEYOND_GRACE)} == {JobState.ACTIVE}
    shims.take_away("squeue", "sacct", "scontrol")
    slurm.start_accounting()
    assert job.cancel()
    assert job.wait(PATIENCE_S).state is JobState.CANCELED


@with_accounting
def test_accounting_knows_the_end_of_a_job_that_the_queue_has_forgotten(
    executor: BatchSchedulerExecutor, shims: Shims, comes_true: ComesTrue, tmp_path: Path
) -> None:
    job = running(executor, executor.submit(shell(f"until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 5")))
    shims.forget(job.native_id)
    shims.take_away("sacct")
    (job.folder / "exit").mkdir()  # the script cannot leave its exit file
    (tmp_path / "go").touch()
    status = job.wait(PATIENCE_S)
    assert (status.state, status.exit_code) == (JobState.FAILED, 5)


def test_when_slurm_has_forgotten_a_job_its_folder_tells_what_became_of_it(
    forgetful: SlurmCluster, monkeypatch: pytest.MonkeyPatch, comes_true: ComesTrue, tmp_path: Path
) -> None:
    for name, value in forgetful.env.items():
        monkeypatch.setenv(name, value)
    executor = BatchSchedulerExecutor("slurm", poll_s=0.3, grace_s=1.0, settle_s=0.1)
    # One whose submitter died before it knew the id, and that nobody looked for while Slurm knew it.
    text = f"BatchSchedulerExecutor('slurm').submit(Job(command=['bash', '-c', 'echo x >>{tmp_path}/log; exit 4']))"
    assert finish(program(text, env={"PSIJ_PARSL_FAULT": "submitted"}))[0] == -9
    (orphan,) = executor.list()
    good, bad, killed = (executor.submit(shell(text)) for text in ("exit 0", "exit 3", "kill -9 $$"))
    silent = executor.submit(shell("mkdir $PSIJ_JOB_FOLDER/exit"))  # it can leave no exit file
    canceled = executor.submit(Job(command=["true"], hold=True))
    forgetful.run("scancel", canceled.native_id)
    comes_true(lambda: not forgetful.run("squeue", "-h", "-t", "all"), 30.0, "Slurm to forget")
    ends = [job.wait(PATIENCE_S) for job in (good, bad, killed)]
    assert [(end.state.name, end.exit_status) for end in ends] == [("COMPLETED", 0), ("FAILED", 3), ("FAILED", 137)]
    assert {end.message for end in ends} == {"as its exit file says"}
    for job in (silent, canceled):
        status = job.wait(PATIENCE_S)
        assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)
    assert orphan.wait(PATIENCE_S).exit_code == 4  # found by its claim
    assert executor.submission(orphan.id).native_id
    assert ran(tmp_path / "log") == 1


def test_what_a_forgotten_job_was_to_be_followed_by_goes_by_how_it_ended(
    forgetful: SlurmCluster, monkeypatch: pytest.MonkeyPatch, comes_true: ComesTrue
) -> None:
    """Nobody has asked since it ended. Slurm 24.11 refuses its id, 22.05 takes the dependency as met, whatever it was."""
    for name, value in forgetful.env.items():
        monkeypatch.setenv(name, value)
    executor = BatchSchedulerExecutor("slurm", poll_s=60.0)
    good, bad, worse = (executor.submit(shell(f"sleep 2; exit {code}")) for code in (0, 3, 4))
    assert not good.status().final
    comes_true(lambda: not forgetful.run("squeue", "-h", "-t", "all"), 60.0, "Slurm to forget")
    assert len(executor.list()) == 3
    with pytest.raises(InvalidRequest, match="not as afterok asks"):
        executor.submit(Job(command=["true"], after=[f"afterok:{bad.id}"]))
    for dependency in (f"afterok:{good.id}", f"afternotok:{worse.id}"):
        assert executor.submit(Job(command=["true"], after=[dependency])).wait(PATIENCE_S).state is JobState.COMPLETED


# ---- requeues ------------------------------------------------------------------------------------------------

STUBBORN = "trap 'exit 0' TERM; echo ready; sleep 300 & wait"  # it takes its end for a good one


def requeued(slurm: SlurmCluster, executor: BatchSchedulerExecutor, comes_true: ComesTrue, text: str) -> Submission:
    """A job that ran, left an exit file, and is held in the queue for its second attempt."""
    job = running(executor, executor.submit(shell(text, parameters={"requeue": True})))
    ready = job.folder / "stdout"
    comes_true(lambda: ready.exists() and "ready" in ready.read_text())
    slurm.run("scontrol", "requeuehold", job.native_id)
    comes_true(lambda: (job.folder / "exit").exists())
    found = executor.journal.find([job.id])
    assert executor.wait_until(found, lambda all_: all_[0].attempt == 1, timeout=PATIENCE_S)
    return job


@both
def test_the_exit_file_of_an_earlier_attempt_is_not_believed(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor, shims: Shims, comes_true: ComesTrue
) -> None:
    job = requeued(slurm, executor, comes_true, STUBBORN)
    assert " 0 0 command " in (job.folder / "exit").read_text()  # attempt 0 ended with code 0, it says
    assert {status.state for status in answers(executor, job, 3)} == {JobState.ACTIVE}  # a state never goes back
    assert job.status().held
    row = json.loads(psij_here("list", "--json").stdout)[0]
    assert row["why"].startswith("held; in the queue again"), row
    slurm.run("scancel", job.native_id)
    shims.forget(job.native_id)  # and nobody remembers
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)


@with_accounting
def test_the_end_of_an_earlier_attempt_in_accounting_is_none_and_that_of_the_last_one_is(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor, shims: Shims, comes_true: ComesTrue, tmp_path: Path
) -> None:
    """Though squeue's line cannot be read just now: a comment that somebody broke in two is enough."""
    log = tmp_path / "log"
    text = f"echo x >>{log}; mkdir $PSIJ_JOB_FOLDER/exit; until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 6"
    job = executor.submit(shell(text, parameters={"requeue": True, "nodelist": "node03"}))
    comes_true(lambda: ran(log) == 1 and job.status().state is JobState.ACTIVE)
    born = executor.journal.get(job.id).born
    assert born is not None
    time.sleep(max(0.0, born + 3.0 - time.time()))
    slurm.kill_node("node03")
    slurm.wait_for_messages()
    slurm.start_node("node03")
    slurm.run("scontrol", "update", f"JobId={job.native_id}", "StartTime=now")
    comes_true(lambda: ran(log) == 2 and job.status().attempt == 1)
    comes_true(lambda: "NODE_FAIL" in slurm.run("sacct", "-n", "-X", "-D", "-j", job.native_id, "-o", "State"))
    shims.put("squeue", f'"$real" "$@" | sed -E "s/^{job.native_id}[/].*/{job.native_id}%%%/"')
    assert {status.state for status in answers(executor, job, 4)} == {JobState.ACTIVE}
    (tmp_path / "go").touch()
    comes_true(lambda: "FAILED" in slurm.run("sacct", "-n", "-X", "-j", job.native_id, "-o", "State"))
    shims.put("squeue", f'"$real" "$@" | grep -v "^{job.native_id}[/]"; exit 0')
    status = job.wait(PATIENCE_S)
    assert (status.state, status.exit_code) == (JobState.FAILED, 6)


@both
def test_a_requeued_job_that_is_cancelled_while_it_waits_is_canceled(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor, comes_true: ComesTrue
) -> None:
    job = requeued(slurm, executor, comes_true, STUBBORN)
    slurm.run("scancel", job.native_id)
    assert job.wait(PATIENCE_S).state is JobState.CANCELED


@both
def test_a_requeued_job_ends_as_its_last_attempt_does(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor, shims: Shims, comes_true: ComesTrue, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    job = requeued(slurm, executor, comes_true, f"echo x >>{log}; [ $(wc -l <{log}) = 1 ] || exit 5; {STUBBORN}")
    slurm.run("scontrol", "release", job.native_id)
    # Slurm would wait two minutes; but its node takes no credential of the second in which the first one was revoked.
    slurm.run("scontrol", "update", f"JobId={job.native_id}", "StartTime=now+2")
    status = job.wait(PATIENCE_S)
    assert (status.state, status.exit_code, status.attempt) == (JobState.FAILED, 5, 1)
    assert " 1 5 command " in (job.folder / "exit").read_text()


# ---- a snapshot that is older than a job ---------------------------------------------------------------------


@both
def test_a_job_is_never_unknown_to_a_process_with_an_older_snapshot(
    executor: BatchSchedulerExecutor, shims: Shims
) -> None:
    watcher = BatchSchedulerExecutor("slurm", poll_s=3600, grace_s=0.0)
    first = watcher.submit(Job(command=["true"], hold=True))
    assert watcher.status([first.id])[0].state is JobState.QUEUED
    asked = watcher.snapshot.view().asked
    assert asked > 0
    time.sleep(1.0)
    jobs = [executor.submit(shell("sleep 1", hold=number > 0)) for number in range(3)]
    statuses = watcher.status([job.id for job in jobs])
    assert watcher.snapshot.view().asked == asked  # the very same answer, a second old
    assert [(status.state, status.message) for status in statuses] == [(JobState.QUEUED, "submitted")] * 3
    # The next answers, with no grace at all: they know them too.
    for _ in range(3):
        states = [status.state for status in watcher.status([job.id for job in jobs], urgent=True)]
        assert all(JobState.QUEUED <= state <= JobState.COMPLETED for state in states)
    assert watcher.cancel([first.id, jobs[1].id, jobs[2].id]) == [True, True, True]
