"""Parse a status answer of 10,000 Slurm jobs and bring 10,000 records up to date, beside psij-python's own parser.

    python -m bench.status

The answer is text in the format that `squeue` really prints for our question, with states mixed as in a busy queue.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.tools import interleaved, report
from psij_parsl.command import Output
from psij_parsl.journal import Journal
from psij_parsl.providers.slurm.scheduler import SlurmScheduler
from psij_parsl.snapshot import View
from psij_parsl.tracking import refresh

JOBS = 10_000


def lines() -> list[str]:
    """60 % pending, 30 % running, the rest just ended."""
    text = []
    for number in range(JOBS):
        job, tag, node = 1000 + number, f"psij:abc{number:07d}", f"node{number % 500:04d}"
        clock = f"2026-11-21T23:40:{number % 60:02d}"
        kind = number % 10
        if kind < 6:
            text.append(f"{job}|PENDING|0|0|N/A|N/A||{tag}|Priority ")
        elif kind < 9:
            text.append(f"{job}|RUNNING|0|0|{clock}|2026-11-22T01:40:00|{node}|{tag}|None ")
        else:
            text.append(f"{job}|COMPLETED|0|0|{clock}|2026-11-21T23:59:59|{node}|{tag}|None ")
    return text


def theirs(text: Sequence[str]) -> object:
    """psij-python parses the columns that it asks for: id, compact state, reason."""
    from psij.executors.batch.slurm import SlurmJobExecutor

    compact = {"PENDING": "PD", "RUNNING": "R", "COMPLETED": "CD"}
    rows = [line.split("|") for line in text]
    answer = "\n".join(f"{row[0]} {compact[row[1]]} {row[8].strip()}" for row in rows)
    executor = SlurmJobExecutor.__new__(SlurmJobExecutor)
    return lambda: executor.parse_status_output(0, answer)


def main() -> None:
    text = lines()
    answer = Output(("squeue",), 0, "\n".join(text) + "\n", "")
    with tempfile.TemporaryDirectory() as place:
        os.environ["PSIJ_PARSL_HOME"] = place
        journal = Journal(Path(place))
        now = time.time()
        journal.path.write_text(
            "".join(
                json.dumps({"e": "job", "id": f"abc{n:07d}", "platform": "slurm", "place": f"{place}/jobs/abc{n:07d}",
                            "native": str(1000 + n), "committed": now, "intended": now, "command": "true"}) + "\n"
                for n in range(JOBS)
            )
        )  # fmt: skip
        scheduler = SlurmScheduler(run=lambda argv, **_: answer)
        view = View()

        def update() -> View:
            return refresh(journal, scheduler, view, platform="slurm", cluster="", grace_s=120, settle_s=120)

        view = update()  # the first look, which writes the ends down; what follows is the steady state
        contestants = {"psij-parsl: parse": lambda: scheduler.qstat(lambda seen: ()), "psij-parsl: parse and update": update}
        try:
            contestants["psij-python: parse"] = theirs(text)  # type: ignore[assignment]
        except ImportError:
            print("psij-python is not installed: left out (pip install '.[bench]')")
        medians = interleaved(contestants, 15)
        report(
            "status", {name: seconds * 1000 for name, seconds in medians.items()}, unit="ms",
            promise=f"parse and update {JOBS} jobs in <= 60 ms",
        )  # fmt: skip


if __name__ == "__main__":
    main()
