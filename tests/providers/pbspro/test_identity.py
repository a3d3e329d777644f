"""Whose job it is, on PBS: an id is not a job, a notice is not an id, and no other job is ever cancelled."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState
from psij_parsl.errors import Ambiguous, Rejected, Unavailable
from psij_parsl.providers.pbspro.records import jobs, read_job
from psij_parsl.providers.pbspro.scheduler import PBSProScheduler
from psij_parsl.testing.replay import Recorded
from psij_parsl.testing.tools import PATIENCE_S, comes_true, ended, shell
from tests.cli.helpers import psij_here
from tests.simulated.server import Simulated

pytestmark = pytest.mark.slow

Executor = Callable[..., BatchSchedulerExecutor]
RECORDED = Path(__file__).parents[2] / "recorded" / "openpbs"


@pytest.fixture
def executor(pbspro: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BatchSchedulerExecutor:
    monkeypatch.chdir(tmp_path)
    return pbspro(grace_s=0.5, settle_s=0.5)


@pytest.fixture
def long_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every proof that an id is ours were too old to count."""
    monkeypatch.setattr("psij_parsl.jobs.proof._SURE_S", 0.0)


def deleted(pbs: Simulated) -> set[str]:
    """The ids that qdel was ever given."""
    return {word for call in pbs.calls("qdel") for word in call[1:]}


# ---- ids among notices -------------------------------------------------------------------------------------------

#: What a site's qsub may print for job 123.head, and the ids that it may mean; the first is the likeliest.
FORMS = {
    "{id}": ["123.head"],
    "Welcome to the cluster. Maintenance on 2026.12.01, 8.30 to 17.00\n{id}": ["123.head"],
    "{id}\nNotice: project chem has 2 jobs left today": ["123.head"],
    "{id} queued, 2 ahead": ["123.head"],
    "Balance on 2026.11: 5.5 kSU\n{id}": ["123.head"],
    "{id}\nBalance on 2026.11: 5.5 kSU": ["123.head"],
    "{id}; charged to p1": ["123.head"],
    "Your job {id} was submitted (see /var/log/pbs/12.log, 7.txt@host).": ["123.head"],
    "{id}.": ["123.head"],
    "{id}.site.org": ["123.head.site.org"],
    "{id}.site.org.\nlog: 3-4.x, v2.head": ["123.head.site.org"],
    "quota 4.GB of 10.GB\n{id}": ["123.head", "4.GB", "10.GB"],
    "122.head was ahead of it\n{id}": ["123.head", "122.head"],
    "replaces 122.head: {id}": ["122.head", "123.head"],
    "  {id}  \n\n": ["123.head"],
    "2": [],
    "5.5": [],
    "2026.11": [],
    "project 7 of 10": [],
    "": [],
}


@pytest.mark.parametrize("form", FORMS)
def test_what_may_be_the_id_in_an_answer(form: str) -> None:
    scheduler = PBSProScheduler()
    assert scheduler.job_ids(form.format(id="123.head")) == FORMS[form]
    whole = [job_id.replace("123.", "123[].") for job_id in FORMS[form]]
    assert scheduler.job_ids(form.format(id="123[].head")) == whole


@pytest.mark.parametrize("form", [form for form in FORMS if "{id}" in form])
def test_the_right_id_is_kept_or_found_by_its_tag(
    executor: BatchSchedulerExecutor, pbs: Simulated, form: str
) -> None:
    stranger = pbs.run("qsub", "-h", "--", "/bin/sleep", "60").strip()
    pbs.control(answer=form.replace("122.head", stranger))
    job = executor.submit(Job(command=["true"], hold=True))
    pbs.control(answer="{id}")
    assert executor.scheduler.same_id(job.native_id, "2.head")
    assert executor.status([job.id], urgent=True)[0].state is JobState.QUEUED
    job.cancel()
    assert ended(job) is JobState.CANCELED
    assert {executor.scheduler.plain_id(job_id) for job_id in deleted(pbs)} == {"2"}
    assert pbs.jobs()[stranger]["state"] == "H"
    assert len(pbs.jobs()) == 2


@pytest.mark.parametrize("form", ["", "2", "submitted", "5.5 kSU left"])
def test_an_answer_without_an_id_is_no_refusal(executor: BatchSchedulerExecutor, pbs: Simulated, form: str) -> None:
    pbs.control(answer=form)
    job = executor.submit(shell("echo x >>runs"))
    assert ended(job) is JobState.COMPLETED
    assert Path("runs").read_text() == "x\n"
    assert len(pbs.jobs()) == 1
    assert not deleted(pbs)


