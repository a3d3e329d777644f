"""Parsl's worker pool of one node, where our launcher starts it: `python -m psij_parsl.parsl.worker_pool FOLDER ...`.

`FOLDER` holds what `pools.py` says to all nodes; the other arguments are those of Parsl's own pool, which this becomes.
Added to it: a signal that the launcher hands on reaches the commands that the workers have started, and not the pool.
One that asks to end ends the pool where no command runs.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import parsl.multiprocessing

from ..resources.host import is_here
from ..runs.run_processes import MARK
from ..system.commands import matcher
from ..system.processes import STATE, process_status
from .worker import PLACES, POOL_FILE

_PARSLS_POOL = "parsl.executors.high_throughput.process_worker_pool"
_KEPT = (MARK, "PSIJ_CPUS", "PSIJ_GPUS")
_PARENT = 1  # a field of `process_status`
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HANDED_ON = frozenset((*_ENDING, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT, signal.SIGTSTP))


def _commands() -> Iterator[int]:
    """What the workers have started: each is the leader of a group of its own."""
    workers = {process.pid for process in multiprocessing.active_children()}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with suppress(OSError, IndexError):
            status = process_status(int(name))
            if int(status[_PARENT]) in workers and status[STATE] not in b"ZX":
                yield int(name)


def _hand_on() -> None:
    while True:
        number = signal.sigwait(_HANDED_ON)
        commands = [*_commands()]
        for pid in commands:
            with suppress(OSError):
                os.killpg(pid, number)
        if number in _ENDING and not commands:
            for process in multiprocessing.active_children():
                process.kill()
            os._exit(0)


def _own_node(said: dict[str, Any]) -> str:
    """The name of this node among those of the pool."""
    names = [*said["places"]]
    called = os.environ.get("SLURMD_NODENAME") or os.uname().nodename
    short = called.partition(".")[0]
    return next((name for name in names if name == called or name.partition(".")[0] == short), "") or next(
        filter(is_here, names), called
    )


def _fork_server(preload: Sequence[str]) -> Any:
    """What starts the workers. Parsl would have each of them import Parsl by itself: a second, and 30 MB."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PARSLS_POOL, *preload])
    return context


def _take_back_environment(patterns: Sequence[str], own: Mapping[str, str]) -> None:
    """Of the variables of such names only those are left that the farm itself has: the others are of its launcher."""
    of_launch = matcher(tuple(patterns))
    for name in [*filter(of_launch.fullmatch, os.environ)]:
        if name not in _KEPT:
            del os.environ[name]
    os.environ.update(own)


def _main() -> None:
    said = json.loads(Path(sys.argv.pop(1), POOL_FILE).read_text())
    node = _own_node(said)
    sys.argv[1:] = [f"--block_id={node}" if word.startswith("--block_id=") else word for word in sys.argv[1:]]
    sys.path.extend(path for path in said["path"] if path not in sys.path)  # the workers are given ours
    _take_back_environment(said["launch_variables"], said["own_variables"])
    os.environ[PLACES] = json.dumps(said["places"].get(node, []))
    os.environ["PARSL_CORES"] = str(said["workers"])
    parsl.multiprocessing.SpawnContext = _fork_server(said["preload"])
    resource_tracker.ensure_running()  # some Pythons take signals back from who starts it
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDED_ON)  # also in the workers, which are of our process group
    threading.Thread(target=_hand_on, name="hand-signals-on", daemon=True).start()
    runpy.run_module(_PARSLS_POOL, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
