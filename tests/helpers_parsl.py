"""What the tests with Parsl share: apps that travel by value, configurations, and looks into processes and logs."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PATIENCE_S = 60.0

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


def config(
    provider: Any, run_dir: Path, *, workers: int = 1, handler: Any = True, encrypted: bool = False, **settings: Any
) -> Any:
    """A Parsl configuration with one HTEX on this host, as users write it by hand, and quick."""
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor

    from psij_parsl.parsl import interchange

    executor = HighThroughputExecutor(
        label="htex", address="127.0.0.1", encrypted=encrypted, max_workers_per_node=workers, provider=provider,
        interchange_launch_cmd=interchange.command(), block_error_handler=handler, heartbeat_period=2,
        heartbeat_threshold=10,
    )  # fmt: skip
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


def until(condition: Callable[[], Any], seconds: float = PATIENCE_S, what: str = "") -> Any:
    """The first true answer, or an AssertionError when time is up."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.1)
    return answer


def blocks(folder: Path) -> list[Path]:
    """The blocks' folders of a run directory."""
    return sorted(path.parent for path in folder.glob("*/submit_scripts/*/script.sh"))


def ended(provider: Any, job_id: str, seconds: float = PATIENCE_S) -> Any:
    """Parsl's status of a block at its end."""
    return until(lambda: (one := provider.status([job_id])[0]).terminal and one, seconds, f"the end of {job_id}")


def all_ended(provider: Any) -> bool:
    """Whether none of a provider's blocks is live, after one more look."""
    return all(one.terminal for one in provider.status(list(provider._blocks)))


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


PYTHON = sys.executable