@pytest.mark.parametrize("spelling", ["123.head", "123.head.site.org", "123"])
def test_all_spellings_of_an_id_are_one(spelling: str) -> None:
    scheduler = PBSProScheduler()
    assert scheduler.same_id(spelling, "123.head")
    assert not scheduler.same_id(spelling, "12.head")
    assert not scheduler.same_id(spelling, "123[].head")
    assert scheduler.element("123[].head.site.org", 4) == "123[4].head.site.org"
    assert scheduler.whole("123[4].head.site.org") == "123[].head.site.org"
    assert scheduler.same_id("123[4].head.site.org", "123[4].head")


# ---- strangers ---------------------------------------------------------------------------------------------------


def test_a_strangers_job_with_our_id_is_not_told_and_not_cancelled(
    executor: BatchSchedulerExecutor, pbs: Simulated, long_after: None
) -> None:
    job = executor.submit(Job(command=["true"], hold=True))
    assert executor.status([job.id], urgent=True)[0].state is JobState.QUEUED
    pbs.lose_all()
    other = pbs.run("qsub", "--", "/bin/sleep", "30").strip()
    pbs.change(other, submitted=time.time() + 60)
    assert other == job.native_id
    done = psij_here("cancel", job.id)
    assert "Traceback" not in done.stderr
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)
    assert "never started" in status.message
    assert not deleted(pbs)
    assert pbs.jobs()[other]["state"] == "R"


def test_attach_takes_the_managers_job_and_not_an_ended_one_of_ours_that_had_its_id(
    executor: BatchSchedulerExecutor, pbs: Simulated, long_after: None
) -> None:
    job = executor.submit(shell("exit 3"))
    assert job.wait(PATIENCE_S).exit_code == 3
    pbs.lose_all()
    other = pbs.run("qsub", "--", "/bin/sleep", "30").strip()
    pbs.change(other, submitted=time.time() + 60)
    assert other == job.native_id
    attached = executor.attach(other)
    assert attached.id != job.id
    assert attached.status().state is JobState.ACTIVE
    assert executor.attach(other).id == attached.id
    assert executor.attach(job.id).id == job.id
    assert job.status().exit_code == 3


def test_attach_of_an_array_of_ours_gives_the_handle_that_we_have(
    executor: BatchSchedulerExecutor, pbs: Simulated
) -> None:
    many = executor.submit(shell("sleep 600", array=(0, 1)))
    before = len(executor.journal.entries())
    assert executor.attach(many.native_id).id == many.id
    assert executor.attach(many.native_id.replace("[]", "[1]")).id == f"{many.id}_1"
    assert len(executor.journal.entries()) == before
    pbs.control(server="down")
    assert executor.attach(many.native_id).id == many.id  # nobody answers: what is recorded is believed
    pbs.control(server="up")
    many.cancel()


def test_a_strangers_end_with_our_id_is_not_ours(executor: BatchSchedulerExecutor, pbs: Simulated) -> None:
    job = executor.submit(Job(command=["true"], hold=True))
    pbs.lose_all()
    other = pbs.run("qsub", "--", "/bin/true").strip()
    comes_true(lambda: pbs.jobs()[other]["state"] == "F")
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)


def test_another_submission_of_ours_with_that_id_keeps_its_own(
    executor: BatchSchedulerExecutor, pbs: Simulated
) -> None:
    first = executor.submit(Job(command=["true"], hold=True))
    pbs.lose_all()
    second = executor.submit(shell("sleep 1; exit 3"))
    assert second.native_id == first.native_id
    assert first.wait(PATIENCE_S).reason is EndReason.LOST
    assert second.wait(PATIENCE_S).exit_code == 3
    assert not deleted(pbs)


def test_a_site_that_strips_the_tag_knows_it_by_its_log_and_then_by_its_time(
    executor: BatchSchedulerExecutor, pbs: Simulated
) -> None:
    job = executor.submit(Job(command=["true"], hold=True))
    pbs.change(job.native_id, variables={})
    assert executor.status([job.id], urgent=True)[0].held
    pbs.change(
        job.native_id, output="/dev/null"
    )  # and its log goes elsewhere: the time of submission is known by now
    assert executor.status([job.id], urgent=True)[0].held
    job.cancel()
    assert ended(job) is JobState.CANCELED


def test_an_array_whose_controller_forgot_it_is_lost_and_the_others_runs_on(
    executor: BatchSchedulerExecutor, pbs: Simulated, long_after: None
) -> None:
    job = executor.submit(Job(command=["true"], array=(0, 1), hold=True))
    assert executor.status([job.id], urgent=True)[0].state is JobState.QUEUED
    pbs.lose_all()
    other = pbs.run("qsub", "-J", "0-1", "--", "/bin/sleep", "30").strip()
    pbs.change(other, "1[0].head", "1[1].head", submitted=time.time() + 60)
    assert other == job.native_id
    job.cancel()
    assert job.wait(PATIENCE_S).reason is EndReason.LOST
    assert not deleted(pbs)
    assert pbs.jobs()["1[0].head"]["state"] == "R"


