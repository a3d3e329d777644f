"""Handles as futures of Python: waited for by `concurrent.futures` and `asyncio`, called back, pickled, compared."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import multiprocessing
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobFailed, JobState, Submission, as_completed, site, wait
from psij_parsl.errors import InvalidRequest, UnknownJob
from psij_parsl.testing.tools import PATIENCE_S, comes_true, shell

AsCompleted = Callable[..., Iterator[Submission]]
THREAD = "psij-futures"


@pytest.fixture
def executor(home: Path, monkeypatch: pytest.MonkeyPatch) -> BatchSchedulerExecutor:
    monkeypatch.setenv("PSIJ_LOCAL_CORES_TOTAL", "8")
    return BatchSchedulerExecutor("local")


@pytest.fixture
def gates(executor: BatchSchedulerExecutor, tmp_path: Path) -> list[tuple[Submission, Path]]:
    """Jobs that each run until their file is there, with the file; the second one fails then."""
    made = []
    for number in range(3):
        gate = tmp_path / f"gate {number}"
        text = f"until [ -e '{gate}' ]; do sleep 0.05; done; echo {number}; exit {int(number == 1)}"
        made.append((executor.submit(shell(text)), gate))
    return made


def followers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


# ---- each as it ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("each_as_it_ends", [as_completed, concurrent.futures.as_completed])
def test_jobs_come_in_the_order_of_their_ends(
    gates: list[tuple[Submission, Path]], each_as_it_ends: AsCompleted
) -> None:
    assert not followers()
    ended = each_as_it_ends([job for job, _ in gates], PATIENCE_S)
    for job, gate in reversed(gates):
        gate.touch()
        assert next(ended) is job
    assert next(ended, None) is None
    assert [job.exception() is None for job, _ in gates] == [True, False, True]
    assert [job.id for job in each_as_it_ends([job for job, _ in gates], 0)]
    comes_true(lambda: not followers())


def test_an_array_and_its_elements_are_futures(executor: BatchSchedulerExecutor) -> None:
    array = executor.submit(shell("sleep 0.$PSIJ_ARRAY_INDEX; echo $PSIJ_ARRAY_INDEX", array="1,4"))
    ended = list(as_completed([array, *array.elements()], PATIENCE_S))
    assert ended[0] == array.elements()[0]
    assert array.result() == ["1\n", "4\n"]
    assert [element.result() for element in array.elements()] == ["1\n", "4\n"]


@pytest.mark.parametrize("wait_for", [wait, concurrent.futures.wait])
def test_a_wait_ends_with_the_first_or_the_first_failure_or_all(
    gates: list[tuple[Submission, Path]], wait_for: Any
) -> None:
    jobs = [job for job, _ in gates]
    assert wait_for(jobs, 0.1) == (set(), set(jobs))
    gates[0][1].touch()
    assert wait_for(jobs, PATIENCE_S, "FIRST_COMPLETED") == ({jobs[0]}, set(jobs[1:]))
    gates[1][1].touch()
    assert wait_for(jobs, PATIENCE_S, return_when="FIRST_EXCEPTION") == (set(jobs[:2]), {jobs[2]})
    gates[2][1].touch()
    assert wait_for(jobs, PATIENCE_S) == (set(jobs), set())


def test_what_takes_too_long_is_a_timeout_that_counts(gates: list[tuple[Submission, Path]]) -> None:
    gates[1][1].touch()
    ended = as_completed([job for job, _ in gates], 3.0)
    assert next(ended) == gates[1][0]
    with pytest.raises(TimeoutError, match=r"2 of 3 jobs have not ended \((1 QUEUED, )?[12] ACTIVE\)"):
        next(ended)
    with pytest.raises(TimeoutError, match=f"job {gates[0][0].id} is still .* after 0.1 s"):
        gates[0][0].exception(0.1)
    for job, _ in gates:
        job.cancel()
    assert all(job.wait(PATIENCE_S).final for job, _ in gates)


def test_other_futures_may_be_among_them(executor: BatchSchedulerExecutor) -> None:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = set(as_completed([pool.submit(int, "7"), executor.submit(["echo", "7"])], PATIENCE_S))
    assert sorted(str(one.result()).strip() for one in found) == ["7", "7"]


@pytest.mark.parametrize("several", [as_completed, wait])
def test_what_is_no_future_is_refused_with_the_way_to_one(
    executor: BatchSchedulerExecutor, several: Callable[[Any], object]
) -> None:
    job = executor.submit(["true"])
    for bare in (job, job.id, 7):
        with pytest.raises(InvalidRequest, match="is no list of jobs"):
            several(bare)
    with pytest.raises(InvalidRequest, match=rf"executor.submission\('{job.id}'\)"):
        several([job, job.id])
    with pytest.raises(InvalidRequest, match="did you mean 'ALL_COMPLETED'"):
        wait([job], return_when="ALL_COMPLETE")
    assert job.wait(PATIENCE_S).final
    waits = (several, executor.wait, lambda _, timeout: job.result(timeout), lambda _, timeout: job.wait(timeout))
    for waiting in waits:
        with pytest.raises(InvalidRequest, match="timeout='5' is no number .pass seconds"):
            waiting([job], timeout="5")


def test_a_signal_that_asks_to_end_ends_the_waiting(home: Path) -> None:
    program = """
        import sys, psij_parsl
        psij_parsl.register_handlers()
        job = psij_parsl.BatchSchedulerExecutor("local").submit(["sleep", "600"])
        print(job.id, flush=True)
        try:
            next(psij_parsl.as_completed([job]))
        except TimeoutError as error:
            print(error, len(psij_parsl.wait([job]).not_done))
        try:
            job.result()
        except TimeoutError as error:
            print(error)
        job.cancel()
    """
    argv = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        job_id = process.stdout.readline().strip()
        comes_true(lambda: BatchSchedulerExecutor("local").status(job_id).state is JobState.ACTIVE)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=PATIENCE_S)[0]
    assert "1 of 1 jobs have not ended (1 ACTIVE), and a signal asks this process to end 1\n" in said
    assert f"job {job_id} is still ACTIVE while a signal asks this process to end\n" in said
    assert BatchSchedulerExecutor("local").wait(job_id, PATIENCE_S)


# ---- what it says of itself ----------------------------------------------------------------------------------


def test_it_says_how_it_is(gates: list[tuple[Submission, Path]]) -> None:
    job, _ = gates[1]
    comes_true(job.running)
    assert not job.done()
    assert not job.cancelled()
    assert gates[2][0].cancel() is True
    for _, other in gates:
        other.touch()
    failure = job.exception(PATIENCE_S)
    assert isinstance(failure, JobFailed)
    assert failure.status.exit_code == 1
    assert failure is job.exception()
    with pytest.raises(JobFailed) as caught:
        job.result()
    assert caught.value is failure
    assert job.done()
    assert not job.running()
    assert not job.cancelled()
    assert gates[0][0].exception(PATIENCE_S) is None
    cancelled = gates[2][0]
    with pytest.raises(JobFailed, match="ended CANCELED"):
        cancelled.result(PATIENCE_S)
    assert cancelled.cancelled()
    assert cancelled.cancel() is False
    assert not followers()


def test_a_slip_in_a_name_is_told_and_begins_nothing(executor: BatchSchedulerExecutor) -> None:
    job = executor.submit(["true"])
    with pytest.raises(AttributeError, match="no attribute 'reslt'.*did you mean 'result'"):
        job.reslt  # noqa: B018
    assert not hasattr(job, "_repr_html_")
    assert not followers()
    assert job.wait(PATIENCE_S).final


def test_who_asks_to_be_called_back_is_called_once(gates: list[tuple[Submission, Path]]) -> None:
    job, gate = gates[0]
    called: list[tuple[Submission, str]] = []
    job.add_done_callback(lambda ended: called.append((ended, threading.current_thread().name)))
    gate.touch()
    comes_true(lambda: called)
    job.add_done_callback(lambda ended: called.append((ended, threading.current_thread().name)))
    assert called == [(job, THREAD), (job, "MainThread")]
    for other, _ in gates[1:]:
        other.cancel()
    assert all(other.wait(PATIENCE_S).final for other, _ in gates)


def test_a_job_of_which_nothing_is_known_keeps_no_other_waiting(executor: BatchSchedulerExecutor) -> None:
    gone, there = executor.submit(["true"]), executor.submit(["sleep", "0.5"])
    assert gone.executor.wait(gone, PATIENCE_S)
    executor.journal.forget([gone.id])
    shutil.rmtree(gone.folder)
    assert set(as_completed([gone, there], PATIENCE_S)) == {gone, there}
    assert isinstance(gone.exception(), UnknownJob)
    assert gone.done()
    assert there.exception() is None


def test_failed_elements_are_named(executor: BatchSchedulerExecutor) -> None:
    array = executor.submit(shell("exit $((PSIJ_ARRAY_INDEX % 3))", array=range(60)))
    with pytest.raises(JobFailed) as caught:
        array.result(PATIENCE_S)
    bad = [index for index in range(60) if index % 3]
    assert [element.id for element in caught.value.elements] == [f"{array.id}_{index}" for index in bad]
    assert "; elements 1-2,4-5,7-8," in caught.value.message
    assert "did not end well; the first such element is" in caught.value.message
    single = caught.value.elements[0].exception()
    assert single is not None
    assert f"job {array.id}_1 (bash) ended FAILED, exit code 1" in single.message


# ---- asyncio -------------------------------------------------------------------------------------------------


def test_many_are_awaited_at_once_without_blocking_the_loop(executor: BatchSchedulerExecutor) -> None:
    jobs = executor.submit_many([["bash", "-c", f"sleep 0.3; echo {number}"] for number in range(40)])
    pauses: list[float] = []

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            pauses.append(time.monotonic() - before)

    async def main() -> list[str]:
        ticking = asyncio.create_task(tick())
        gathered = await asyncio.gather(*jobs)
        assert len(followers()) <= 1
        ticking.cancel()
        return gathered

    assert asyncio.run(main()) == [f"{number}\n" for number in range(40)]
    assert len(pauses) > 10
    assert sum(pause > 1.0 for pause in pauses) == 0


def test_an_await_that_is_given_up_leaves_the_job_alone(gates: list[tuple[Submission, Path]]) -> None:
    (first, gate), (failing, other), (last, third) = gates

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(first, 0.2)
        assert not first.done()
        gate.touch()
        other.touch()
        assert await first == "0\n"
        with pytest.raises(JobFailed, match="exit code 1"):
            await failing
        assert await asyncio.wrap_future(first) == "0\n"
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(last, 0.1)

    asyncio.run(main())
    third.touch()  # its end is told to a loop that is closed
    assert last.result(PATIENCE_S) == "2\n"
    comes_true(lambda: not followers())


# ---- in other processes, and compared ------------------------------------------------------------------------


def _result(job: Submission) -> str:
    return str(job.result(PATIENCE_S))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_another_process_is_given_a_handle_of_the_same_job(gates: list[tuple[Submission, Path]], start: Any) -> None:
    (job, gate), (failing, other), (last, _) = gates
    job.add_done_callback(lambda _: None)  # it is followed here already
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context(start)) as pool:
        there = [pool.submit(_result, each) for each in (job, failing)]
        gate.touch()
        other.touch()
        assert there[0].result(PATIENCE_S) == "0\n"
        with pytest.raises(JobFailed, match=f"job {failing.id} .* ended FAILED, exit code 1"):
            there[1].result(PATIENCE_S)
    last.cancel()
    assert last.wait(PATIENCE_S).final


def test_handles_of_one_job_are_equal(executor: BatchSchedulerExecutor) -> None:
    job, other = executor.submit(["true"]), executor.submit(["true"])
    again = executor.submission(job.id)
    copies = [pickle.loads(pickle.dumps(job)), copy.copy(job), copy.deepcopy(job), again]
    assert {job, other, *copies} == {job, other}
    assert all(each is not job for each in copies)
    assert copies[1].executor is job.executor
    assert copies[0].executor is pickle.loads(pickle.dumps(other)).executor
    assert job != job.id
    assert wait([*copies, other], PATIENCE_S).not_done == set()
    assert all(each.status().final for each in copies)
    assert pickle.loads(pickle.dumps(job)).status() == job.status()


def test_an_executor_of_a_site_is_pickled_with_what_the_site_says(tmp_path: Path, home: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('platform = "local"\nsetup = ["export OF_SITE=1"]\n[defaults]\nwall_time_min = "7m"\n')
    executor = site(file=file).executor()
    again = pickle.loads(pickle.dumps(executor))
    assert again.journal.home == executor.journal.home
    for each in (executor, again):
        job = each.submit(["bash", "-c", "echo $OF_SITE $1"], array="3-4", name="x")
        assert job.result(PATIENCE_S) == ["1\n", "1\n"]
        asked = each.journal.job(each.journal.get(job.id), "")
        assert (asked.wall_time_min, asked.array, asked.name) == (7, (3, 4), "x")
    assert len(pickle.dumps(job)) < 4096


# ---- what it costs -------------------------------------------------------------------------------------------


def questions(pbs: Any, jobs: Iterable[Submission], seconds: float) -> int:
    """How often the manager is asked while these jobs, which have all started, are waited for."""
    before = len(pbs.calls("qstat"))
    assert not wait(jobs, seconds).done
    return len(pbs.calls("qstat")) - before


def test_many_that_are_waited_for_ask_as_often_as_one(pbs: Any, tmp_path: Path) -> None:
    executor = BatchSchedulerExecutor("pbspro", poll_s=1.0)
    jobs = [executor.submit(["sleep", "600"]) for _ in range(4)]
    comes_true(lambda: all(status.state is JobState.ACTIVE for status in executor.status(jobs, urgent=True)))
    comes_true(lambda: executor.snapshot.view().tokens >= 9)  # nothing is left over to be made up for
    one, many = questions(pbs, jobs[:1], 6.0), questions(pbs, jobs, 6.0)
    assert 3 <= one <= 8
    assert abs(many - one) <= 2
    assert len(followers()) == 1
    executor.cancel(jobs)
    assert wait(jobs, PATIENCE_S).not_done == set()
    comes_true(lambda: not followers())


# ---- commands in place of jobs -------------------------------------------------------------------------------


def test_a_command_and_fields_make_a_job(executor: BatchSchedulerExecutor) -> None:
    job = executor.submit(["bash", "-c", "echo $A"], environment={"A": "b"}, wall_time_min="1h", name="mine")
    assert job.result(PATIENCE_S) == "b\n"
    assert executor.journal.job(executor.journal.get(job.id), "") == Job(
        command=["bash", "-c", "echo $A"], environment={"A": "b"}, wall_time_min=60, name="mine"
    )
    changed = executor.submit(Job(command=["echo", "x"], name="old"), name="new")
    assert (changed.name, changed.result(PATIENCE_S)) == ("new", "x\n")
    many = executor.submit_many([["echo", "1"], Job(command=["echo", "2"])], name="both")
    assert [job.result(PATIENCE_S) for job in many] == ["1\n", "2\n"]
    assert {job.name for job in many} == {"both"}
    with pytest.raises(InvalidRequest, match="did you mean 'num_nodes'"):
        executor.submit(["true"], num_node=2)  # type: ignore[call-arg]
    with pytest.raises(InvalidRequest, match="did you mean 'num_nodes'"):
        executor.submit(Job(command=["true"]), num_node=2)  # type: ignore[call-arg]


def test_variables_that_are_no_mapping_are_refused_before_the_site_looks_at_them(home: Path) -> None:
    for name in ("environment", "parameters"):
        with pytest.raises(InvalidRequest, match=rf"{name}=\['A=1'\] is no mapping .pass {name}="):
            site("laptop").executor().submit(["true"], **{name: ["A=1"]})


def test_one_job_is_one_answer(executor: BatchSchedulerExecutor) -> None:
    job = executor.submit(["true"], hold=True)
    executor.hold(job)
    assert executor.status(job).state is JobState.QUEUED
    assert executor.status([job.id]) == [executor.status(job.id)]
    executor.release(job.id)
    assert executor.wait(job, PATIENCE_S)
    assert executor.cancel(job) is False
    assert executor.cancel([job]) == [False]


def test_a_job_that_has_ended_unseen_is_not_cancelled(executor: BatchSchedulerExecutor) -> None:
    job = executor.submit(["false"])
    scheduler = executor.scheduler

    def has_ended() -> bool:
        record = scheduler.qstat(lambda _: [job.native_id]).of(job.native_id)
        return record is not None and record.status.final

    assert comes_true(has_ended, PATIENCE_S)
    assert executor.journal.get(job.id).open
    assert job.cancel() is False
    assert job.status().state is JobState.FAILED
