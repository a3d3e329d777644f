"""One submit in process beside raw sbatch of the same script, psij-python and Parsl's SlurmProvider; then 1,000 alike.

    python -m bench.submit [ROUNDS]

The first is measured twice: as it comes, and with this process and its children on one CPU, as on a busy login node.
Peers that are not installed are left out, and said to be. Jobs are held or trivial, so that Slurm's own work is alike.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.tools import measured, report, slurm
from psij_parsl import BatchSchedulerExecutor, Job

ALIKE = 1000


def peers(folder: Path) -> dict[str, Callable[[], object]]:
    """The peers that are installed, each submitting a job that does nothing."""
    found: dict[str, Callable[[], object]] = {}
    try:
        import psij
    except ImportError:
        print("psij-python is not installed: left out (pip install '.[bench]')")
    else:
        executor = psij.JobExecutor.get_instance("slurm")
        found["psij-python"] = lambda: executor.submit(psij.Job(psij.JobSpec(executable="/bin/true")))
    from parsl.launchers import SimpleLauncher
    from parsl.providers import SlurmProvider

    logging.getLogger("parsl").setLevel(logging.CRITICAL)
    provider = SlurmProvider(launcher=SimpleLauncher(), walltime="00:10:00")
    provider.script_dir = str(folder)
    found["Parsl SlurmProvider"] = lambda: provider.submit("true", 1, "bench")
    return found


def compare(name: str, contestants: Mapping[str, Callable[[], object]], rounds: int, *, promised: float) -> None:
    """One submit each, beside raw sbatch."""
    took = measured(contestants, rounds)
    subprocess.run(["scancel", "--me"], check=True)
    raw = took["raw sbatch"]
    report(
        name,
        {who: each.wall * 1000 for who, each in took.items()},
        unit="ms",
        promise=f"psij-parsl <= {promised} x raw sbatch",
        facts={
            f"{who} / raw": f"{each.wall / raw.wall:.2f}, of CPUs {each.cpu / raw.cpu:.2f} ({each.cpu * 1000:.1f} ms)"
            for who, each in took.items()
        },
    )


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as place, slurm():
        os.environ["PSIJ_PARSL_HOME"] = place
        executor = BatchSchedulerExecutor("slurm")
        job = Job(command=["true"], hold=True)
        script = executor.submit(job).folder / "script.sh"
        contestants: dict[str, Callable[[], object]] = {
            "raw sbatch": lambda: subprocess.run(["sbatch", "--parsable", script], capture_output=True, check=True),
            "psij-parsl": lambda: executor.submit(job),
            **peers(Path(place)),
        }
        compare("submit", contestants, rounds, promised=1.15)
        everywhere = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(everywhere)})
        compare("submit_pinned", contestants, rounds, promised=1.3)
        os.sched_setaffinity(0, everywhere)

        began = time.perf_counter()
        for _ in range(ALIKE // 10):
            subprocess.run(["sbatch", "--parsable", script], capture_output=True, check=True)
        one_by_one = (time.perf_counter() - began) * 10
        subprocess.run(["scancel", "--me"], check=True)
        began = time.perf_counter()
        executor.submit_many([Job(command=["true", str(number)], hold=True) for number in range(ALIKE)])
        together = time.perf_counter() - began
        subprocess.run(["scancel", "--me"], check=True)
        report(
            "submit_many",
            {f"{ALIKE} x sbatch (a tenth of them timed)": one_by_one, f"submit_many({ALIKE})": together},
            unit="s",
            promise=">= 20 x faster",
            facts={"ratio": f"{one_by_one / together:.1f}"},
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
