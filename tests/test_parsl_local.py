"""Real Parsl workflows on this host: HTEX over our LocalProvider, configurations from a site, orphans."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.cli.app import run as psij_run
from psij_parsl.journal import Journal
from tests.helpers_parsl import PARSL_IS_UNTIDY, PYTHON, all_ended, apps, blocks, config, loaded, until

pytestmark = [*PARSL_IS_UNTIDY]


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded manager gives out more cores than this machine may have, and nobody activated anything."""
    monkeypatch.setenv("PSIJ_LOCAL_CORES_TOTAL", "16")
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin:/bin")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """`psij-run` in this process sends what is logged to its own output."""
    logger = logging.getLogger("psij_parsl")
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.level, logger.propagate = before


def test_a_thousand_tasks_and_everything_in_a_run_directory_with_blanks(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from psij_parsl.providers import LocalProvider

    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    provider = LocalProvider(cores_per_node=2, worker_init="export FROM_INIT='a b'", node_init="export FROM_NODE=1")
    with loaded(config(provider, tmp_path / "run dir", workers=2, encrypted=True)):
        where, _ = apps()
        first = where().result(60)
        assert [first["env"][name] for name in ("PARSL_CORES", "FROM_INIT", "FROM_NODE")] == ["2", "a b", "1"]
        assert first["cwd"] == str(tmp_path / "cwd")
        told = [task.result(60) for task in [where(number) for number in range(1000)]]
        assert [one["number"] for one in told] == list(range(1000))
        assert len({one["pid"] for one in told}) == 2
        open_ = [entry for entry in Journal(home).entries().values() if entry.open]
        assert [entry.name for entry in open_] == ["parsl.htex.block-0"]
    assert [path.name for path in blocks(tmp_path / "run dir")] == [open_[0].id]
    assert os.listdir(tmp_path / "cwd") == []
    until(lambda: all_ended(provider))


def test_it_scales_out_to_several_blocks_and_in_again(tmp_path: Path) -> None:
    from psij_parsl.providers import LocalProvider

    provider = LocalProvider(init_blocks=0, max_blocks=3)
    with loaded(config(provider, tmp_path / "run", max_idletime=0.5)) as kernel:
        _, nap = apps()
        tasks = [nap(3) for _ in range(9)]
        until(lambda: len(kernel.executors["htex"].connected_managers()) == 3, what="three blocks")
        assert len(provider._live()) == 3
        assert len([task.result(60) for task in tasks]) == 9
        until(lambda: all_ended(provider), what="no block")
        assert {one.state.name for one in provider.status(list(provider._blocks))} == {"CANCELLED"}
        assert len(provider._blocks) == 3


def test_a_block_that_fails_at_start_is_told_in_the_tasks_exception(tmp_path: Path) -> None:
    from parsl.executors.errors import BadStateException

    from psij_parsl.parsl import consecutive_failures
    from psij_parsl.providers import LocalProvider

    provider = LocalProvider(worker_init="echo 'Lmod has detected: module nope not found' >&2; exit 9")
    with loaded(config(provider, tmp_path / "run", handler=consecutive_failures)):
        where, _ = apps()
        with pytest.raises(BadStateException) as caught:
            where().result(60)
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
            where().result(60)


def test_a_block_at_its_wall_times_end_is_a_timeout_and_the_next_one_goes_on(tmp_path: Path) -> None:
    from psij_parsl.providers import LocalProvider

    provider = LocalProvider()
    with loaded(config(provider, tmp_path / "run", retries=5)):
        where, nap = apps()
        assert where().result(60)
        (job_id,) = provider._blocks
        executor = provider._executor
        executor.scheduler.run(["psij-local", "extend", executor.journal.get(job_id).native, "1"])  # seconds
        until(lambda: provider.status([job_id])[0].terminal)
        status = provider.status([job_id])[0]
        assert status.state.name == "TIMEOUT"
        assert "wall time" in status.message
        assert nap(0).result(60)
        assert len(provider._blocks) == 2


_WORKFLOW = """
import os, sys, time, parsl
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.helpers_parsl import apps, config
import psij_parsl
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    {make}
    with parsl.load(made):
        where, nap = apps()
        (folder / "first").write_text(where().result(60)["env"]["PSIJ_JOB_ID"])
        while not (folder / "stop").exists():
            time.sleep(0.1)
