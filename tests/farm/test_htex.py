"""The engine over several nodes, with this host as its one node; that of two is in test_on_slurm.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from psij_parsl.errors import LaunchError
from psij_parsl.farm.htex import NodesEngine
from psij_parsl.farm.task import Task
from psij_parsl.job_size import Resources
from psij_parsl.parsl.pools import NodePools
from psij_parsl.resources import Node
from psij_parsl.resources.host import name as host_name
from psij_parsl.runs.registry import launcher
from psij_parsl.sites import LAPTOP
from psij_parsl.system.processes import process_start
from tests.clusters.hosts import comes_true

pytestmark = pytest.mark.slow

CPUS = sorted(os.sched_getaffinity(0))
LAST = (*CPUS, *CPUS)[:2]  # two workers, on a host of one CPU too
SHAPE = Resources(ranks_per_node=2, gpus_per_rank=1)


BARE = Path(__file__).with_name("bare_script")  # it has no line that says which program reads it


def engine_here(**environment: str) -> NodesEngine:
    node = Node(host_name(), LAST, ("0", "GPU-5d"))
    return NodesEngine(NodePools([node], SHAPE, launcher("fork")(), site=LAPTOP, environment=environment))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodesEngine]:
    """One for all tests of the file: its start takes some seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PSIJ_PARSL_HOME", str(tmp_path_factory.mktemp("with blank {and} brace")))
        patch.setenv("CUDA_VISIBLE_DEVICES", "0,GPU-5d")
        patch.setenv("SLURM_NNODES", "2")
        patch.setenv("OMPI_MCA_btl", "self")
        started = engine_here(GREETING="hello", SLURM_PROCID="3", OMPI_COMM_WORLD_RANK="3")  # as launchers have them
        yield started
        folder = started._pools.folder
        started.close(kill=True)
    assert not folder.exists()
    assert not running(str(folder))


