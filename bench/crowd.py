"""Many jobs at once on one manager: do they end right, what does the manager see of it, how late is an end seen.

    python -m bench.crowd PLATFORM [JOBS]

Half of them are one array, the others single jobs (all are single where the manager has no arrays); every fifth ends with
3. For Grid Engine, HTCondor and OAR inside what starts them (tests/clusters/README.md):

    python -m tests.clusters.roots enter bookworm python -m tests.clusters.managed gridengine -- python -m bench.crowd gridengine
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.tools import report, slurm
from psij_parsl import BatchSchedulerExecutor, Job, JobState
from psij_parsl.platforms import Scheduler
from psij_parsl.system.commands import CommandRunner, RunningCommand
from tests import unseen
from tests.clusters.managed import MANAGERS

PATIENCE_S = 1200.0


def count(scheduler: Scheduler) -> Counter[str]:
    """From now on, the commands that are run for a scheduler, by their names."""
    commands: Counter[str] = Counter()
    run = scheduler.run
    assert isinstance(run, CommandRunner)
    start = run.start

    def counted(argv: Sequence[str], *arguments: Any, **options: Any) -> RunningCommand:
        commands[Path(argv[0]).name] += 1
        return start(argv, *arguments, **options)

    run.start = counted  # type: ignore[method-assign]
    return commands


def job(place: Path, number: int) -> Job:
    """One that writes down when it ends."""
    code = 3 if number % 5 == 0 else 0
    return Job(
        command=["bash", "-c", f"sleep 1; date +%s.%N >{place}/end{number}; exit {code}"], name=f"crowd{number}"
    )


def main(platform: str, number_of_jobs: int) -> int:
    with tempfile.TemporaryDirectory(prefix="crowd-") as folder:
        place = Path(folder)
        executor = BatchSchedulerExecutor(platform, home=place / "home")
        commands = count(executor.scheduler)
        seen: dict[str, float] = {}
        executor.on_status(lambda sub, status: seen.setdefault(sub.id, time.time()) if status.final else None)
        jobs = [job(place, number) for number in range(number_of_jobs)]
        began = time.monotonic()
        array = list(executor.submit_many(jobs[number_of_jobs // 2 :]))
        submissions = [*map(executor.submit, jobs[: number_of_jobs // 2]), *array]
        submitted_s = time.monotonic() - began
        done = executor.wait([submission.id for submission in submissions], PATIENCE_S)
        seconds = time.monotonic() - began
        statuses = executor.status([submission.id for submission in submissions])
        wrong = [
            f"{number}: {status}"
            for number, status in enumerate(statuses)
            if (status.state, status.exit_code)
            != ((JobState.FAILED, 3) if number % 5 == 0 else (JobState.COMPLETED, 0))
        ]
        ends = [
            seen[submission.id] - float((place / f"end{number}").read_text())
            for number, submission in enumerate(submissions)
            if submission.id in seen
        ]
        report(
            f"crowd_{platform}",
            {
                "to see an end, median": statistics.median(ends),
                "to see an end, greatest": max(ends),
                "to submit all": submitted_s,
                "to the last end": seconds,
            },
            unit="s",
            facts={
                "jobs": f"{number_of_jobs}, {len(ends)} ends seen, {len(wrong)} wrong",
                "commands that the manager saw": dict(commands),
            },
        )
        for line in wrong[:10]:
            print(f"wrong: {line}")
        return int(bool(wrong) or not done)


def environment(platform: str) -> None:
    """Put the manager's commands on PATH."""
    if platform in MANAGERS:
        os.environ |= unseen.environment_with(platform)


if __name__ == "__main__":
    name, number = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 300
    environment(name)
    if name == "slurm":
        with slurm():
            sys.exit(main(name, number))
    sys.exit(main(name, number))