# ---- what qsub says when it says no ------------------------------------------------------------------------------

_SUBMITS = (*sorted(RECORDED.glob("submit-*.txt")), RECORDED / "array-too-large.txt")
REFUSALS = [path.stem for path in _SUBMITS if Recorded.read(path).output.rc]


@pytest.mark.parametrize("name", REFUSALS)
def test_every_recorded_refusal_is_certain_and_leaves_nothing(
    executor: BatchSchedulerExecutor, pbs: Simulated, name: str
) -> None:
    said = Recorded.read(RECORDED / f"{name}.txt").output
    (pbs.root / "said").write_text(said.stderr)
    (pbs.bin / "qsub").write_text(f"#!/bin/sh\ncat {pbs.root}/said >&2\nexit {said.rc}\n")
    with pytest.raises(Rejected):
        executor.submit(Job(command=["true"]))
    assert not executor.journal.entries()
    assert not os.listdir(executor.journal.home / "jobs")
    assert not pbs.calls("qstat")


def test_words_that_nobody_foresaw_cost_one_question_and_the_record_stays(
    executor: BatchSchedulerExecutor, pbs: Simulated
) -> None:
    (pbs.bin / "qsub").write_text("#!/bin/sh\necho 'qsub: The moon is full' >&2\nexit 9\n")
    with pytest.raises(Rejected, match="The moon is full"):
        executor.submit(Job(command=["true"]))
    assert len(pbs.calls("qstat")) == 1
    [entry] = executor.journal.entries().values()
    assert executor.status([entry.id])[0].state is JobState.FAILED


@pytest.mark.parametrize(
    "words",
    [
        "qsub: cannot connect to server head (errno=15010)",
        "Connection timed out\nqsub: cannot connect to server head (errno=110)",
    ],
)
def test_a_server_that_was_never_reached_took_nothing(
    executor: BatchSchedulerExecutor, pbs: Simulated, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psij_parsl.platforms.scheduler.backoff", lambda **settings: iter(()))
    (pbs.root / "said").write_text(words)
    (pbs.bin / "qsub").write_text(f"#!/bin/sh\ncat {pbs.root}/said >&2\nexit 162\n")
    with pytest.raises(Unavailable, match="cannot connect to server head"):
        executor.submit(Job(command=["true"]))
    assert not executor.journal.entries()


def test_a_second_copy_of_ours_is_ended_and_nothing_else(executor: BatchSchedulerExecutor, pbs: Simulated) -> None:
    """A qsub that hands the script in twice, and a job of somebody else beside it."""
    stranger = pbs.run("qsub", "-h", "--", "/bin/sleep", "60").strip()
    qsub = pbs.bin / "qsub"
    real = qsub.read_text()
    qsub.write_text(real.replace("exec ", "").rstrip() + "\n" + real.splitlines()[1] + "\n")
    job = executor.submit(shell("echo x >>runs; sleep 2"))
    qsub.write_text(real)
    assert ended(job) is JobState.COMPLETED
    comes_true(lambda: all(each["state"] == "F" for name, each in pbs.jobs().items() if name != stranger))
    assert Path("runs").read_text() == "x\n"
    assert stranger not in deleted(pbs)
    assert job.native_id not in deleted(pbs)


# ---- what a record tells -----------------------------------------------------------------------------------------


def test_a_record_tells_when_and_where_to_it_was_submitted() -> None:
    said = Recorded.read(RECORDED / "mom-restarted-with-p.psij-exit3.qstat-f-json-x.txt").output.stdout
    [piece] = jobs(said)
    record = read_job(piece)
    assert record is not None
    assert record.tag == "psij:6fqjr67rfk"
    assert record.output == "/home/alice/work/manager.log"
    assert record.submitted == time.mktime((2026, 11, 26, 3, 48, 22, 0, 0, -1))
    assert (record.moved, record.leftover) == (False, False)
    for path in ("/dev/null", "head:/dev/null", "head.site.org:/a:b/manager.log"):
        told = read_job(("1.head", {"job_state": "Q", "Output_Path": path}))
        assert told is not None
        assert told.output == path.removeprefix("head:").removeprefix("head.site.org:")


def test_ambiguous_answers_are_not_given_back_as_an_id(tmp_path: Path, pbs: Simulated) -> None:
    pbs.control(answer="4.GB of 10.GB, {id}")
    script = tmp_path / "s.sh"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(Ambiguous, match="several ids"):
        PBSProScheduler().qsub(script)
