"""Real Parsl workflows on a real Slurm of several nodes, and what happens to blocks there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.clusters.slurm import SlurmCluster
from tests.helpers_parsl import (
    ON_SLURM,
    PARSL_IS_UNTIDY,
    all_ended,
    ancestors,
    apps,
    by_value,
    config,
    ended,
    loaded,
    until,
)

pytestmark = [*PARSL_IS_UNTIDY]


README = Path(__file__).parents[1] / "README.md"


@pytest.fixture(autouse=True)
def nobody_activated_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")


def newest(provider: Any) -> Any:
    """The record of the block that was submitted last, when it runs."""

    def running() -> Any:
        entry = list(provider._executor.journal.entries().values())[-1]
        return provider.status([entry.id])[0].state.name == "RUNNING" and entry

    return until(running)


@pytest.mark.slow
@ON_SLURM
def test_each_node_has_one_pool_whatever_the_sites_rank_shape_and_blocks_that_die_are_replaced(
    slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psij_parsl

    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "four.toml").write_text(
        'platform = "slurm"\npoll_min = 1\n[defaults]\nranks_per_node = 4\ncpus_per_rank = 2\n'
    )
    monkeypatch.setenv("PSIJ_PARSL_SITE_PATH", str(tmp_path / "sites"))
    monkeypatch.setenv("PSIJ_SITE_PATH", str(tmp_path / "sites"))
    made = psij_parsl.site("four").parsl_config(
        num_nodes=2, workers_per_node=1, address="127.0.0.1", run_dir=str(tmp_path / "run dir"), retries=9,
        strategy_period=0.5,
    )  # fmt: skip
    made.executors[0].heartbeat_period, made.executors[0].heartbeat_threshold = 2, 6
    with loaded(made) as kernel:
        where, nap = apps()
        executor = kernel.executors["psij"]
        provider = executor.provider
        tasks = [nap(0.2) for _ in range(10)]
        assert where().result(60)["env"]["PARSL_CORES"] == "8"
        until(lambda: len(executor.connected_managers()) == 2, what="two pools")
        until(lambda: {one.result(60) for one in [nap(0.2) for _ in range(4)]} == {"node01", "node02"})
        assert len([task.result(60) for task in tasks]) == 10
        first = newest(provider)

        # No launcher inside a launcher: one step, and nothing of srun above a worker.
        steps = slurm.run("squeue", "--steps", "--noheader", "--job", first.native, "--format=%i").split()
        assert [step for step in steps if not step.endswith(("batch", "extern"))] == [f"{first.native}.0"]
        above = ancestors(where().result(60)["pid"])
        assert sum("process_worker_pool.py" in words for words in above) <= 2  # the pool, and its server of workers
        assert not [words for words in above if words.startswith(("srun", "mpiexec", "mpirun"))]

        # Killed by hand: seen, told, and replaced.
        slurm.run("scancel", first.native)
        until(lambda: provider.status([first.id])[0].terminal)
        assert provider.status([first.id])[0].state.name == "CANCELLED"
        assert nap(0).result(90)
        second = newest(provider)
        assert second.id != first.id

        # The controller comes and goes: states stay, tasks run on, nothing more is submitted.
        slurm.stop_controller()
        assert nap(0.2).result(60)
        states = {provider.status([second.id])[0].state.name for _ in range(10)}
        time.sleep(1.5)
        assert states | {provider.status([second.id])[0].state.name} == {"RUNNING"}
        slurm.start_controller()
        assert len(provider._blocks) == 2

        # A node dies under it: that is a failure, and no completion.
        slurm.kill_node((Path(second.folder) / "nodes").read_text().split()[-1])
        until(lambda: provider.status([second.id])[0].terminal)
        status = provider.status([second.id])[0]
        assert status.state.name in ("FAILED", "MISSING")
        assert "NODE_FAILURE" in status.message
        slurm.heal()
        assert nap(0).result(90)
        assert len(provider._blocks) == 3
    until(lambda: all_ended(provider))


@pytest.mark.slow
@ON_SLURM
def test_b1_a_held_block_is_submitted_once_in_a_minute_and_a_wall_times_end_is_no_failure(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    from parsl.config import Config

    from psij_parsl.providers import SlurmProvider

    held = SlurmProvider(scheduler_options="#SBATCH --hold", cores_per_node=1)
    short = SlurmProvider(wall_time_min=1, cores_per_node=1)
    executors = []
    for name, provider in (("held", held), ("short", short)):
        (one,) = config(provider, tmp_path).executors
        one.label = name
        executors.append(one)
    made = Config(executors=executors, run_dir=str(tmp_path / "run"), strategy_period=0.5, initialize_logging=False)
    with loaded(made) as kernel:
        import parsl

        nothing = by_value("def nothing():\n    pass\n")["nothing"]
        waiting = parsl.python_app(nothing, executors=["held"])()
        started = time.monotonic()
        assert parsl.python_app(nothing, executors=["short"])().result(60) is None
        (job_id,) = short._blocks
        status = ended(short, job_id, 150)
        assert status.state.name == "TIMEOUT"
        assert "ran out of wall time" in status.message
        assert time.monotonic() - started > 60
        (only,) = held.status(list(held._blocks))
        assert only.state.name == "PENDING"
        assert "held" in only.message
        assert len(held._blocks) == 1
        assert not waiting.done()
        assert not kernel.executors["short"].bad_state_is_set
        held._executor.release(list(held._blocks))
        waiting.result(60)


@ON_SLURM
def test_a_bad_queue_is_told_in_the_tasks_exception(slurm: SlurmCluster, tmp_path: Path) -> None:
    from parsl.executors.errors import BadStateException

    from psij_parsl.parsl import consecutive_failures
    from psij_parsl.providers import SlurmProvider

    provider = SlurmProvider(queue="nope")
    with loaded(config(provider, tmp_path / "run", handler=consecutive_failures)):
        where, _ = apps()
        with pytest.raises(BadStateException, match=r"(?s)Invalid partition name.*choose another --queue"):
            where().result(60)
    assert not provider._blocks


@ON_SLURM
def test_mpi_tasks_run_on_two_nodes_through_parsls_mpi_executor(
    slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import parsl

    import psij_parsl

    monkeypatch.chdir(tmp_path)
    made = psij_parsl.site("slurm").parsl_config(
        num_nodes=2, cores_per_node=4, job_mode="mpi", address="127.0.0.1", run_dir=str(tmp_path / "run dir"),
        workers_per_node=2,
    )  # fmt: skip

    hosts = by_value(
        "def hosts(stdout=None, parsl_resource_specification=None):\n"
        "    return \"$PARSL_MPI_PREFIX bash -c 'hostname; env | grep ^SLURM_NTASKS='\"\n"
    )["hosts"]

    with loaded(made) as kernel:
        app = parsl.bash_app(hosts)
        wide = app(stdout=str(tmp_path / "wide"), parsl_resource_specification={"num_nodes": 2, "ranks_per_node": 2})
        one = app(stdout=str(tmp_path / "one"), parsl_resource_specification={"num_nodes": 1, "num_ranks": 1,
                                                                       "ranks_per_node": 1})  # fmt: skip
        assert (wide.result(60), one.result(60)) == (0, 0)
        assert len(kernel.executors["psij"].connected_managers()) == 1  # on the first node alone
    words = (tmp_path / "wide").read_text().split()
    assert sorted(words) == ["SLURM_NTASKS=4"] * 4 + ["node01"] * 2 + ["node02"] * 2
    assert len((tmp_path / "one").read_text().split()) == 2


@ON_SLURM
def test_b3_accounting_that_lags_or_is_down_makes_no_block_complete(slurm: SlurmCluster, tmp_path: Path) -> None:
    from psij_parsl.providers import SlurmProvider

    provider = SlurmProvider(num_nodes=2, cores_per_node=1, node_init="echo $(hostname) >>$MARKS", max_blocks=2)
    provider.script_dir = str(tmp_path / "scripts")
    os.environ["MARKS"] = str(tmp_path / "marks")
    provider._executor.snapshot.interval_s = 0.3
    slurm.stop_accounting()
    job_id = provider.submit("sleep 3; exit 4", 1, "parsl.htex.block-0")
    seen = set()

    def over() -> bool:
        seen.add((status := provider.status([job_id])[0]).state.name)
        return bool(status.terminal)

    until(over)
    del os.environ["MARKS"]
    assert seen - {"PENDING", "RUNNING"} == {"FAILED"}
    assert provider.status([job_id])[0].exit_code == 4
    assert sorted((tmp_path / "marks").read_text().split()) == ["node01", "node02"]  # node_init once on each


@ON_SLURM
def test_readmes_example_with_another_machine_runs_on_two_nodes(slurm: SlurmCluster, tmp_path: Path) -> None:
    text = next(
        block
        for block in re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.M | re.S)
        if "parsl.load" in block
    )
    text = text.replace('site("laptop")', 'site("slurm")').replace("num_nodes=1", "num_nodes=2, workers_per_node=1")
    (tmp_path / "example.py").write_text(text)
    answer = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "100 tasks ran on node01 node02\n"
