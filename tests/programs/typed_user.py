"""A user's program that type checkers accept in their strict modes, and that runs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import pickle
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from parsl.config import Config

import psij_parsl
from psij_parsl import (
    BatchSchedulerExecutor,
    EndReason,
    Job,
    JobExecutor,
    JobFailed,
    JobState,
    JobStatus,
    Submission,
    as_completed,
    farm,
    parsl_config,
    site,
    wait,
)
from psij_parsl.errors import Error, InvalidRequest


def printed(jobs: Sequence[Submission]) -> list[str]:
    texts: list[str] = [job.result(timeout=300) for job in as_completed(jobs, timeout=300)]
    return sorted(texts)


def why(job: Submission) -> EndReason | None:
    error = job.exception(timeout=300)
    if isinstance(error, JobFailed):
        status: JobStatus = error.status
        assert status.exit_code == 3
        return status.reason
    return None


async def awaited(jobs: Sequence[Submission]) -> list[str]:
    return list(await asyncio.gather(*jobs))


def half(number: int) -> float:
    if number < 0:
        raise ValueError(number)
    return number / 2


def mapped() -> None:
    halves: list[float] = list(farm.map(half, range(4), in_order=False, at_once=2))
    assert sorted(halves) == [0, 0.5, 1, 1.5]
    mixed: list[float | Exception] = list(farm.map(half, [-1], return_exceptions=True))
    assert isinstance(mixed[0], ValueError)
    with farm.map(["echo", "{}"], ["a", Path("b")], cores=1) as lines:
        first: str = next(lines)
        assert [first, *lines] == ["a\n", "b\n"]
    failed = [*farm.map(["sh", "-c", "exit {}"], [3], return_exceptions=True)]
    codes: list[int] = [each.exit_code for each in failed if isinstance(each, farm.TaskFailed)]
    assert codes == [3]


def configurations() -> Sequence[Config]:
    machine = site("laptop")
    many = {"site": "laptop", "max_blocks": 2, "heartbeat_period": 7}
    return [
        machine.parsl_config(num_nodes=1, wall_time_min="1h", retries=2),
        parsl_config("laptop", usage_tracking=0),
        parsl_config(sites={"many": many, "named": "laptop", "other": {"site": machine}}, retries=1),
        parsl_config(sites=["laptop"]),
    ]


def main() -> None:
    machine = psij_parsl.site("laptop")
    assert machine.name == site("laptop").name
    executor: BatchSchedulerExecutor = machine.executor(poll_s=1.0)
    plain: JobExecutor = executor
    words = [["echo", str(number)] for number in range(3)]
    jobs = [executor.submit(command, wall_time_min="5m", name="typed") for command in words]
    jobs.append(plain.submit(Job(command=["echo", Path("3")], wall_time_min=timedelta(minutes=5))))
    assert printed(jobs) == ["0\n", "1\n", "2\n", "3\n"]

    waited = wait(jobs, return_when=concurrent.futures.FIRST_COMPLETED)
    first: Submission = next(iter(waited.done))
    state: JobState = executor.status(first).state
    states: list[JobState] = [status.state for status in executor.status([first, first.id])]
    assert [state, *states] == [JobState.COMPLETED] * 3
    answers: list[bool] = executor.cancel(jobs)
    assert not any([*answers, executor.cancel(first.id), first.cancel()])

    array = executor.submit(
        Job(
            command=["bash", "-c", "echo $GREETING $PSIJ_ARRAY_INDEX"],
            array="0-2",
            after=[first, jobs[1].id],
            environment={"GREETING": "hello"},
            stdout="typed.out",
            setup="true",
        )
    )
    texts: list[str] = array.result(timeout=300)
    assert texts == [f"hello {index}\n" for index in range(3)]
    assert [element.exception() for element in array.elements()] == [None] * 3

    assert why(executor.submit(["bash", "-c", "exit 3"])) is None
    called: list[str] = []
    jobs[0].add_done_callback(lambda job: called.append(job.result()))
    stop = executor.on_status(lambda submission, status: print(submission.id, status.state.name))
    stop()
    assert asyncio.run(awaited(executor.submit_many(words))) == ["0\n", "1\n", "2\n"]
    again: Submission = pickle.loads(pickle.dumps(jobs[0]))
    assert {again} == {jobs[0]}
    assert called == ["0\n"]
    hint = ""
    try:
        executor.submit(["true"], wall_time_min="soon")
    except InvalidRequest as error:
        refused: Error = error
        hint = refused.hint
    assert "1h30m" in hint
    mapped()
    assert [len(list(config.executors)) for config in configurations()] == [1, 1, 3, 1]
    print("all is well")


if __name__ == "__main__":
    main()