def running(text: str) -> list[str]:
    """The processes below this one whose command line has that text."""
    lines = subprocess.run(["ps", "-ww", "-eo", "stat,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in lines.splitlines() if text in line and not line.startswith("Z") and "ps -ww" not in line]


def test_a_task_has_its_own_environment_files_and_end(engine: NodesEngine, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("text\n")
    script = 'cat; echo "$GREETING $OWN $CUDA_VISIBLE_DEVICES $OMP_NUM_THREADS ${PSIJ_RANK-none} ${PARSL_WORKER_RANK-none}"'
    task = Task(
        7,
        ("sh", "-c", f"{script}; pwd; echo bad >&2; exit 3"),
        environment={"OWN": "mine"},
        directory=str(tmp_path),
        stdin="in",
        stdout="out",
    )
    before = time.time()
    end = engine.start(task).result(60)
    assert (end.number, end.exit_code, end.host, end.error) == (7, 3, host_name(), "")
    assert before <= end.began <= end.ended <= time.time()
    text, variables, directory, bad = (tmp_path / "out").read_text().splitlines()
    assert (text, directory, bad) == ("text", str(tmp_path), "bad")
    assert variables in ("hello mine 0 1 none none", "hello mine GPU-5d 1 none none")


def test_what_the_launch_of_the_pool_has_set_is_not_a_tasks(engine: NodesEngine, tmp_path: Path) -> None:
    engine.start(Task(1, ("env",), directory=str(tmp_path), stdout="out")).result(60)
    found = [
        line
        for line in (tmp_path / "out").read_text().splitlines()
        if line.startswith(("SLURM_", "OMPI_", "PARSL_", "PSIJ_RANK", "PSIJ_WORKER"))
    ]
    assert sorted(found) == ["OMPI_MCA_btl=self", "SLURM_NNODES=2"]


def test_two_at_a_time_each_with_its_own_gpu(engine: NodesEngine, tmp_path: Path) -> None:
    assert comes_true(lambda: engine.at_once == 2, 60)
    wait_for_both = "echo $CUDA_VISIBLE_DEVICES >gpu$0; while [ ! -e gpu0 ] || [ ! -e gpu1 ]; do sleep 0.05; done"
    ends = [engine.start(Task(at, ("sh", "-c", wait_for_both, str(at)), directory=str(tmp_path))) for at in range(2)]
    assert [end.result(60).exit_code for end in ends] == [0, 0]
    assert {(tmp_path / f"gpu{at}").read_text().strip() for at in range(2)} == {"0", "GPU-5d"}


@pytest.mark.parametrize(
    ("task", "code", "error"),
    [
        (Task(1, ("no-such-program-here",)), 127, "there is no program no-such-program-here"),
        (Task(1, ("/etc/passwd",)), 126, "/etc/passwd cannot be started: Permission denied"),
        (Task(1, ("true",), directory="/no/such"), 125, "/no/such: No such file or directory"),
        (Task(1, ("true",), stdout="/no/such/out"), 125, "/no/such/out: No such file or directory"),
        (Task(1, ("/bin/true", "a\0b")), 125, "embedded null byte"),
        (Task(1, ("sh", "-c", "kill -SEGV $$")), 139, ""),
        (Task(1, (f"{BARE}",), environment={"CODE": "9"}), 9, ""),
    ],
)
def test_what_does_not_start_says_why_and_codes_are_those_of_a_shell(
    engine: NodesEngine, task: Task, code: int, error: str
) -> None:
    end = engine.start(task).result(60)
    assert (end.exit_code, end.error) == (code, error)


def test_a_signal_reaches_the_task_and_not_the_pool(engine: NodesEngine, tmp_path: Path) -> None:
    script = "trap 'echo usr1; exit 4' USR1; touch ready; while :; do sleep 0.05; done"
    end = engine.start(Task(1, ("sh", "-c", script), directory=str(tmp_path), stdout="out"))
    assert comes_true((tmp_path / "ready").exists, 60)
    engine.signal(signal.SIGUSR1)
    assert end.result(60).exit_code == 4
    assert (tmp_path / "out").read_text().endswith("usr1\n")
    end = engine.start(Task(2, ("sh", "-c", "touch again; sleep 600"), directory=str(tmp_path)))
    assert comes_true((tmp_path / "again").exists, 60)
    engine.signal(signal.SIGTERM)
    assert end.result(60).exit_code == 128 + signal.SIGTERM
    assert engine.start(Task(3, ("true",))).result(60).exit_code == 0


def test_what_a_task_leaves_behind_ends(engine: NodesEngine, tmp_path: Path) -> None:
    script = "sleep 600 & echo $! >pid; trap 'exit 5' TERM"
    end = engine.start(Task(1, ("sh", "-c", script), directory=str(tmp_path))).result(60)
    assert end.exit_code == 0
    assert not process_start(int((tmp_path / "pid").read_text()))


def test_a_task_whose_worker_is_killed_is_named_and_not_started_again(engine: NodesEngine, tmp_path: Path) -> None:
    kill_worker = "echo once >>count; kill -KILL $PPID; sleep 600"
    end = engine.start(Task(5, ("sh", "-c", kill_worker), directory=str(tmp_path))).result(60)
    assert (end.number, end.exit_code, end.host) == (5, 125, host_name())
    assert end.error.startswith(f"lost on {host_name()}: its worker was killed")
    assert (tmp_path / "count").read_text() == "once\n"
    assert engine.start(Task(6, ("true",))).result(60).exit_code == 0  # another worker, at the same place


def test_a_pool_that_cannot_start_is_an_error_that_says_why() -> None:
    broken = engine_here(PYTHONHOME="/no/such/python")
    try:
        with pytest.raises(LaunchError, match=r"no worker pool could be started on .* \(each node must have"):
            broken.start(Task(1, ("true",))).result(60)
        with pytest.raises(LaunchError, match="no worker pool could be started"):
            broken.start(Task(2, ("true",))).result(60)
    finally:
        broken.close(kill=True)


def test_when_the_last_pool_is_killed_its_tasks_are_named_and_no_more_is_started(tmp_path: Path) -> None:
    engine = engine_here()
    try:
        kill_pool = "echo $$ >pid; kill -KILL $(ps -o ppid= -p $(ps -o ppid= -p $PPID)); sleep 600"
        end = engine.start(Task(5, ("sh", "-c", kill_pool), directory=str(tmp_path))).result(60)
        assert not end.known
        assert (end.number, end.exit_code) == (5, 125)
        assert f"the worker pools on {host_name()} have ended" in end.error
        with pytest.raises(LaunchError, match="the worker pools on .* have ended"):
            engine.start(Task(6, ("true",))).result(60)
        assert comes_true(lambda: not process_start(int((tmp_path / "pid").read_text())), 30)
    finally:
        engine.close(kill=True)


FARM = """
import sys
from tests.farm.test_htex import Task, engine_here
engine = engine_here()
for number in range(2):
    engine.start(Task(number, ("sh", "-c", sys.argv[2], f"{sys.argv[1]}/{number}")))
print(engine._pools._executor.interchange_proc.pid, flush=True)
input()
"""


def test_nothing_outlives_a_farm_that_is_killed(tmp_path: Path, home: Path) -> None:
    length = f"612.{os.getpid()}"  # nobody else's
    argv = [sys.executable, "-c", FARM, str(tmp_path), f"sleep {length} & touch $0; sleep {length}"]
    farm = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert farm.stdin
    assert farm.stdout
    with farm.stdin, farm.stdout:
        interchange = int(farm.stdout.readline())
        assert comes_true(lambda: len([*tmp_path.iterdir()]) == 2, 60)
        assert len(running(f"sleep {length}")) >= 4
        assert running(str(home))
        farm.kill()
        farm.wait()
    assert comes_true(lambda: not running(f"sleep {length}"), 30)
    assert comes_true(lambda: not running(str(home)), 30)
    assert comes_true(lambda: not process_start(interchange), 30)
