"""A Flux instance that is down, hangs, forgets, or prints what cannot be read: no job is lost, none runs twice."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState
from psij_parsl.errors import Ambiguous, InvalidRequest, Rejected, Unavailable, UnknownJob
from psij_parsl.system.commands import Output
from psij_parsl.testing.tools import PATIENCE_S, comes_true, ended, shell
from tests.simulated.server import Simulated

pytestmark = pytest.mark.slow

Executor = Callable[..., BatchSchedulerExecutor]


@pytest.fixture
def executor(flux_executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BatchSchedulerExecutor:
    monkeypatch.chdir(tmp_path)
    return flux_executor(grace_s=0.5, settle_s=0.5)


def native_states(flux: Simulated) -> set[str]:
    return {job["state"] for job in flux.jobs().values()}


# ---- an instance that does not answer ----------------------------------------------------------------------------


def test_an_instance_that_is_down_leaves_states_as_they_were(
    executor: BatchSchedulerExecutor, flux: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psij_parsl.platforms.scheduler.backoff", lambda **settings: iter(()))
    job = executor.submit(shell("sleep 1; exit 3"))
    comes_true(lambda: job.status().state is JobState.ACTIVE)
    flux.control(server="down")
    with pytest.raises(Unavailable, match="Unable to connect to Flux"):
        executor.submit(Job(command=["true"]))
    assert len(executor.journal.entries()) == 1
    assert job.status().state is JobState.ACTIVE
    for change in (job.cancel, lambda: executor.hold([job.id])):
        with pytest.raises((Unavailable, InvalidRequest)):
            change()
    flux.control(server="up")
    assert job.wait(PATIENCE_S).exit_code == 3


def test_a_submission_is_tried_again_until_the_instance_is_back(
    executor: BatchSchedulerExecutor, flux: Simulated
) -> None:
    flux.control(server="down")
    waking = threading.Timer(1.0, lambda: flux.control(server="up"))
    waking.start()
    job = executor.submit(Job(command=["true"]))
    waking.join()
    assert ended(job) is JobState.COMPLETED
    assert len(flux.jobs()) == 1


def test_a_submission_to_a_hung_instance_is_found_when_it_wakes_up_and_runs_once(
    flux_executor: Executor, flux: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = flux_executor(settle_s=3.0)
    monkeypatch.setattr(executor.scheduler, "qsub", partial(executor.scheduler.qsub, timeout_s=0.5))
    monkeypatch.setattr(executor.scheduler.run, "timeout_s", 0.7)
    flux.control(server="hung")
    waking = threading.Timer(2.0, lambda: flux.control(server="up"))
    waking.start()
    job = executor.submit(shell("echo x >>runs", directory=tmp_path))
    waking.join()
    monkeypatch.setattr(executor.scheduler.run, "timeout_s", 30.0)
    assert ended(job) is JobState.COMPLETED
    assert (tmp_path / "runs").read_text() == "x\n"
    assert len(flux.jobs()) == 1


def test_an_instance_that_stays_hung_leaves_the_job_in_the_journal(
    flux_executor: Executor, flux: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = flux_executor(settle_s=0.5, patience_s=1.5)
    monkeypatch.setattr(executor.scheduler, "qsub", partial(executor.scheduler.qsub, timeout_s=0.3))
    monkeypatch.setattr(executor.scheduler.run, "timeout_s", 0.3)
    flux.control(server="hung")
    with pytest.raises(Ambiguous):
        executor.submit(Job(command=["true"]))
    [entry] = executor.journal.entries().values()
    monkeypatch.setattr(executor.scheduler.run, "timeout_s", 30.0)
    flux.control(server="up")
    assert executor.wait([entry.id], PATIENCE_S)


def test_a_connection_that_broke_leaves_one_job(
    executor: BatchSchedulerExecutor, flux: Simulated, tmp_path: Path
) -> None:
    flux.control(broken="Connection reset by peer")
    job = executor.submit(shell("echo x >>runs", directory=tmp_path))
    flux.control(broken="")
    assert ended(job) is JobState.COMPLETED
    assert (tmp_path / "runs").read_text() == "x\n"


# ---- answers that are none ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 200, 300])
def test_an_answer_that_is_cut_short_is_no_answer(
    executor: BatchSchedulerExecutor, flux: Simulated, size: int
) -> None:
    job = executor.submit(Job(command=["true"], hold=True))
    flux.control(truncate=size)
    with pytest.raises(Unavailable, match="cut short"):
        executor.scheduler.qstat(lambda seen: [job.native_id])
    assert job.status().state is JobState.QUEUED
    flux.control(truncate=0)
    job.cancel()


@pytest.mark.parametrize("answer", ["null", "[]", '"x"', "7", "[" * 100_000, '{"jobs": 7}', "{}"])
def test_a_document_of_another_form_is_no_answer(
    executor: BatchSchedulerExecutor, flux: Simulated, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    job = executor.submit(Job(command=["true"], hold=True))

    def run(argv: Sequence[str], **settings: object) -> Output:
        return Output(tuple(argv), 0, answer, "")

    with monkeypatch.context() as patch:
        patch.setattr(executor.scheduler, "run", run)
        with pytest.raises(Unavailable):
            executor.scheduler.qstat(lambda seen: [job.native_id])
        assert executor.status([job.id], urgent=True)[0].state is JobState.QUEUED
    job.cancel()


def test_a_spoilt_record_harms_its_own_job_alone(executor: BatchSchedulerExecutor, flux: Simulated) -> None:
    odd, other = (executor.submit(Job(command=["true"], hold=True)) for _ in range(2))
    flux.control(spoil={odd.native_id: "what is no job"})
    answer = executor.scheduler.qstat(lambda seen: ())
    assert [record.id for record in answer.records.values()] == [other.native_id]
    assert executor.status([odd.id], urgent=True)[0].state is JobState.QUEUED
    flux.control(spoil={})
    odd.cancel()
    other.cancel()


def test_an_unknown_state_changes_nothing_and_is_said_once(
    executor: BatchSchedulerExecutor, flux: Simulated, caplog: pytest.LogCaptureFixture
) -> None:
    job = executor.submit(shell("sleep 2"))
    comes_true(lambda: job.status().state is JobState.ACTIVE)
    flux.control(state={job.native_id: "PONDERING"})
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert executor.status([job.id], urgent=True)[0].state is JobState.ACTIVE
    assert len([line for line in caplog.messages if "PONDERING" in line]) <= 1
    flux.control(state={})
    assert ended(job) is JobState.COMPLETED


# ---- what it has forgotten ---------------------------------------------------------------------------------------


def test_an_end_that_is_not_listed_any_more_is_looked_up_by_its_id(
    executor: BatchSchedulerExecutor, flux: Simulated
) -> None:
    flux.control(since_s=0.001)
    jobs = [executor.submit(shell(f"exit {code}")) for code in (0, 3, 4)]
    assert [job.wait(PATIENCE_S).exit_code for job in jobs] == [0, 3, 4]
    assert [words for words in flux.calls("flux") if words[1] == "jobs" and jobs[0].native_id in words]


def test_a_purged_job_ended_as_its_exit_file_says(executor: BatchSchedulerExecutor, flux: Simulated) -> None:
    flux.control(history=False)
    good, bad = executor.submit(Job(command=["true"])), executor.submit(shell("exit 3"))
    assert ended(good) is JobState.COMPLETED
    status = bad.wait(PATIENCE_S)
    assert (status.state, status.exit_code) == (JobState.FAILED, 3)


def test_a_job_that_vanished_is_lost_and_not_completed(executor: BatchSchedulerExecutor, flux: Simulated) -> None:
    """Flux answers about unknown ids alone with an error and no document, which is an answer all the same."""
    job = executor.submit(Job(command=["true"], hold=True))
    assert executor.status([job.id], urgent=True)[0].state is JobState.QUEUED
    flux.forget(job.native_id)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)


def test_an_instance_that_began_anew_does_not_give_our_ids_to_strangers(
    executor: BatchSchedulerExecutor, flux: Simulated, tmp_path: Path
) -> None:
    job = executor.submit(Job(command=["true"], hold=True))
    executor.status([job.id], urgent=True)
    flux.lose_all()
    script = tmp_path / "theirs.sh"
    script.write_text("#!/bin/bash\nsleep 60\n")
    theirs = executor.scheduler.qsub(script)
    assert executor.scheduler.same_id(theirs, job.native_id)
    flux.change(theirs, submitted=flux.jobs()[theirs]["submitted"] + 60)  # and not at the same second
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)
    assert not job.cancel()
    assert not [words for words in flux.calls("flux") if words[1] == "cancel"]
    assert native_states(flux) <= {"SCHED", "RUN"}


def test_an_id_that_is_none_and_an_unknown_one_are_unknown_jobs(executor: BatchSchedulerExecutor) -> None:
    for job_id in ("999999", "f999", "nosuch", "12.head"):
        with pytest.raises(UnknownJob):
            executor.attach(job_id)


# ---- ids ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["Welcome\nfarm\n{id}", "{id}\nfast\n2026.11", "from\n{id}"])
def test_a_notice_around_the_id_is_no_id(executor: BatchSchedulerExecutor, flux: Simulated, form: str) -> None:
    flux.control(answer=form)
    job = executor.submit(Job(command=["true"]))
    assert ended(job) is JobState.COMPLETED
    assert [*flux.jobs()] == [job.native_id]


def test_a_job_is_known_by_any_form_of_its_id(executor: BatchSchedulerExecutor, flux: Simulated) -> None:
    job = executor.submit(Job(command=["true"], hold=True))
    decimal = executor.scheduler.plain_id(job.native_id)
    for form in (f"ƒ{job.native_id[1:]}", decimal, hex(int(decimal))):
        assert executor.submission(form).id == job.id
    job.cancel()


# ---- ends --------------------------------------------------------------------------------------------------------


def test_the_wall_time_is_the_reason_of_its_end(executor: BatchSchedulerExecutor, flux: Simulated) -> None:
    job = executor.submit(shell("trap '' HUP TERM; sleep 60; sleep 60"))
    comes_true(lambda: job.status().state is JobState.ACTIVE)
    flux.change(job.native_id, walltime=1)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason, status.exit_code) == (JobState.FAILED, EndReason.TIMEOUT, None)


def test_memory_is_the_reason_that_fluxs_log_gives(executor: BatchSchedulerExecutor, flux: Simulated) -> None:
    job = executor.submit(shell("sleep 60"))
    comes_true(lambda: job.status().state is JobState.ACTIVE)
    flux.control(over_memory=[job.native_id])
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.OUT_OF_MEMORY)


def test_a_request_that_can_never_be_met_fails_with_fluxs_words(executor: BatchSchedulerExecutor) -> None:
    status = executor.submit(Job(command=["true"], num_nodes=40)).wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LAUNCH_FAILED)
    assert "unsatisfiable" in status.message


def test_a_job_whose_predecessor_failed_never_starts(executor: BatchSchedulerExecutor) -> None:
    first = executor.submit(shell("sleep 1; exit 4"))
    second = executor.submit(Job(command=["touch", "started"], after=[first.id]))
    status = second.wait(PATIENCE_S)
    assert (status.state.final, status.reason) == (True, EndReason.DEPENDENCY)
    assert status.state is not JobState.COMPLETED
    assert not Path("started").exists()


@pytest.mark.parametrize(("kind", "code"), [("afterany", 4), ("afternotok", 4), ("after", 0), ("afterok", 0)])
def test_each_kind_of_dependency_lets_the_job_start(executor: BatchSchedulerExecutor, kind: str, code: int) -> None:
    first = executor.submit(shell(f"sleep 0.5; exit {code}"))
    assert ended(executor.submit(Job(command=["true"], after=[f"{kind}:{first.id}"]))) is JobState.COMPLETED
    first.wait(PATIENCE_S)


def test_a_job_is_cancelled_while_it_is_held_waits_or_runs(executor: BatchSchedulerExecutor, flux: Simulated) -> None:
    held = executor.submit(Job(command=["true"], hold=True))
    stopped = executor.submit(Job(command=["true"], queue="stopped"))
    running = executor.submit(shell("sleep 60"))
    comes_true(lambda: running.status().state is JobState.ACTIVE)
    for job in (held, stopped, running):
        assert job.cancel()
        assert ended(job) is JobState.CANCELED


def test_several_jobs_are_held_and_released(executor: BatchSchedulerExecutor, flux: Simulated) -> None:
    jobs = [executor.submit(Job(command=["true"], queue="stopped")) for _ in range(2)]
    ids = [job.id for job in jobs]
    executor.hold(ids)
    assert all(status.held for status in executor.status(ids, urgent=True))
    executor.release(ids)
    assert not any(status.held for status in executor.status(ids, urgent=True))
    executor.cancel(ids)


@pytest.mark.parametrize(
    ("job", "limit"),
    [
        (Job(command=["true"], queue="nosuch"), "queue"),
        (Job(command=["true"], queue="closed"), "queue"),
        (Job(command=["true"], queue="debug", wall_time_min=10), "queue limits"),
        (Job(command=["true"], queue="debug", num_nodes=3, wall_time_min=1), "queue limits"),
    ],
)
def test_a_refusal_names_what_was_at_fault(executor: BatchSchedulerExecutor, job: Job, limit: str) -> None:
    with pytest.raises(Rejected) as caught:
        executor.submit(job)
    assert caught.value.limit == limit
    assert not executor.journal.entries()


def test_an_array_is_refused_and_alike_jobs_go_one_by_one(executor: BatchSchedulerExecutor, flux: Simulated) -> None:
    with pytest.raises(InvalidRequest, match="job arrays"):
        executor.submit(Job(command=["true"], array=(0, 1)))
    made = executor.submit_many([shell(f"exit {code}") for code in (0, 3)])
    assert [job.wait(PATIENCE_S).exit_code for job in made] == [0, 3]
    assert len(flux.jobs()) == 2


# ---- odd text in a script ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "one\n# flux: --nodes=9\ntwo",
        "flux: x\n#FLUX: y\n\n  ## flux: z",
        "a\rb\r\nc",
        "# flux: it's\r# flux: 'odd'",
        "\n'''flux: \"\"\"\nflux:",
    ],
)
def test_lines_that_look_like_options_are_text(executor: BatchSchedulerExecutor, text: str) -> None:
    job = executor.submit(Job(command=["printf", "%s", text], setup=(": 'one\n# flux: two'\n# flux: --nodes=9",)))
    assert job.wait(PATIENCE_S).state is JobState.COMPLETED
    assert job.stdout is not None
    assert job.stdout.read_bytes().decode() == text


def test_odd_characters_in_the_path_of_the_log_arrive(flux_executor: Executor, tmp_path: Path) -> None:
    for name in ("it's", 'say "x"', "a b;c#d", "$HOME", "back\\slash", "é", "{{id}}"):
        executor = flux_executor(spool=tmp_path / name)
        assert ended(executor.submit(Job(command=["true"]))) is JobState.COMPLETED
