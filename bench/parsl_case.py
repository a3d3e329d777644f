"""One Parsl workflow with one provider, in a process of its own, for the benches of the Parsl layer.

    python -m bench.parsl_case NAME first|load FOLDER      (NAME: ours-slurm, parsl-slurm, ours-local, parsl-local)

Prints its figures as JSON. The two of a pair differ in nothing but the provider and its launcher.
"""

from __future__ import annotations

import json
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
BATCHES = 4  # of which the best counts: the provider can only take away from it
QUIET_S = 60


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


def calls(folder: Path) -> int:
    """The manager's commands so far, as the shims before them have noted."""
    return sum(len(path.read_text().split()) for path in folder.glob("*.calls"))


def main(name: str, what: str, folder: Path) -> None:
    executor = HighThroughputExecutor(
        label="htex", address="127.0.0.1", max_workers_per_node=1, provider=provider(name), encrypted=True,
        block_error_handler=False,
    )  # fmt: skip
    made = Config(
        executors=[executor], run_dir=str(folder / f"run-{name}-{time.time()}"), strategy_period=1,
        initialize_logging=False,
    )  # fmt: skip
    figures: dict[str, float] = {}
    began = time.monotonic()
    with parsl.load(made):
        app = parsl.python_app(nothing)
        app().result()
        figures["first_task_s"] = time.monotonic() - began
        if what == "load":
            figures |= load(name, executor, app, folder)
    print(json.dumps(figures))


def load(name: str, executor: HighThroughputExecutor, app: Any, folder: Path) -> dict[str, float]:
    rate = 0.0
    for _ in range(BATCHES):
        began = time.monotonic()
        for task in [app() for _ in range(TASKS)]:
            task.result()
        rate = max(rate, TASKS / (time.monotonic() - began))
    before = calls(folder)
    time.sleep(QUIET_S)
    asked = (calls(folder) - before) * 60 / QUIET_S
    kill(name)
    began = time.monotonic()
    while not executor.status_facade["0"].terminal and time.monotonic() - began < 150:
        time.sleep(0.05)
    return {"tasks_per_s": rate, "calls_per_minute": asked, "death_seen_s": time.monotonic() - began}


def kill(name: str) -> None:
    """End the block's pools behind the provider's back."""
    if name.endswith("slurm"):
        ids = subprocess.run(
            ["squeue", "--me", "-h", "-o", "%i"], capture_output=True, text=True, check=True
        ).stdout.split()
        subprocess.run(["scancel", *ids], check=True)
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
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
