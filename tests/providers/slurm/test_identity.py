"""An id is not a job, on a real Slurm: a controller that forgot, another cluster, tags that are gone, odd answers."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState, JobStatus, Submission
from psij_parsl.errors import InvalidRequest, Rejected, UnknownJob
from psij_parsl.jobs.record import JobRecord
from psij_parsl.providers.slurm.provider import SlurmProvider
from psij_parsl.testing.tools import PATIENCE_S, shell
from tests.cli.helpers import psij
from tests.clusters.slurm import SlurmCluster
from tests.providers.slurm.helpers import Shims, jobs_in_slurm, ran

pytestmark = pytest.mark.slow

ComesTrue = Callable[..., None]

one_slurm = pytest.mark.parametrize("slurm", ["plain"], indirect=True)


@pytest.fixture
def executor(slurm: SlurmCluster) -> BatchSchedulerExecutor:
    return BatchSchedulerExecutor("slurm", poll_s=0.3, settle_s=0.5, grace_s=2.0)


@pytest.fixture
def shims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shims]:
    made = Shims(tmp_path / "shims")
    monkeypatch.setenv("PATH", made.path)
    yield made
    made.take_away(*os.listdir(made.folder))


def sbatch(*argv: str) -> str:
    """Submit a job of somebody else's; returns its id."""
    done = subprocess.run(["sbatch", "--parsable", *argv], capture_output=True, text=True, check=True, cwd="/")
    return done.stdout.strip().partition(";")[0]


def state_in_slurm(job: str, *options: str) -> str:
    """Its state in Slurm's own words."""
    argv = ["squeue", *options, "-h", "-t", "all", "-j", job, "-o", "%T"]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    return next(line for line in lines if not line.startswith("CLUSTER"))


def cancels(shims: Shims) -> list[str]:
    """The ids of all jobs that anybody told Slurm to cancel."""
    path = shims.folder / "cancelled"
    return path.read_text().split() if path.exists() else []


def lost(job: Submission) -> None:
    """It is gone: LOST, or where accounting has noted under our tag that its controller began anew, as that says."""
    status = job.wait(PATIENCE_S)
    if status.reason is not EndReason.LOST:
        assert (status.state, status.native, status.started) == (JobState.CANCELED, "CANCELLED", None)
        return
    assert "never started" in status.message


def watch_cancels(shims: Shims) -> None:
    shims.put(
        "scancel",
        f'for each; do case $each in -*) ;; accounted | plain | two) ;; *) echo "$each" >>{shims.folder}/cancelled;; esac; done\n'
        'exec "$real" "$@"',
    )


# ---- a controller that lost its state ------------------------------------------------------------------------------


def test_after_a_loss_of_state_ours_is_lost_and_the_stranger_with_its_id_runs_on(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor, shims: Shims, comes_true: ComesTrue
) -> None:
    slurm.forget_everything()
    job = executor.submit(Job(command=["true"], hold=True))
    if slurm.settings.accounting:
        assert executor.status([job.id], urgent=True)[0].held  # adopted
    slurm.forget_everything()
    watch_cancels(shims)
    while (stranger := sbatch("-o", "/dev/null", "--wrap", "sleep 600")) != job.native_id:
        assert int(stranger) < int(job.native_id)
    comes_true(lambda: state_in_slurm(stranger) == "RUNNING")
    done = psij("cancel", job.id)
    assert done.returncode == 0, done.stderr
    lost(job)
    assert state_in_slurm(stranger) == "RUNNING"
    assert cancels(shims) == []
    attached = executor.attach(stranger)  # the manager's job, not the one of ours that had its id
    assert (attached.native_id, executor.attach(stranger).id) == (stranger, attached.id)
    assert attached.id != job.id
    assert attached.status().state is JobState.ACTIVE
    lost(job)


