"""How long after a job's end it is seen, at the default query interval, beside psij-python on the same Slurm.

    python -m bench.end_seen [JOBS]

Each job is watched by a process's worth of its own (a state directory and a query budget), as if by so many users, and
writes down when it ended. All run side by side; the number of status queries is counted too.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.tools import report, slurm
from psij_parsl import BatchSchedulerExecutor, Job
from psij_parsl.system.commands import CommandRunner, Output

SECONDS = 5


class Counting(CommandRunner):
    """Counts the status queries that pass."""

    queries = 0

    def __call__(self, argv, **kwargs) -> Output:  # type: ignore[no-untyped-def]  # as the base has it
        Counting.queries += argv[0] in ("squeue", "sacct")
        return super().__call__(argv, **kwargs)


def lag(place: Path) -> float:
    """Seconds between the end that a job wrote down itself and the moment that its status said so."""
    seen = time.time()
    return seen - float(place.read_text())


def ours(place: Path, number: int) -> float:
    executor = BatchSchedulerExecutor("slurm", home=place / f"home{number}")
    executor.scheduler.run = Counting(keep_env=executor.scheduler.keep_env)
    mark = place / f"ours{number}"
    job = executor.submit(Job(command=["bash", "-c", f"sleep {SECONDS + number * 0.3}; date +%s.%N >{mark}"]))
    job.wait(120)
    return lag(mark)


def main(jobs: int) -> None:
    rows: dict[str, list[float]] = {"psij-parsl": []}
    with tempfile.TemporaryDirectory() as folder, slurm():
        place = Path(folder)
        os.environ["PSIJ_PARSL_HOME"] = folder
        with ThreadPoolExecutor(jobs) as pool:
            began = time.monotonic()
            rows["psij-parsl"] = list(pool.map(lambda number: ours(place, number), range(jobs)))
            minutes = (time.monotonic() - began) / 60
        try:
            import psij
        except ImportError:
            print("psij-python is not installed: left out (pip install '.[bench]')")
        else:
            executor = psij.JobExecutor.get_instance("slurm")
            started = []
            for number in range(jobs):
                mark = place / f"theirs{number}"
                command = f"sleep {SECONDS + number * 0.3}; date +%s.%N >{mark}"
                job = psij.Job(psij.JobSpec(executable="/bin/bash", arguments=["-c", command]))
                executor.submit(job)
                started.append((job, mark))
            with ThreadPoolExecutor(jobs) as pool:
                rows["psij-python"] = list(pool.map(lambda pair: pair[0].wait() and lag(pair[1]), started))
    report(
        "end_seen",
        {name: statistics.median(values) for name, values in rows.items()},
        unit="s",
        promise="median <= 1 s",
        facts={
            "slowest": ", ".join(f"{name} {max(values):.2f} s" for name, values in rows.items()),
            "our status queries": f"{Counting.queries} by {jobs} watchers in {minutes:.2f} min, at an interval of 15 s",
        },
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
