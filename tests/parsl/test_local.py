"""Real Parsl workflows on this host: HTEX over our LocalProvider, blocks that die, orphans."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.jobs.journal import Journal
from psij_parsl.testing.tools import PATIENCE_S, comes_true
from tests.parsl.helpers import (
    PARSL_IS_UNTIDY,
    all_ended,
    apps,
    blocks,
    by_value,
    config,
    interchanges,
    loaded,
    orphans_are_cancelled,
    scales_out_and_in,
    workflows,
)

pytestmark = [*PARSL_IS_UNTIDY, pytest.mark.usefixtures("many_cores"), pytest.mark.slow]


def test_a_thousand_tasks_and_everything_in_a_run_directory_with_blanks(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from psij_parsl.providers import LocalProvider

    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    provider = LocalProvider(cores_per_node=2, worker_init="export FROM_INIT='a b'", node_init="export FROM_NODE=1")
    with loaded(config(provider, tmp_path / "run dir", workers=2, encrypted=True)):
        where, _ = apps()
        first = where().result(PATIENCE_S)
        assert [first["env"][name] for name in ("PARSL_CORES", "FROM_INIT", "FROM_NODE")] == ["2", "a b", "1"]
        assert first["cwd"] == str(tmp_path / "cwd")
        told = [task.result(PATIENCE_S) for task in [where(number) for number in range(1000)]]
        assert [one["number"] for one in told] == list(range(1000))
        assert len({one["pid"] for one in told}) == 2
        open_ = [entry for entry in Journal(home).entries().values() if entry.open]
        assert [entry.name for entry in open_] == ["parsl.htex.block-0"]
    assert [path.name for path in blocks(tmp_path / "run dir")] == [open_[0].id]
    assert os.listdir(tmp_path / "cwd") == []
    comes_true(lambda: all_ended(provider))


def test_it_scales_out_to_several_blocks_and_in_again(tmp_path: Path) -> None:
    from psij_parsl.providers import LocalProvider

    scales_out_and_in(LocalProvider(init_blocks=0, max_blocks=3), tmp_path / "run", 9)


def test_tasks_smaller_than_a_node_share_the_block_by_psij_run_launch(tmp_path: Path) -> None:
    import parsl

    from psij_parsl.providers import LocalProvider

    text = (
        "def two(number, stdout=None, stderr=None):\n"
        "    return f'psij-run launch --launcher fork -n 2 -- bash -c \"echo {number} \\$PSIJ_RANK of \\$PSIJ_NUM_RANKS\"'\n"
    )
    with loaded(config(LocalProvider(cores_per_node=4), tmp_path / "run", workers=3)):
        app = parsl.bash_app(by_value(text)["two"])
        tasks = [
            app(number, stdout=str(tmp_path / str(number)), stderr=str(tmp_path / f"{number}.err"))
            for number in range(3)
        ]
        assert [task.result(PATIENCE_S) for task in tasks] == [0, 0, 0]
    for number in range(3):
        told = sorted((tmp_path / str(number)).read_text().splitlines())
        assert told == [f"{number} 0 of 2", f"{number} 1 of 2"]


def test_a_block_that_fails_at_start_is_told_in_the_tasks_exception(tmp_path: Path) -> None:
    from parsl.executors.errors import BadStateException

    from psij_parsl.parsl import consecutive_failures
    from psij_parsl.providers import LocalProvider

    provider = LocalProvider(worker_init="echo 'Lmod has detected: module nope not found' >&2; exit 9")
    with loaded(config(provider, tmp_path / "run", handler=consecutive_failures)):
        where, _ = apps()
        with pytest.raises(BadStateException) as caught:
            where().result(PATIENCE_S)
    said = str(caught.value)
    assert "EXIT CODE: 9" in said
    assert "module nope not found" in said
    assert said.count("Error ") >= 3
    assert "block parsl.htex.block-0" in said


def test_a_missing_pool_is_told_in_the_tasks_exception(tmp_path: Path) -> None:
    from parsl.executors.errors import BadStateException

    from psij_parsl.providers import LocalProvider

    provider = LocalProvider(worker_init="process_worker_pool.py() { echo no pool here >&2; return 127; }")
    with loaded(config(provider, tmp_path / "run")):  # Parsl's own handler: the first block tells
        where, _ = apps()
        with pytest.raises(BadStateException, match="EXIT CODE: 127"):
            where().result(PATIENCE_S)


def test_a_block_at_its_wall_times_end_is_a_timeout_and_the_next_one_goes_on(tmp_path: Path) -> None:
    from psij_parsl.providers import LocalProvider

    provider = LocalProvider()
    with loaded(config(provider, tmp_path / "run", retries=5)):
        where, nap = apps()
        assert where().result(PATIENCE_S)
        (job_id,) = provider.blocks.records
        executor = provider.blocks.executor
        executor.scheduler.run(["psij-local", "extend", executor.journal.get(job_id).native, "1"])  # seconds
        comes_true(lambda: provider.status([job_id])[0].terminal)
        status = provider.status([job_id])[0]
        assert status.state.name == "TIMEOUT"
        assert "wall time" in status.message
        assert nap(0).result(PATIENCE_S)
        assert len(provider.blocks.records) == 2


def test_a_task_that_is_lost_with_its_block_tells_which_and_why(tmp_path: Path) -> None:
    """The wall time is over under two tasks; then a task kills its worker."""
    import parsl
    from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

    import psij_parsl

    made = psij_parsl.site("laptop").parsl_config(
        workers_per_node=2,
        wall_time_min=5,
        heartbeat_period=1,
        heartbeat_threshold=3,
        max_blocks=2,
        run_dir=str(tmp_path / "run"),
        retry_handler=lambda error, task: told.append(str(error)) or 1,
    )
    told: list[str] = []
    with loaded(made):
        where, nap = apps()
        assert where().result(PATIENCE_S)
        tasks = [nap(300), nap(300)]
        comes_true(lambda: all(task.task_status() in ("launched", "running") for task in tasks))
        blocks = made.executors[0].provider.blocks
        (job_id,) = blocks.records
        blocks.executor.scheduler.run(["psij-local", "extend", blocks.executor.journal.get(job_id).native, "1"])
        for task in tasks:
            with pytest.raises(ManagerLost, match=rf"^Task failure due to loss of manager .*{job_id}") as caught:
                task.result(PATIENCE_S)
            for words in ("TIMEOUT", "its wall time was 5 min", "wall_time_min", "drain_min", "retries=1"):
                assert words in str(caught.value)
            assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
        killing = parsl.python_app(by_value("def die():\n import os\n os.kill(os.getpid(), 9)")["die"])
        with pytest.raises(WorkerLost, match="its process was killed.*mem_per_node"):
            killing().result(PATIENCE_S)
        assert [job_id in text for text in told] == [True, True, False]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    with workflows(tmp_path) as start:
        yield start


def test_blocks_of_a_killed_workflow_are_found_and_cancelled(
    start: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    orphans_are_cancelled(start, capsys, "LocalProvider()")


def test_a_killed_workflow_with_our_configuration_takes_everything_along(start: Callable[..., Any]) -> None:
    make = (
        "made = psij_parsl.site('laptop').parsl_config(watchdog_s=2, workers_per_node=1, run_dir=str(folder / 'r'))"
    )
    folder, process = start("ours", make)
    job_id = comes_true(lambda: (folder / "first").exists() and (folder / "first").read_text())
    assert interchanges(folder)
    process.kill()
    process.wait()
    comes_true(lambda: not interchanges(folder), what="the interchange to end")
    from psij_parsl import BatchSchedulerExecutor

    executor = BatchSchedulerExecutor("local", poll_s=0.3)
    comes_true(lambda: executor.status([job_id])[0].final, what="the block to end by itself")


def test_an_app_that_is_given_a_job_begins_when_the_job_has_ended(tmp_path: Path) -> None:
    import parsl
    from parsl.config import Config
    from parsl.executors.threads import ThreadPoolExecutor

    from psij_parsl import BatchSchedulerExecutor, JobFailed

    executor = BatchSchedulerExecutor("local")
    gate = tmp_path / "gate"
    text = f"until [ -e '{gate}' ]; do sleep 0.05; done; echo from the job"
    with loaded(Config(executors=[ThreadPoolExecutor()], run_dir=str(tmp_path / "run"))):
        upper = parsl.python_app(by_value("def upper(text): return text.upper()")["upper"])
        task = upper(executor.submit(["bash", "-c", text]))
        failing = upper(executor.submit(["false"]))
        assert not task.done()
        gate.touch()
        assert task.result(PATIENCE_S) == "FROM THE JOB\n"
        with pytest.raises(Exception, match="Dependency failure") as caught:
            failing.result(PATIENCE_S)
        assert isinstance(caught.value.__cause__, JobFailed)


def test_a_quiet_workflow_asks_rarely(tmp_path: Path) -> None:
    from psij_parsl.providers import LocalProvider

    provider = LocalProvider()
    with loaded(config(provider, tmp_path / "run", strategy_period=0.1)):
        where, _ = apps()
        assert where().result(PATIENCE_S)
        executor, asked = provider.blocks.executor, []
        real = executor.scheduler.run
        executor.scheduler.run = lambda argv, **k: (asked.append(argv), real(argv, **k))[1]
        began = time.monotonic()
        time.sleep(3)
        assert len(asked) <= (time.monotonic() - began) / executor.snapshot.interval_s + 5
