"""What `qstat` is asked: nothing that makes it print for ever, and nothing that asks about everybody's history."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobState
from psij_parsl.jobs.snapshot import CAPACITY
from psij_parsl.testing.tools import PATIENCE_S, comes_true, ended, shell
from tests.simulated.server import Simulated

pytestmark = pytest.mark.slow

Executor = Callable[..., BatchSchedulerExecutor]


@pytest.fixture
def executor(pbspro: Executor) -> BatchSchedulerExecutor:
    return pbspro(grace_s=0.5, settle_s=0.5)


@pytest.fixture
def provoked(pbs: Simulated) -> Simulated:
    """A server whose newest job is an array with ended elements: `qstat -t` without ids would print for ever."""
    pbs.control(loops_at=1)
    pbs.run("qsub", "-J", "0-2", "--", "/bin/true")
    comes_true(lambda: any(job["index"] is not None and job["state"] in "FX" for job in pbs.jobs().values()))
    return pbs


def ids_of(call: list[str]) -> list[str]:
    return [word for word in call if word[:1].isdigit()]


def is_safe(call: list[str]) -> bool:
    """Neither -t nor -x without ids."""
    return bool(ids_of(call)) or not {"-t", "-x"} & set(call)


def test_the_simulated_qstat_prints_for_ever_where_the_real_one_does(
    provoked: Simulated, executor: BatchSchedulerExecutor
) -> None:
    from psij_parsl.system.bounds import Bounds
    from psij_parsl.system.commands import CommandRunner

    for words in (["-t", "-f", "-F", "json"], ["-x", "-t", "-f", "-F", "json"]):
        output = CommandRunner()(["qstat", *words], bounds=Bounds(output_mb=2))
        assert output.over == "it printed more than 2 MB"


def test_our_questions_do_not_provoke_it(provoked: Simulated, executor: BatchSchedulerExecutor) -> None:
    one = executor.submit(shell("exit 3"))
    many = executor.submit(shell("exit $PSIJ_ARRAY_INDEX", array=(0, 1, 2)))
    held = executor.submit(Job(command=["true"], hold=True))
    assert one.wait(PATIENCE_S).exit_code == 3
    assert many.wait(PATIENCE_S).message == "1 COMPLETED, 2 FAILED"
    held.cancel()
    assert ended(held) is JobState.CANCELED
    assert all(map(is_safe, provoked.calls("qstat"))), provoked.calls("qstat")


def test_the_elements_of_our_open_arrays_are_asked_about_by_id(
    executor: BatchSchedulerExecutor, pbs: Simulated
) -> None:
    first, second = (executor.submit(shell("sleep 60", array=(0, 1), hold=hold)) for hold in (True, False))
    comes_true(lambda: second.status().state is JobState.ACTIVE)
    before = len(pbs.calls("qstat"))
    executor.status([first.id], urgent=True)
    live, elements = pbs.calls("qstat")[before:][:2]
    assert (ids_of(live), "-t" in live) == ([], False)
    assert ids_of(elements) == [first.native_id, second.native_id]
    assert {"-t", "-E"} <= set(elements)
    assert [executor.status([f"{first.id}_{index}"])[0].state for index in (0, 1)] == [JobState.QUEUED] * 2
    executor.cancel([first.id, second.id])
    assert {ended(job) for job in (first, second)} == {JobState.CANCELED}
    assert all(map(is_safe, pbs.calls("qstat")))


def test_an_array_of_600_beside_a_plain_job(executor: BatchSchedulerExecutor, pbs: Simulated) -> None:
    """Most of its elements are told as ended from the start, for the machine's sake."""
    plain = executor.submit(shell("sleep 60"))
    many = executor.submit(Job(command=["true"], array=tuple(range(600)), hold=True))
    whole = many.native_id
    pbs.change(
        *(whole.replace("[]", f"[{index}]") for index in range(600)),
        state="X",
        substate=92,
        exit=0,
        exec_host="node01/0",
        started=time.time(),
        ended=time.time(),
        comment="Job run at Thu Nov 26 at 03:49 and finished",
    )
    pbs.change(whole.replace("[]", "[5]"), substate=93, exit=7)
    pbs.change(whole, state="F", substate=93, exit=1)
    executor.scheduler.zero_may_lie = False  # nothing of them ran here, so there are no exit files
    assert many.wait(PATIENCE_S).message == "599 COMPLETED, 1 FAILED"
    assert plain.status().state is JobState.ACTIVE
    assert all(map(is_safe, pbs.calls("qstat")))
    plain.cancel()


