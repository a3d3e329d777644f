"""One Parsl workflow with one provider, in a process of its own, for the benches of the Parsl layer.

    python -m bench.parsl_case NAME FOLDER      (NAME: ours-slurm, parsl-slurm, ours-local, parsl-local)

Prints the seconds from `parsl.load` to the first result, and then does what it is told, line by line: `batch` runs
tasks and prints how many there were per second; `kill` ends the block behind the provider's back and prints after how
many seconds that was noticed. The two of a pair differ in nothing but the provider and its launcher.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor

TASKS = 2000
PATIENCE_S = 150


def provider(name: str) -> Any:
    ours, slurm = name.startswith("ours"), name.endswith("slurm")
    blocks = {"max_blocks": 1, "init_blocks": 1}
    if ours and slurm:
        from psij_parsl.providers import SlurmProvider

        return SlurmProvider(num_nodes=2, cores_per_node=2, **blocks)
    if ours:
        from psij_parsl.providers import LocalProvider

        return LocalProvider(**blocks)
    from parsl import launchers, providers

    if slurm:
        return providers.SlurmProvider(
            nodes_per_block=2, cores_per_node=2, exclusive=False, launcher=launchers.SrunLauncher(), **blocks
        )
    return providers.LocalProvider(**blocks)


def nothing() -> None:
    return None


def job() -> str | None:
    import os

    return os.environ.get("SLURM_JOB_ID")


def main(name: str, folder: Path) -> None:
    executor = HighThroughputExecutor(
        label="htex",
        address="127.0.0.1",
        max_workers_per_node=1,
        provider=provider(name),
        encrypted=True,
        block_error_handler=False,
    )
    made = Config(
        executors=[executor],
        run_dir=str(folder / f"run-{name}-{time.time()}"),
        strategy_period=1,
        max_idletime=3600,
        initialize_logging=False,
    )
    began = time.monotonic()
    with parsl.load(made):
        block = parsl.python_app(job)().result()
        print(time.monotonic() - began, flush=True)
        app = parsl.python_app(nothing)
        for line in sys.stdin:
            began = time.monotonic()
            if line.strip() == "batch":
                for task in [app() for _ in range(TASKS)]:
                    task.result()
                print(TASKS / (time.monotonic() - began), flush=True)
            else:
                kill(block)
                began = time.monotonic()
                while not executor.status_facade["0"].terminal and time.monotonic() - began < PATIENCE_S:
                    time.sleep(0.05)
                print(time.monotonic() - began, flush=True)


def kill(block: str | None) -> None:
    """End the block's pools behind the provider's back."""
    if block:
        subprocess.run(["scancel", block], check=True)
        return
    mine = str(os.getpid())
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        pool = any(word.endswith(b"process_worker_pool.py") for word in words[:3])
        if pool and f"BENCH_CASE={mine}".encode() in environment.split(b"\0"):
            os.kill(int(pid), signal.SIGKILL)


if __name__ == "__main__":
    os.environ["BENCH_CASE"] = str(os.getpid())
    os.environ["PATH"] += f":{Path(sys.executable).parent}"
    main(sys.argv[1], Path(sys.argv[2]))