#: What others submit after a loss of state; its first id reaches all of it, the second an element or a part of it.
OTHERS = {
    "a plain job": ("--wrap", "sleep 600"),
    "an array": ("--array", "0-3", "--wrap", "sleep 600"),
    "a heterogeneous job": ("-N1", "--wrap", "sleep 600", ":", "-N1"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_no_cancel_reaches_a_strangers_array_or_an_element_or_part_of_it_by_our_id(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor, shims: Shims, comes_true: ComesTrue, other: str
) -> None:
    slurm.forget_everything()
    first = executor.submit(Job(command=["true"], hold=True))
    second = executor.submit(Job(command=["true"], hold=True, array=(0, 1)))
    assert [job.native_id for job in (first, second)] == ["1", "2"]
    assert all(status.held for status in executor.status([first.id, second.id], urgent=True))
    slurm.forget_everything()
    watch_cancels(shims)
    assert sbatch("-o", "/dev/null", *OTHERS[other]) == "1"
    if other == "a plain job":
        assert sbatch("-o", "/dev/null", *OTHERS[other]) == "2"
    comes_true(lambda: set(slurm.run("squeue", "-h", "-o", "%T").split()) == {"RUNNING"})
    done = psij("cancel", first.id, second.id)
    assert done.returncode == 0, done.stderr
    lost(first)
    assert cancels(shims) == []
    assert set(slurm.run("squeue", "-h", "-t", "all", "-o", "%T").split()) == {"RUNNING"}


@one_slurm
def test_after_a_requeue_and_a_loss_of_state_the_stranger_with_its_id_is_none_of_ours(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor, shims: Shims, comes_true: ComesTrue
) -> None:
    """A requeue moves the time of submission; but the count of starts never falls."""
    slurm.forget_everything()
    job = executor.submit(shell("sleep 600"))
    comes_true(lambda: executor.status([job.id], urgent=True)[0].state is JobState.ACTIVE)
    slurm.run("scontrol", "requeuehold", job.native_id)  # held: a node that had it would end the other one by its id
    comes_true(lambda: executor.status([job.id], urgent=True)[0].attempt == 1)
    comes_true(lambda: state_in_slurm(job.native_id) == "PENDING")
    slurm.forget_everything()
    watch_cancels(shims)
    assert sbatch("-o", "/dev/null", "--wrap", "sleep 600") == job.native_id
    comes_true(lambda: state_in_slurm(job.native_id) == "RUNNING")
    assert psij("cancel", job.id).returncode == 0
    assert job.wait(PATIENCE_S).native != "COMPLETED"
    assert state_in_slurm(job.native_id) == "RUNNING"
    assert cancels(shims) == []


@pytest.mark.parametrize("slurm", ["accounting"], indirect=True)
def test_an_id_that_began_again_is_told_apart_in_accounting(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor, comes_true: ComesTrue
) -> None:
    """sacct knows both: ours, which ended with 3, and one that was COMPLETED under the same id later."""
    slurm.forget_everything()
    job = executor.submit(shell("exit 3"))
    asked = ("sacct", "-n", "-P", "-X", "-j", job.native_id, "-o", "JobID,State")  # it tells arrays of that id, too
    comes_true(lambda: f"{job.native_id}|FAILED" in slurm.run(*asked).splitlines())
    slurm.forget_everything()
    while (stranger := sbatch("-o", "/dev/null", "--wrap", "true")) != job.native_id:
        assert int(stranger) < int(job.native_id)
    comes_true(lambda: state_in_slurm(stranger) == "COMPLETED")
    (job.folder / "exit").unlink()  # only accounting can tell
    status = job.wait(PATIENCE_S)
    assert (status.state, status.exit_code) == (JobState.FAILED, 3)


@one_slurm
def test_two_records_with_one_native_id_are_told_by_their_tags(executor: BatchSchedulerExecutor) -> None:
    job = executor.submit(shell("exit 4"))
    other = executor.journal.commit(
        executor.journal.intend(
            JobRecord("0000000000", "slurm", str(job.folder.parent / "x"), cluster=executor.cluster)
        ),
        job.native_id,
    )
    assert job.wait(PATIENCE_S).exit_code == 4
    assert executor.wait([other.id], PATIENCE_S)
    assert executor.status([other.id])[0].reason is EndReason.LOST


# ---- tags that are gone --------------------------------------------------------------------------------------------


def test_a_site_that_strips_comments_keeps_us_our_jobs(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor, shims: Shims, comes_true: ComesTrue
) -> None:
    shims.put(
        "sbatch",
        'for each; do shift; case $each in --comment=*) ;; *) set -- "$@" "$each";; esac; done\n'
        'exec "$real" "$@" < <(grep -v "^#SBATCH --comment=")',
    )
    job, held = executor.submit(shell("exit 6")), executor.submit(Job(command=["true"], hold=True))
    assert job.wait(PATIENCE_S).exit_code == 6
    assert executor.status([held.id], urgent=True)[0].held
    assert held.cancel()
    assert held.wait(PATIENCE_S).state is JobState.CANCELED


def test_a_site_where_neither_comment_nor_path_is_told_keeps_us_our_jobs(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor, shims: Shims
) -> None:
    """Then the time of submission tells."""
    blind = '"$real" "$@" | sed -E "s#psij:[a-z0-9]+#(null)#; s#[^|= ]*/manager.log[^| ]*##"; exit "${PIPESTATUS[0]}"'
    for name in ("squeue", "scontrol", "sacct"):
        shims.put(name, blind)
    job = executor.submit(shell("sleep 1; exit 6"))
    assert job.wait(PATIENCE_S).exit_code == 6
    assert executor.journal.get(job.id).born


def test_a_job_whose_comment_the_user_changed_is_still_ours(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor
) -> None:
    job = executor.submit(shell("sleep 600"))
    slurm.run("scontrol", "update", f"JobId={job.native_id}", "Comment=my best run")
    executor.wait_until(
        executor.journal.find([job.id]), lambda statuses: statuses[0].state is JobState.ACTIVE, timeout=PATIENCE_S
    )
    assert job.status().state is JobState.ACTIVE
    assert job.cancel()
    assert job.wait(PATIENCE_S).state is JobState.CANCELED


@one_slurm
def test_a_requeued_job_without_a_tag_is_still_ours(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor, shims: Shims, comes_true: ComesTrue, tmp_path: Path
) -> None:
    """A requeue moves Slurm's time of submission."""
    shims.put("squeue", '"$real" "$@" | sed -E "s#psij:[a-z0-9]+#(null)#; s#[^|]*/manager.log##"')
    log = tmp_path / "log"
    job = executor.submit(
        shell(f"echo x >>{log}; [ $(wc -l <{log}) = 2 ] || sleep 600; exit 9", stdout=tmp_path / "o")
    )
    comes_true(lambda: ran(log) == 1 and executor.status([job.id], urgent=True)[0].state is JobState.ACTIVE)
    slurm.run("scontrol", "requeue", job.native_id)
    comes_true(lambda: state_in_slurm(job.native_id) == "PENDING" and (job.folder / "exit").exists())
    killed = time.time()
    comes_true(lambda: time.time() > killed + 2.5)  # within a second slurmd 22.05 takes the new start for the old one
    slurm.run("scontrol", "update", f"JobId={job.native_id}", "StartTime=now")
    status = job.wait(PATIENCE_S)
    assert (status.state, status.exit_code, status.attempt, ran(log)) == (JobState.FAILED, 9, 1, 2)


# ---- answers of sbatch ---------------------------------------------------------------------------------------------

ANSWERS = {
    "the id": 'echo "$id"',
    "a banner before": 'echo "Welcome to the machine."; echo "$id"',
    "a banner with numbers before": 'echo "3 nodes are down"; echo "$id"',
    "a number of its own line before": 'echo 1; echo "$id"',
    "a notice after": 'echo "$id"; echo "Notice: project chem has 2 jobs left today"',
    "a number of its own line after": 'echo "$id"; echo 1',
    "a balance after": 'echo "$id"; echo "Balance on 2026.11: 5.5 kSU"',
    "the words without --parsable": 'echo "Submitted batch job $id"',
    "the id with its cluster": 'echo "$id;$(scontrol show config | sed -n "s/^ClusterName *= //p")"',
    "blanks and an empty line": 'echo; echo "  $id  "; echo',
    "nothing": "true",
    "warnings on stderr": 'echo "sbatch: warning: 1 of 2" >&2; echo "$id"',
}


@pytest.mark.parametrize("slurm", ["accounting"], indirect=True)
@pytest.mark.parametrize("answer", ANSWERS)
def test_whatever_stands_around_the_id_the_right_job_is_known(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor, shims: Shims, answer: str
) -> None:
    """And no other one is ever cancelled: job 1 is somebody's."""
    slurm.forget_everything()
    bystander = sbatch("-o", "/dev/null", "--wrap", "sleep 600")
    assert bystander == "1"
    watch_cancels(shims)
    shims.put("sbatch", f'id=$("$real" "$@") || exit; id=${{id%%;*}}; {ANSWERS[answer]}')
    job = executor.submit(shell("exit 5"))
    assert list(jobs_in_slurm(executor.journal.home)) == [job.native_id.partition(";")[0]]
    assert job.wait(PATIENCE_S).exit_code == 5
    held = executor.submit(Job(command=["true"], hold=True))
    assert held.cancel()
    assert held.wait(PATIENCE_S).state is JobState.CANCELED
    assert cancels(shims) == [held.native_id.partition(";")[0]]
    assert state_in_slurm(bystander) == "RUNNING"


# ---- accepted, and called refused ----------------------------------------------------------------------------------


def test_a_submission_that_was_accepted_and_answered_with_an_error_is_one_job(
    slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's munge socket goes away between question and answer."""
    log = tmp_path / "log"
    executor = BatchSchedulerExecutor("slurm", poll_s=0.3, settle_s=5.0)
    with slurm.munge_lost_before_answers(processes=5) as between:
        with monkeypatch.context() as patch:
            for name, value in between.env.items():
                patch.setenv(name, value)
            job = executor.submit(shell(f"echo x >>{log}"))
        assert job.wait(PATIENCE_S).state is JobState.COMPLETED
    assert ran(log) == 1
    assert list(executor.journal.entries()) == [job.id]
    assert list(jobs_in_slurm(executor.journal.home)) == [job.native_id]


@pytest.mark.parametrize("code", [1, 3, 127])
def test_an_id_beside_an_exit_code_is_a_job(
    executor: BatchSchedulerExecutor, shims: Shims, tmp_path: Path, code: int
) -> None:
    log = tmp_path / "log"
    shims.put("sbatch", f'"$real" "$@"; echo "hook: Invalid account" >&2; exit {code}')
    job = executor.submit(shell(f"echo x >>{log}"))
    assert job.wait(PATIENCE_S).state is JobState.COMPLETED
    assert ran(log) == 1
    assert list(executor.journal.entries()) == [job.id]


def test_words_that_nobody_foresaw_are_looked_into_once(
    executor: BatchSchedulerExecutor, shims: Shims, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    shims.put("sbatch", '"$real" "$@" >/dev/null; echo "the moon is wrong" >&2; exit 9')
    job = executor.submit(shell(f"echo x >>{log}"))
    assert job.wait(PATIENCE_S).state is JobState.COMPLETED
    assert ran(log) == 1


NOTICES = {
    "of an account": ("sbatch: account chem, qos normal", "Transport endpoint is not connected"),
    "of a server that is away": ("sbatch: licenses: Connection refused", "Socket timed out on send/recv operation"),
    "of a server that is away, as an error": ("sbatch: error: Connection refused", "Zero Bytes were transmitted"),
}


@one_slurm
@pytest.mark.parametrize("notice", NOTICES)
def test_a_notice_beside_an_error_does_not_make_a_refusal_of_what_was_accepted(
    executor: BatchSchedulerExecutor, shims: Shims, tmp_path: Path, notice: str
) -> None:
    log, (line, words) = tmp_path / "log", NOTICES[notice]
    failed = f"sbatch: error: Batch job submission failed: {words}"
    shims.put("sbatch", f'"$real" "$@" >/dev/null; printf "%s\n" "{line}" "{failed}" >&2; exit 1')
    job = executor.submit(shell(f"echo x >>{log}"))
    assert job.wait(PATIENCE_S).state is JobState.COMPLETED
    assert ran(log) == 1
    assert list(jobs_in_slurm(executor.journal.home)) == [job.native_id]


def test_unforeseen_words_of_a_job_that_is_not_there_are_a_refusal_and_a_late_copy_never_runs(
    executor: BatchSchedulerExecutor, shims: Shims, tmp_path: Path, comes_true: ComesTrue
) -> None:
    """The record stays, so that the copy is known and cancelled when it comes."""
    log, late = tmp_path / "log", tmp_path / "late.sh"
    shims.put("sbatch", f'cat >{late}; echo "the moon is wrong" >&2; exit 9')
    with pytest.raises(Rejected, match="moon"):
        executor.submit(shell(f"echo x >>{log}"))
    (entry,) = executor.journal.entries().values()
    assert (entry.ended[""].state, entry.ended[""].message.endswith("moon is wrong")) == (JobState.FAILED, True)
    shims.take_away("sbatch")
    copy = sbatch("--hold", f"--comment=psij:{entry.id}", str(late))
    keeper = executor.submit(Job(command=["true"], hold=True))  # so that somebody asks
    comes_true(lambda: executor.status([keeper.id], urgent=True) and state_in_slurm(copy) == "CANCELLED")
    assert executor.journal.get(entry.id).twins == (copy,)
    assert ran(log) == 0
    assert state_in_slurm(keeper.native_id) == "PENDING"


@pytest.mark.parametrize("slurm", ["accounting"], indirect=True)  # without it there are no accounts
def test_a_wrong_account_costs_no_settling_time_and_leaves_nothing(slurm: SlurmCluster) -> None:
    executor = BatchSchedulerExecutor("slurm", settle_s=3600.0)
    with pytest.raises(Rejected) as caught:
        executor.submit(Job(command=["true"], project="nobody"))
    assert caught.value.limit == "project"
    assert not executor.journal.entries()
    assert not list((executor.journal.home / "jobs").iterdir())


# ---- attaching, and cancelling by proof ----------------------------------------------------------------------------


@one_slurm
def test_four_attaches_at_one_instant_make_one_record_and_keep_what_was_heard(
    executor: BatchSchedulerExecutor,
) -> None:
    executor.status([executor.submit(Job(command=["true"], hold=True)).id], urgent=True)  # a fresh snapshot
    theirs = sbatch("--hold", "-o", "/dev/null", "--wrap", "exit 4")
    executors = [BatchSchedulerExecutor("slurm", poll_s=60.0) for _ in range(4)]
    barrier = threading.Barrier(4)
    made: list[str] = []

    def attach(one: BatchSchedulerExecutor) -> None:
        barrier.wait()
        made.append(one.attach(theirs).id)

    threads = [threading.Thread(target=attach, args=(one,)) for one in executors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert len(set(made)) == 1
    status = executors[0].status(made[:1])[0]
    assert (status.state, status.held) == (JobState.QUEUED, True)


@one_slurm
def test_an_id_of_a_job_that_has_ended_may_be_attached_and_followed_as_another_job(
    slurm: SlurmCluster, executor: BatchSchedulerExecutor, comes_true: ComesTrue
) -> None:
    slurm.forget_everything()
    job = executor.submit(shell("exit 0"))
    assert job.wait(PATIENCE_S).state is JobState.COMPLETED
    assert executor.attach(job.native_id).id == job.id
    slurm.forget_everything()
    stranger = sbatch("-o", "/dev/null", "--wrap", "sleep 600")
    assert stranger == job.native_id
    follower = executor.submit(Job(command=["true"], after=[f"afterok:{stranger}"]))
    comes_true(lambda: state_in_slurm(stranger) == "RUNNING")
    assert slurm.run("squeue", "-h", "-j", follower.native_id, "-o", "%T %r").split() == ["PENDING", "Dependency"]
    attached = executor.attach(stranger)
    assert attached.id != job.id
    assert attached.status().state is JobState.ACTIVE
    assert executor.attach(stranger).id == attached.id
    assert executor.attach(job.id).status().state is JobState.COMPLETED


@one_slurm
def test_an_id_in_a_dependency_is_no_job_of_another_cluster(executor: BatchSchedulerExecutor) -> None:
    """A home is shared by the login nodes of two machines, whose ids are alike."""
    theirs = sbatch("--hold", "-o", "/dev/null", "--wrap", "true")
    entry = JobRecord("0000000000", "slurm", "/nowhere/0000000000", cluster="SLURM_CONF=/elsewhere")
    elsewhere = executor.journal.commit(executor.journal.intend(entry), theirs)
    executor.journal.end({(elsewhere.id, ""): JobStatus(JobState.COMPLETED, "COMPLETED")})
    follower = executor.submit(Job(command=["true"], after=[f"afterok:{theirs}"]))
    executor.status([follower.id], urgent=True)
    assert state_in_slurm(follower.native_id) == "PENDING"


@one_slurm
def test_the_library_touches_no_job_of_another_cluster_or_platform(
    executor: BatchSchedulerExecutor, shims: Shims, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Here its id is another job's."""
    theirs = sbatch("--hold", "-o", "/dev/null", "--wrap", "true")
    for number, (platform, cluster) in enumerate((("slurm", "SLURM_CONF=/elsewhere"), ("local", ""))):
        entry = JobRecord(f"000000000{number}", platform, str(tmp_path / f"000000000{number}"), cluster=cluster)
        executor.journal.commit(executor.journal.intend(entry), theirs, sure=True)
        for verb in (executor.status, executor.cancel, executor.wait, executor.hold, executor.release):
            with pytest.raises(InvalidRequest, match="another cluster|job of local"):
                verb([entry.id])
    assert state_in_slurm(theirs) == "PENDING"


@one_slurm
def test_an_array_of_others_is_attached_by_its_elements(executor: BatchSchedulerExecutor) -> None:
    theirs = sbatch("--hold", "-a", "3-4", "-o", "/dev/null", "--wrap", "true")
    with pytest.raises(UnknownJob) as refused:
        executor.attach(theirs)
    assert f"attach its elements, as {theirs}_3" in (refused.value.hint or "")
    assert executor.attach(f"{theirs}_4").status().held


@one_slurm
def test_a_cancel_asks_first_and_where_nobody_answers_an_older_proof_will_do(
    executor: BatchSchedulerExecutor, shims: Shims, caplog: pytest.LogCaptureFixture
) -> None:
    job = executor.submit(Job(command=["sleep", "600"]))
    shims.count("squeue")
    shims.put("squeue", 'echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1')
    assert job.cancel()  # the id stood alone in the answer, less than a minute ago
    assert "when they were submitted" in caplog.text
    shims.take_away("squeue")
    assert job.wait(PATIENCE_S).state is JobState.CANCELED


@one_slurm
def test_twenty_cancels_at_once_cost_few_queries(executor: BatchSchedulerExecutor, shims: Shims) -> None:
    jobs = [executor.submit(Job(command=["true"], hold=True)) for _ in range(20)]
    shims.count("squeue")
    threads = [threading.Thread(target=BatchSchedulerExecutor("slurm").cancel, args=([job.id],)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(shims.calls("squeue")) <= 10
    assert all(job.wait(PATIENCE_S).state is JobState.CANCELED for job in jobs)


# ---- several clusters of one Slurm ---------------------------------------------------------------------------------


def test_a_job_of_a_named_cluster_is_asked_and_cancelled_there(
    two_slurms: tuple[SlurmCluster, SlurmCluster], shims: Shims, comes_true: ComesTrue, tmp_path: Path
) -> None:
    watch_cancels(shims)
    here = BatchSchedulerExecutor("slurm", poll_s=0.3, grace_s=2.0)
    there = BatchSchedulerExecutor("slurm", poll_s=0.3, grace_s=2.0, cluster="two")
    job = here.submit(shell("sleep 600", parameters={"cluster": "two"}))
    number, _, name = job.native_id.partition(";")
    assert name == "two"
    twin = ""
    while int(twin or "0") < int(number):  # the local cluster has a job of that number
        twin = sbatch("-o", "/dev/null", "--wrap", "sleep 600")
    comes_true(lambda: here.status([job.id], urgent=True)[0].state is JobState.ACTIVE)
    assert there.status([job.id])[0].state is JobState.ACTIVE
    local = here.submit(Job(command=["true"]))
    assert ";" not in local.native_id
    done = psij("cancel", job.id)
    assert done.returncode == 0, done.stderr
    assert job.wait(PATIENCE_S).state is JobState.CANCELED
    assert state_in_slurm(number, "-M", "two") == "CANCELLED"
    assert state_in_slurm(number) == "RUNNING" if twin == number else True
    assert local.wait(PATIENCE_S).state is JobState.COMPLETED
    assert cancels(shims)[-1] == number


def test_the_command_line_names_a_cluster_and_arrays_and_dependencies_work_there(
    two_slurms: tuple[SlurmCluster, SlurmCluster], tmp_path: Path
) -> None:
    first = psij("submit", "--platform", "slurm", "-X", "cluster=two", "--array", "0-2", "--", "bash", "-c", "exit 0")
    assert first.returncode == 0, first.stderr
    second = psij("submit", "--platform", "slurm", "-X", "cluster=two", "-d", first.stdout.strip(), "--", "true")
    assert second.returncode == 0, second.stderr
    waited = psij("wait", first.stdout.strip(), second.stdout.strip())
    assert waited.returncode == 0, waited.stderr
    shown = psij("info", "--json", second.stdout.strip()).stdout
    assert ';two"' in shown
    assert "cluster=two" in shown
    local = psij("submit", "--platform", "slurm", "-d", first.stdout.strip(), "--", "true")
    assert local.returncode == 0, local.stderr  # it has ended well, so there is nothing to wait for
    open_ = psij("submit", "--platform", "slurm", "-X", "cluster=two", "--hold", "--", "true")
    crossing = psij("submit", "--platform", "slurm", "-d", open_.stdout.strip(), "--", "true")
    assert crossing.returncode == 2
    assert "cluster" in crossing.stderr or "another slurm" in crossing.stderr


def test_a_block_of_parsl_goes_to_a_named_cluster(
    two_slurms: tuple[SlurmCluster, SlurmCluster], tmp_path: Path, comes_true: ComesTrue
) -> None:
    provider = SlurmProvider(cluster="two", cores_per_node=1, wall_time_min=2)
    provider.script_dir = str(tmp_path)
    block = provider.submit("sleep 600", 1, "block")
    comes_true(lambda: provider.status([block])[0].state.name == "RUNNING")
    (entry,) = provider.blocks.executor.journal.entries().values()
    number, _, name = entry.native.partition(";")
    assert name == "two"
    assert state_in_slurm(number, "-M", "two") == "RUNNING"
    assert provider.cancel([block]) == [True]
    comes_true(lambda: provider.status([block])[0].state.name == "CANCELLED")
    assert SlurmProvider(scheduler_options="#SBATCH --clusters=two").parameters["cluster"] == "two"


def test_a_cluster_whose_controller_forgot_is_told_apart_too(
    two_slurms: tuple[SlurmCluster, SlurmCluster], shims: Shims
) -> None:
    _, two = two_slurms
    two.forget_everything()
    executor = BatchSchedulerExecutor("slurm", poll_s=0.3, grace_s=2.0, cluster="two")
    job = executor.submit(Job(command=["true"], hold=True))
    two.forget_everything()
    stranger = sbatch("-M", "two", "-o", "/dev/null", "--wrap", "sleep 600")
    assert f"{stranger};two" == job.native_id
    watch_cancels(shims)
    assert psij("cancel", job.id).returncode == 0
    lost(job)
    assert cancels(shims) == []
    assert state_in_slurm(stranger, "-M", "two") in ("PENDING", "RUNNING")


def test_a_cluster_of_the_environment_is_as_one_that_was_named(
    two_slurms: tuple[SlurmCluster, SlurmCluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CLUSTERS", "two")
    job = BatchSchedulerExecutor("slurm", poll_s=0.3).submit(shell("exit 7"))
    assert job.native_id.endswith(";two")
    monkeypatch.delenv("SLURM_CLUSTERS")
    assert BatchSchedulerExecutor("slurm", poll_s=0.3).wait([job.id], PATIENCE_S)
    assert psij("wait", job.id).returncode == 7


def test_a_job_of_the_usual_cluster_is_not_looked_for_in_one_of_the_environment(
    two_slurms: tuple[SlurmCluster, SlurmCluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor cancelled there, where another job has its id."""
    job = BatchSchedulerExecutor("slurm").submit(Job(command=["true"], hold=True))
    stranger = "0"
    while int(stranger) < int(job.native_id):
        stranger = sbatch("-M", "two", "--hold", "-o", "/dev/null", "--wrap", "true")
    monkeypatch.setenv("SLURM_CLUSTERS", "two")
    executor = BatchSchedulerExecutor("slurm")
    for verb in (executor.wait, executor.cancel, executor.status):
        with pytest.raises(InvalidRequest, match="another cluster"):
            verb([job.id])
    assert state_in_slurm(stranger, "-M", "two") == "PENDING"


def test_jobs_of_a_named_cluster_are_attached_held_and_released_there(
    two_slurms: tuple[SlurmCluster, SlurmCluster], comes_true: ComesTrue
) -> None:
    executor = BatchSchedulerExecutor("slurm", poll_s=0.3)
    here, there = "0", "0"
    while here != there or here == "0":
        if int(here) <= int(there):
            here = sbatch("--hold", "-o", "/dev/null", "--wrap", "true")
        else:
            there = sbatch("-M", "two", "--hold", "-o", "/dev/null", "--wrap", "sleep 600")
    job = executor.attach(f"{there};two")
    assert job.executor.cluster.endswith("cluster=two")
    executor.release([job.id])
    comes_true(lambda: state_in_slurm(there, "-M", "two") == "RUNNING")
    assert state_in_slurm(here) == "PENDING"
    assert job.cancel()
    assert job.wait(PATIENCE_S).state is JobState.CANCELED
    assert state_in_slurm(here) == "PENDING"
    assert executor.attach(here).native_id == here


@pytest.mark.parametrize("names", ["one,two", "all", "a b", "--help"])
def test_lists_of_clusters_are_refused(names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if names != "all":
        with pytest.raises(InvalidRequest, match="not the name of one cluster"):
            BatchSchedulerExecutor("slurm", cluster=names)
    else:
        with pytest.raises(InvalidRequest, match="all"):
            BatchSchedulerExecutor("slurm", cluster=names)
    with pytest.raises(InvalidRequest, match="no clusters to choose"):
        BatchSchedulerExecutor("local", cluster="two")
