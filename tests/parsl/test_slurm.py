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

from psij_parsl.testing.tools import PATIENCE_S, comes_true
from tests.clusters.slurm import SlurmCluster
from tests.parsl.helpers import (
    ON_SLURM,
    PARSL_IS_UNTIDY,
    all_ended,
    ancestors,
    apps,
    by_value,
    config,
    ended,
    loaded,
    orphans_are_cancelled,
    scales_out_and_in,
    workflows,
)
from tests.providers.slurm.helpers import Shims

pytestmark = [*PARSL_IS_UNTIDY, pytest.mark.usefixtures("nobody_activated_anything"), pytest.mark.slow]


README = Path(__file__).parents[2] / "README.md"


def newest(provider: Any) -> Any:
    """The record of the block that was submitted last, when it runs."""

    def running() -> Any:
        entry = list(provider.blocks.executor.journal.entries().values())[-1]
        return provider.status([entry.id])[0].state.name == "RUNNING" and entry

    return comes_true(running)


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
    made = psij_parsl.site("four").parsl_config(
        num_nodes=2,
        workers_per_node=1,
        address="127.0.0.1",
        run_dir=str(tmp_path / "run dir"),
        retries=9,
        strategy_period=0.5,
    )
    made.executors[0].heartbeat_period, made.executors[0].heartbeat_threshold = 2, 6
    with loaded(made) as kernel:
        where, nap = apps()
        executor = kernel.executors["psij"]
        provider = executor.provider
        tasks = [nap(0.2) for _ in range(10)]
        assert where().result(PATIENCE_S)["env"]["PARSL_CORES"] == "8"
        comes_true(lambda: len(executor.connected_managers()) == 2, what="two pools")
        comes_true(lambda: {one.result(PATIENCE_S) for one in [nap(0.2) for _ in range(4)]} == {"node01", "node02"})
        assert len([task.result(PATIENCE_S) for task in tasks]) == 10
        first = newest(provider)

        # No launcher inside a launcher: one step, and nothing of srun above a worker.
        steps = slurm.run("squeue", "--steps", "--noheader", "--job", first.native, "--format=%i").split()
        assert [step for step in steps if not step.endswith(("batch", "extern"))] == [f"{first.native}.0"]
        above = ancestors(where().result(PATIENCE_S)["pid"])
        assert sum("process_worker_pool.py" in words for words in above) <= 2  # the pool, and its server of workers
        assert not [words for words in above if words.startswith(("srun", "mpiexec", "mpirun"))]

        # Killed by hand: seen, told, and replaced.
        slurm.run("scancel", first.native)
        comes_true(lambda: provider.status([first.id])[0].terminal)
        assert provider.status([first.id])[0].state.name == "CANCELLED"
        assert nap(0).result(PATIENCE_S)
        second = newest(provider)
        assert second.id != first.id

        # The controller comes and goes: states stay, tasks run on, nothing more is submitted.
        slurm.stop_controller()
        assert nap(0.2).result(PATIENCE_S)
        states = {provider.status([second.id])[0].state.name for _ in range(10)}
        time.sleep(1.5)
        assert states | {provider.status([second.id])[0].state.name} == {"RUNNING"}
        slurm.start_controller()
        assert len(provider.blocks.records) == 2

        # A node dies under it: that is a failure, and no completion.
        slurm.kill_node((Path(second.folder) / "nodes").read_text().split()[-1])
        comes_true(lambda: provider.status([second.id])[0].terminal)
        status = provider.status([second.id])[0]
        assert status.state.name in ("FAILED", "MISSING")
        assert "NODE_FAILURE" in status.message
        slurm.heal()
        assert nap(0).result(PATIENCE_S)
        assert len(provider.blocks.records) == 3
    comes_true(lambda: all_ended(provider))


@ON_SLURM
def test_a_thousand_tasks_on_several_blocks_and_then_none(slurm: SlurmCluster, tmp_path: Path) -> None:
    from psij_parsl.providers import SlurmProvider

    (tmp_path / "run dir").mkdir()
    provider = SlurmProvider(cores_per_node=1, init_blocks=0, max_blocks=3)
    scales_out_and_in(provider, tmp_path / "run dir", 1000)