def test_an_element_that_was_attached_is_followed(executor: BatchSchedulerExecutor, pbs: Simulated) -> None:
    whole = pbs.run("qsub", "-J", "0-1", "--", "/bin/sh", "-c", "sleep 2; exit $PBS_ARRAY_INDEX").strip()
    job = executor.attach(whole.replace("[]", "[1]"))
    status = job.wait(PATIENCE_S)
    assert (status.state, status.exit_code) == (JobState.FAILED, 1)


def test_history_is_asked_about_by_id_and_many_go_into_one_question(
    executor: BatchSchedulerExecutor, pbs: Simulated
) -> None:
    made = [executor.submit(Job(command=["true"], hold=True)) for _ in range(30)]
    pbs.forget(*(job.native_id for job in made))
    before = len(pbs.calls("qstat"))
    executor.status([job.id for job in made], urgent=True)
    [live, past] = pbs.calls("qstat")[before:][:2]
    assert ids_of(live) == []
    assert sorted(ids_of(past)) == sorted(job.native_id for job in made)
    assert {"-E", "-x"} <= set(past)
    assert all(map(is_safe, pbs.calls("qstat")))


def test_a_qstat_without_grouping_is_asked_one_by_one(executor: BatchSchedulerExecutor, pbs: Simulated) -> None:
    pbs.control(groups=False)
    jobs = [executor.submit(shell(f"exit {code}")) for code in (0, 3, 4)]
    arrays = [executor.submit(shell("exit $PSIJ_ARRAY_INDEX", array=(0, 1))) for _ in range(2)]
    assert [job.wait(PATIENCE_S).exit_code for job in jobs] == [0, 3, 4]
    assert [job.wait(PATIENCE_S).message for job in arrays] == ["1 COMPLETED, 1 FAILED"] * 2
    assert all(map(is_safe, pbs.calls("qstat")))
    assert all(len(ids_of(call)) <= 1 for call in pbs.calls("qstat") if "-E" not in call)


def test_one_question_serves_all_jobs(executor: BatchSchedulerExecutor, pbs: Simulated) -> None:
    """And one more their elements, where they are an array."""
    plain = [executor.submit(Job(command=["true"], hold=True, name=str(i))) for i in range(10)]
    before = len(pbs.calls("qstat"))
    executor.status([job.id for job in plain], urgent=True)
    assert len(pbs.calls("qstat")) <= before + 1
    made = executor.submit_many([Job(command=["true"], hold=True, name=str(i)) for i in range(50)])
    before = len(pbs.calls("qstat"))
    executor.status([job.id for job in made], urgent=True)
    assert len(pbs.calls("qstat")) <= before + 2
    made[0].cancel()


def test_no_more_is_asked_than_was_promised_history_included(pbspro: Executor, pbs: Simulated) -> None:
    executor = pbspro(poll_s=1.0)
    began = time.monotonic()
    for number in range(8):
        executor.submit(shell(f"exit {number}")).wait(PATIENCE_S)
    seconds = time.monotonic() - began
    most = CAPACITY + seconds + 2  # a question about history may be the second of the last round
    assert len(pbs.calls("qstat")) <= most
    assert any("-x" in call for call in pbs.calls("qstat"))