"""
_BY_HAND = """from psij_parsl.providers import LocalProvider
    made = config(LocalProvider(), folder / 'run', max_idletime=120)
    made.executors[0].interchange_launch_cmd = [os.path.join(os.path.dirname(sys.executable), 'interchange.py')]"""


@pytest.fixture
def workflows(tmp_path: Path) -> Iterator[Any]:
    """Starts a workflow in a process of its own: `start(name, make)` gives its folder and its process."""
    started: list[subprocess.Popen[bytes]] = []
    root = str(Path(__file__).parents[1])

    def start(name: str, make: str = _BY_HAND) -> tuple[Path, subprocess.Popen[bytes]]:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "flow.py").write_text(_WORKFLOW.format(root=root, make=make))
        with (folder / "log").open("w") as log:
            process = subprocess.Popen([PYTHON, "flow.py", str(folder)], cwd=folder, stdout=log, stderr=log)
        started.append(process)
        return folder, process

    yield start
    for process in started:
        process.kill()
        process.wait()
    Journal()  # the state directory is this test's own
    for pid in interchanges(tmp_path):
        os.kill(pid, signal.SIGTERM)


def interchanges(folder: Path) -> list[int]:
    """The interchanges whose workflow was started below a folder."""
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"nterchange" in title and Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(folder):
                found.append(pid)
        except OSError:
            continue
    return found


def told(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert psij_run([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out or "[]")


def test_blocks_of_a_killed_workflow_are_found_and_cancelled(
    workflows: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder, process = workflows("killed")
    other, _ = workflows("alive")  # two workflows of one user at once
    ours, theirs = (until(lambda f=f: (f / "first").exists() and (f / "first").read_text()) for f in (folder, other))
    process.kill()
    process.wait()
    rows = {row["id"]: row["why"] for row in told(capsys, "list")}
    assert "its workflow is gone" in rows[ours]
    assert "its workflow is gone" not in rows[theirs]
    assert [row["id"] for row in told(capsys, "cancel", "--orphans")] == [ours]
    until(lambda: {row["state"] for row in told(capsys, "status", ours)} == {"CANCELED"})
    assert told(capsys, "cancel", "--orphans") == []
    assert [row["state"] for row in told(capsys, "status", theirs)] == ["ACTIVE"]
    (other / "stop").touch()


def test_a_killed_workflow_with_our_configuration_takes_everything_along(workflows: Any, tmp_path: Path) -> None:
    make = (
        "made = psij_parsl.site('laptop').parsl_config(watchdog_s=2, workers_per_node=1, run_dir=str(folder / 'r'))"
    )
    folder, process = workflows("ours", make)
    job_id = until(lambda: (folder / "first").exists() and (folder / "first").read_text())
    assert interchanges(folder)
    process.kill()
    process.wait()
    until(lambda: not interchanges(folder), what="the interchange to end")
    from psij_parsl import BatchSchedulerExecutor

    executor = BatchSchedulerExecutor("local", poll_s=0.3)
    until(lambda: executor.status([job_id])[0].final, what="the block to end by itself")


# ---- configurations from a site ----------------------------------------------------------------------------------


def test_a_sites_configuration_runs_and_its_printed_form_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import psij_parsl

    monkeypatch.chdir(tmp_path)
    assert psij_run(["parsl", "write", "made.py", "--site", "laptop", "--max-blocks", "2", "-t", "1h"]) == 0
    space: dict[str, Any] = {}
    exec(compile((tmp_path / "made.py").read_text(), "made.py", "exec"), space)
    direct = psij_parsl.site("laptop").parsl_config(max_blocks=2, wall_time_min=60)
    assert repr(space["config"]) == repr(direct)
    assert repr(space["executor"].provider) == repr(direct.executors[0].provider)
    assert direct.executors[0].drain_period == (60 - 6) * 60
    assert direct.executors[0].encrypted
    with loaded(space["config"]):
        where, _ = apps()
        assert len([task.result(60) for task in [where(n) for n in range(100)]]) == 100


def test_a_plan_knows_workers_accelerators_and_affinity() -> None:
    from psij_parsl.errors import InvalidRequest
    from psij_parsl.parsl.config import plan

    gpus = plan("slurm", cores_per_node=64, gpus_per_node="a100:4").executor
    assert (gpus["max_workers_per_node"], gpus["available_accelerators"], gpus["cpu_affinity"]) == (4, 4, "block")
    cores = plan("slurm", cores_per_node=64, cores_per_worker=8, wall_time_min="2h").executor
    assert (cores["max_workers_per_node"], cores["drain_period"]) == (8, 6600)
    mpi = plan("slurm", num_nodes=4, job_mode="mpi")
    assert mpi.executor_class == "MPIExecutor"
    assert (mpi.executor["max_workers_per_block"], mpi.executor["mpi_launcher"]) == (4, "srun")
    assert plan("slurm", interface="lo").executor["address"] == "127.0.0.1"
    assert plan("slurm", address="localhost").executor["address"] in ("127.0.0.1", "::1")
    with pytest.raises(InvalidRequest, match=r"interface='hsn9' has no address here.*lo"):
        plan("slurm", interface="hsn9")
    with pytest.raises(InvalidRequest, match="no parameter 'max_block'.*'max_blocks'|no parameter 'max_block'"):
        plan("slurm", max_block=2)


def test_the_yaml_for_globus_compute_names_registered_classes(capsys: pytest.CaptureFixture[str]) -> None:
    import parsl.providers

    from psij_parsl.parsl import register

    assert psij_run(["parsl", "show", "--site", "slurm", "-N", "2", "-q", "debug", "--yaml"]) == 0
    text = capsys.readouterr().out
    lines = dict(line.strip().split(": ", 1) for line in text.splitlines() if ": " in line)
    assert lines["queue"] == '"debug"'
    provider = text.partition("  provider:\n")[2]
    settings = {k: json.loads(v) for k, v in (line.strip().split(": ", 1) for line in provider.splitlines())}
    register()
    assert getattr(parsl.providers, settings.pop("type"))(**settings).num_nodes == 2


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text("mine")
    assert psij_run(["parsl", "write", str(tmp_path / "mine.py"), "--site", "laptop"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "mine.py").read_text() == "mine"


def test_importing_the_configuration_looks_for_no_network(tmp_path: Path) -> None:
    """B31: an address is looked for when a configuration is made, never when a module is imported."""
    text = textwrap.dedent("""
        import socket
        def never(*words): raise AssertionError(words)
        socket.getaddrinfo = socket.gethostbyname = never
        import psij_parsl.parsl.config
        psij_parsl.parsl.config.plan("laptop")
    """)
    subprocess.run([sys.executable, "-c", text], check=True, cwd=tmp_path, timeout=60)


def test_a_quiet_workflow_asks_rarely(tmp_path: Path) -> None:
    from psij_parsl.providers import LocalProvider

    provider = LocalProvider()
    with loaded(config(provider, tmp_path / "run", strategy_period=0.1)):
        where, _ = apps()
        assert where().result(60)
        executor, asked = provider._executor, []
        real = executor.scheduler.run
        executor.scheduler.run = lambda argv, **k: (asked.append(argv), real(argv, **k))[1]
        time.sleep(3)
        assert len(asked) <= 3 / executor.snapshot.interval_s + 5
