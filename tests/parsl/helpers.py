"""What the tests with Parsl share: apps that travel by value, configurations, and looks into processes and logs."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.cli.app import run as psij_run
from psij_parsl.testing.tools import PATIENCE_S, comes_true

#: Parsl leaves files and sockets to the garbage collector.
PARSL_IS_UNTIDY = (
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
)

#: One kind of Slurm is enough where the workers are what is looked at.
ON_SLURM = pytest.mark.parametrize("slurm", ["accounting"], indirect=True)


_APPS = """
def where(number=0):
    import os
    import socket

    return {"number": number, "host": socket.gethostname(), "pid": os.getpid(), "cwd": os.getcwd(), "env": dict(os.environ)}

def nap(seconds):
    import socket
    import time

    time.sleep(seconds)
    return socket.gethostname()
"""


def by_value(text: str) -> dict[str, Any]:
    """Functions that workers get by value, as those of a script: workers cannot import the tests."""
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(text, space)
    return space


def apps() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Two apps: `where(x)` tells host, pid, environment; `nap(seconds)` sleeps."""
    import parsl

    space = by_value(_APPS)
    return parsl.python_app(space["where"]), parsl.python_app(space["nap"])


def scales_out_and_in(provider: Any, run_dir: Path, tasks: int) -> None:
    """So many tasks are run by three blocks, of which none stays."""
    import parsl

    text = (
        "def stay(path, number):\n import os, time\n while not os.path.exists(path): time.sleep(0.1)\n return number"
    )
    with loaded(config(provider, run_dir, max_idletime=0.5)) as kernel:
        app = parsl.python_app(by_value(text)["stay"])
        waiting = [app(str(run_dir / "go"), number) for number in range(tasks)]
        comes_true(lambda: len(kernel.executors["htex"].connected_managers()) == 3, what="three blocks")
        assert len(provider.blocks.live()) == 3
        (run_dir / "go").touch()
        assert [task.result(PATIENCE_S) for task in waiting] == [*range(tasks)]
        comes_true(lambda: all_ended(provider), what="no block")
        assert {one.state.name for one in provider.status(list(provider.blocks.records))} == {"CANCELLED"}
        assert len(provider.blocks.records) == 3


def config(
    provider: Any,
    run_dir: Path,
    *,
    workers: int = 1,
    handler: Any = True,
    encrypted: bool = False,
    address: str = "127.0.0.1",
    **settings: Any,
) -> Any:
    """A Parsl configuration with one HTEX on this host, as users write it by hand, and quick."""
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor

    from psij_parsl.parsl import interchange

    executor = HighThroughputExecutor(
        label="htex",
        address=address,
        encrypted=encrypted,
        max_workers_per_node=workers,
        provider=provider,
        interchange_launch_cmd=interchange.command(),
        block_error_handler=handler,
        heartbeat_period=2,
        heartbeat_threshold=10,
    )
    chosen = {"strategy_period": 0.5, "max_idletime": 1.0, "initialize_logging": False, **settings}
    return Config(executors=[executor], run_dir=str(run_dir), **chosen)


@contextmanager
def loaded(made: Any) -> Iterator[Any]:
    """Parsl with that configuration."""
    import parsl

    made.initialize_logging = False  # its file would be closed by the garbage collector, at any time
    try:
        with parsl.load(made) as kernel:
            yield kernel
    finally:
        gc.collect()


def blocks(folder: Path) -> list[Path]:
    """The blocks' folders of a run directory."""
    return sorted(path.parent for path in folder.glob("*/submit_scripts/*/script.sh"))


def ended(provider: Any, job_id: str, seconds: float = PATIENCE_S) -> Any:
    """Parsl's status of a block at its end."""
    return comes_true(lambda: (one := provider.status([job_id])[0]).terminal and one, seconds, f"the end of {job_id}")


def all_ended(provider: Any) -> bool:
    """Whether none of a provider's blocks is live, after one more look."""
    return all(one.terminal for one in provider.status(list(provider.blocks.records)))


def command_lines() -> dict[int, tuple[int, str]]:
    """Each process: its parent and its command line."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        found[int(pid)] = (parent, words)
    return found


def ancestors(pid: int) -> list[str]:
    """The command lines of a process's ancestors, the nearest first."""
    table, told = command_lines(), []
    while pid in table and pid > 1:
        pid, words = table[pid]
        told.append(words)
    return told[1:]


# ---- workflows in processes of their own, which may be killed ----------------------------------------------------

_WORKFLOW = """
import os, sys, time, parsl
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.parsl.helpers import apps, config
import psij_parsl
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    {make}
    with parsl.load(made):
        where, nap = apps()
        (folder / "first").write_text(where().result()["env"]["PSIJ_JOB_ID"])
        while not (folder / "stop").exists():
            time.sleep(0.1)
"""
_BY_HAND = """from psij_parsl.providers import LocalProvider, SlurmProvider
    made = config({provider}, folder / 'run', max_idletime=120)
    made.executors[0].interchange_launch_cmd = [os.path.join(os.path.dirname(sys.executable), 'interchange.py')]"""


@contextmanager
def workflows(place: Path) -> Iterator[Callable[[str, str], tuple[Path, subprocess.Popen[bytes]]]]:
    """`start(name, make)` starts a workflow, with a line of Python that makes its configuration, and gives its folder."""
    started: list[subprocess.Popen[bytes]] = []
    root = str(Path(__file__).parents[2])

    def start(name: str, make: str) -> tuple[Path, subprocess.Popen[bytes]]:
        folder = place / name
        folder.mkdir()
        (folder / "flow.py").write_text(_WORKFLOW.format(root=root, make=make))
        with (folder / "log").open("w") as log:
            process = subprocess.Popen([sys.executable, "flow.py", str(folder)], cwd=folder, stdout=log, stderr=log)
        started.append(process)
        return folder, process

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()
        for pid in interchanges(place):
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


def orphans_are_cancelled(start: Callable[..., Any], capsys: pytest.CaptureFixture[str], provider: str) -> None:
    """Of two workflows of one user, the killed one's block is found and cancelled, and the other's is left alone.

    Both have Parsl's own interchange, which lives on.
    """

    def told(*words: str) -> Any:
        capsys.readouterr()
        assert psij_run([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out or "[]")

    (folder, process), (other, _) = (start(name, _BY_HAND.format(provider=provider)) for name in ("killed", "alive"))
    ours, theirs = (
        comes_true(lambda f=f: (f / "first").exists() and (f / "first").read_text(), what="a first task")
        for f in (folder, other)
    )
    process.kill()
    process.wait()
    rows = {row["id"]: row["why"] for row in told("list")}
    assert "its workflow is gone" in rows[ours]
    assert "its workflow is gone" not in rows[theirs]
    assert [row["id"] for row in told("cancel", "--orphans")] == [ours]
    comes_true(lambda: {row["state"] for row in told("status", ours)} == {"CANCELED"})
    assert told("cancel", "--orphans") == []
    assert [row["state"] for row in told("status", theirs)] == ["ACTIVE"]
    (other / "stop").touch()
