"""A Flux instance that is down, hangs, forgets, or prints what cannot be read: no job is lost, none runs twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState
from psij_parsl.errors import InvalidRequest, Rejected, UnknownJob
from psij_parsl.testing.tools import PATIENCE_S, comes_true, ended, shell
from tests.providers.simulated_manager import SimulatedFaults
from tests.simulated.server import Simulated

pytestmark = pytest.mark.slow

Executor = Callable[..., BatchSchedulerExecutor]


@pytest.fixture
def executor(flux_executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BatchSchedulerExecutor:
    monkeypatch.chdir(tmp_path)
    return flux_executor(grace_s=0.5, settle_s=0.5)


class TestFaults(SimulatedFaults):
    platform = "flux"
    submits, cancels = ("flux", "batch"), ("flux", "cancel")
    down = "Unable to connect to Flux"
    errors_after_taking = ("Connection reset by peer",)
    cuts = (1, 200, 300)
    other_forms = ("null", "[]", '"x"', "7", "[" * 100_000, '{"jobs": 7}', "{}")
    unknown_states = ("PONDERING",)
    damages = ("what is no job",)
    notices = ("Welcome\nfarm\n{id}", "{id}\nfast\n2026.11", "from\n{id}")

    @pytest.fixture
    def server(self, flux: Simulated) -> Simulated:
        return flux


# ---- what it has forgotten ---------------------------------------------------------------------------------------


def test_an_end_that_is_not_listed_any_more_is_looked_up_by_its_id(
    executor: BatchSchedulerExecutor, flux: Simulated
) -> None:
    flux.control(since_s=0.001)
    jobs = [executor.submit(shell(f"exit {code}")) for code in (0, 3, 4)]
    assert [job.wait(PATIENCE_S).exit_code for job in jobs] == [0, 3, 4]
    assert [words for words in flux.calls("flux") if words[1] == "jobs" and jobs[0].native_id in words]


def test_an_id_that_is_none_and_an_unknown_one_are_unknown_jobs(executor: BatchSchedulerExecutor) -> None:
    for job_id in ("999999", "f999", "nosuch", "12.head"):
        with pytest.raises(UnknownJob):
            executor.attach(job_id)


# ---- ids ---------------------------------------------------------------------------------------------------------


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