@ON_SLURM
def test_blocks_of_a_killed_workflow_are_found_and_cancelled(
    slurm: SlurmCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with workflows(tmp_path) as start:
        orphans_are_cancelled(start, capsys, "SlurmProvider(cores_per_node=1)")


@ON_SLURM
def test_b1_a_held_block_is_submitted_once_in_a_minute_and_a_wall_times_end_is_no_failure(
    slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from parsl.config import Config

    from psij_parsl.providers import SlurmProvider

    # A node that is busy for a while, so that a block on it waits until it is held.
    busy = ["sbatch", "--parsable", "-w", "node04", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 40"]
    job = subprocess.run(busy, check=True, capture_output=True, text=True).stdout.strip()
    ask = ["squeue", "-h", "-o", "%t", "-j", job]
    comes_true(lambda: subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip() == "R")
    shims = Shims(tmp_path / "shims")
    shims.count("sbatch", "squeue")
    monkeypatch.setenv("PATH", shims.path)
    held = SlurmProvider(nodelist="node04", cores_per_node=1)
    short = SlurmProvider(wall_time_min=1, cores_per_node=1)
    executors = []
    for name, provider in (("held", held), ("short", short)):
        (one,) = config(provider, tmp_path).executors
        one.label = name
        executors.append(one)
    made = Config(executors=executors, run_dir=str(tmp_path / "run"), strategy_period=0.5, initialize_logging=False)
    began = time.monotonic()
    with loaded(made) as kernel:
        import parsl

        nothing = by_value("def nothing():\n    pass\n")["nothing"]
        waiting = parsl.python_app(nothing, executors=["held"])()
        comes_true(lambda: len(held.blocks.records) == 1)
        held.blocks.executor.hold(list(held.blocks.records))
        started = time.monotonic()
        assert parsl.python_app(nothing, executors=["short"])().result(PATIENCE_S) is None
        (job_id,) = short.blocks.records
        status = ended(short, job_id, 300)
        assert status.state.name == "TIMEOUT"
        assert "its wall time was 1 min" in status.message
        assert time.monotonic() - started > 60
        (only,) = held.status(list(held.blocks.records))
        assert only.state.name == "PENDING"
        assert "held" in only.message
        assert len(held.blocks.records) == 1
        assert len(shims.calls("sbatch")) == 2
        # One question for both executors, and none more often than may be.
        assert len(shims.calls("squeue")) <= (time.monotonic() - began) / held.blocks.executor.snapshot.interval_s + 5
        assert not waiting.done()
        assert not kernel.executors["short"].bad_state_is_set
        held.blocks.executor.release(list(held.blocks.records))
        waiting.result(PATIENCE_S)


@ON_SLURM
def test_a_bad_queue_is_told_in_the_tasks_exception(slurm: SlurmCluster, tmp_path: Path) -> None:
    from parsl.executors.errors import BadStateException

    from psij_parsl.parsl import consecutive_failures
    from psij_parsl.providers import SlurmProvider

    provider = SlurmProvider(queue="nope")
    with loaded(config(provider, tmp_path / "run", handler=consecutive_failures)):
        where, _ = apps()
        with pytest.raises(BadStateException, match=r"(?s)Invalid partition name.*choose another --queue"):
            where().result(PATIENCE_S)
    assert not provider.blocks.records


@ON_SLURM
def test_b22_mpi_tasks_of_any_width_run_through_parsls_mpi_executor_and_those_without_room_wait(
    slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import parsl

    import psij_parsl

    monkeypatch.chdir(tmp_path)
    made = psij_parsl.site("slurm").parsl_config(
        num_nodes=4,
        cores_per_node=4,
        job_mode="mpi",
        address="127.0.0.1",
        run_dir=str(tmp_path / "run dir"),
        node_init=f"hostname >>{tmp_path}/marks",
    )

    hosts = by_value(
        "def hosts(stdout=None, parsl_resource_specification=None):\n"
        "    return \"$PARSL_MPI_PREFIX bash -c 'hostname; env | grep ^SLURM_NTASKS='\"\n"
    )["hosts"]

    widths = (2, 2, 2, 3, 1, 4, 3, 1)
    with loaded(made) as kernel:
        app = parsl.bash_app(hosts)
        tasks = [
            app(stdout=f"{tmp_path}/{number}", parsl_resource_specification={"num_nodes": width, "ranks_per_node": 2})
            for number, width in enumerate(widths)
        ]
        assert [task.result(PATIENCE_S) for task in tasks] == [0] * len(widths)
        assert len(kernel.executors["psij"].connected_managers()) == 1  # on the first node alone
    assert sorted((tmp_path / "marks").read_text().split()) == [*slurm.nodes]  # node_init, once on each
    for number, width in enumerate(widths):
        words = (tmp_path / str(number)).read_text().split()
        assert words.count(f"SLURM_NTASKS={2 * width}") == 2 * width
        assert [words.count(node) for node in slurm.nodes if node in words] == [2] * width


@ON_SLURM
def test_b3_accounting_that_lags_or_is_down_makes_no_block_complete(slurm: SlurmCluster, tmp_path: Path) -> None:
    from psij_parsl.providers import SlurmProvider

    provider = SlurmProvider(num_nodes=2, cores_per_node=1, node_init="echo $(hostname) >>$MARKS", max_blocks=2)
    provider.script_dir = str(tmp_path / "scripts")
    os.environ["MARKS"] = str(tmp_path / "marks")
    provider.blocks.executor.snapshot.interval_s = 0.3
    slurm.stop_accounting()
    job_id = provider.submit("sleep 3; exit 4", 1, "parsl.htex.block-0")
    seen = set()

    def over() -> bool:
        seen.add((status := provider.status([job_id])[0]).state.name)
        return bool(status.terminal)

    comes_true(over)
    del os.environ["MARKS"]
    assert seen - {"PENDING", "RUNNING"} == {"FAILED"}
    assert provider.status([job_id])[0].exit_code == 4
    assert sorted((tmp_path / "marks").read_text().split()) == ["node01", "node02"]  # node_init once on each


@pytest.mark.every_slurm
@ON_SLURM
def test_readmes_example_with_another_machine_runs_on_two_nodes(slurm: SlurmCluster, tmp_path: Path) -> None:
    text = next(
        block
        for block in re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.M | re.S)
        if "parsl.load" in block
    )
    text = text.replace('site("laptop")', 'site("slurm")').replace("num_nodes=1", "num_nodes=2, workers_per_node=1")
    text = text.replace("import socket\n", "import socket, time; time.sleep(0.3)\n")  # the second node may be slow
    (tmp_path / "example.py").write_text(text)
    answer = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "100 tasks ran on node01 node02\n"
