"""Parse a status answer of 10,000 jobs and bring 10,000 records up to date, beside psij-python's own parser.

    python -m bench.status

The answers are in the format that the managers really print; those of Slurm and PBS with states mixed as in a busy
queue. PBS's records are those that were recorded (tests/recorded/openpbs), with other ids, names and times; for the other
managers see `bench/answers.py`.
"""

from __future__ import annotations

import gc
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.answers import SAMPLES, answer
from bench.tools import interleaved, report
from psij_parsl.jobs.channel import Channel
from psij_parsl.jobs.journal import Journal
from psij_parsl.jobs.reconcile import reconcile
from psij_parsl.jobs.snapshot import QueueSnapshot, View
from psij_parsl.platforms import registry as platforms
from psij_parsl.platforms.scheduler import Scheduler
from psij_parsl.platforms.tools import user_name
from psij_parsl.providers.pbspro.scheduler import PBSProScheduler
from psij_parsl.providers.slurm.scheduler import SlurmScheduler
from psij_parsl.system.commands import Output
from psij_parsl.testing.replay import Recorded

JOBS = 10_000
RECORDED = Path(__file__).parents[1] / "tests" / "recorded" / "openpbs"


def lines() -> list[str]:
    """60 % pending, 30 % running, the rest just ended."""
    text = []
    for number in range(JOBS):
        job, tag, node = 1000 + number, f"psij:abc{number:07d}", f"node{number % 500:04d}"
        clock = f"2026-11-21T23:40:{number % 60:02d}"
        submitted = f"2026-11-21T22:{number // 60 % 60:02d}:{number % 60:02d}"
        log = f"/home/alice/.local/state/psij_parsl/jobs/abc{number:07d}/manager.log"
        kind = number % 10
        if kind < 6:
            text.append(f"{job}|PENDING|0|0|{submitted}|N/A|N/A||{tag}|{log}|Priority ")
        elif kind < 9:
            text.append(f"{job}|RUNNING|0|0|{submitted}|{clock}|2026-11-22T01:40:00|{node}|{tag}|{log}|None ")
        else:
            text.append(f"{job}|COMPLETED|0|0|{submitted}|{clock}|2026-11-21T23:59:59|{node}|{tag}|{log}|None ")
    return text


def theirs(text: Sequence[str]) -> object:
    """psij-python parses the columns that it asks for: id, compact state, reason."""
    from psij.executors.batch.slurm import SlurmJobExecutor

    compact = {"PENDING": "PD", "RUNNING": "R", "COMPLETED": "CD"}
    rows = [line.split("|") for line in text]
    answer = "\n".join(f"{row[0]} {compact[row[1]]} {row[10].strip()}" for row in rows)
    executor = SlurmJobExecutor.__new__(SlurmJobExecutor)
    return lambda: executor.parse_status_output(0, answer)


def pbs() -> str:
    """JSON of as many jobs as recorded by PBS: 60 % queued, 30 % running, the rest exiting; about 2 KB for each."""
    kinds = {name: recorded_job(f"{name}.qstat-f-json-x") for name in ("queued", "running", "badoutput")}
    jobs: dict[str, Any] = {}
    for number in range(JOBS):
        kind = "queued" if number % 10 < 6 else "running" if number % 10 < 9 else "badoutput"
        made = dict(kinds[kind], Job_Owner=f"{user_name()}@head", Job_Name=f"job{number}")
        made["Variable_List"] = {**made["Variable_List"], "PSIJ_JOB_TAG": f"psij:abc{number:07d}"}
        if "stime" in made:
            made["stime"] = f"Sat Nov 21 {number % 24:02}:{number % 60:02}:{number // 60 % 60:02} 2026"
            made["exec_host"] = f"node{number % 500:04d}/0*8"
        jobs[f"{1000 + number}.head"] = made
    whole = {"timestamp": 1795296800, "pbs_server": "head", "Jobs": jobs}
    return json.dumps(whole, indent="\t", separators=(",", ":\t")) + "\n"


def recorded_job(name: str) -> Mapping[str, Any]:
    [job] = json.loads(Recorded.read(RECORDED / f"{name}.txt").output.stdout)["Jobs"].values()
    found: Mapping[str, Any] = job
    return found


def records(place: Path, platform: str, native: Callable[[int], str]) -> Journal:
    """A journal of as many open jobs."""
    journal = Journal(place)
    now = time.time()
    journal.path.write_text(
        "".join(
            json.dumps(
                {
                    "e": "job",
                    "id": f"abc{n:07d}",
                    "platform": platform,
                    "place": f"{place}/jobs/abc{n:07d}",
                    "native": native(1000 + n),
                    "committed": now,
                    "intended": now,
                    "command": "true",
                }
            )
            + "\n"
            for n in range(JOBS)
        )
    )
    return journal


def contestants(
    place: Path, platform: str, kind: type[Scheduler], text: str, native: Callable[[int], str] = str
) -> dict[str, Any]:
    place.mkdir()
    journal = records(place, platform, native)
    answer = Output(("ask",), 0, text, "")
    scheduler = kind(run=lambda argv, **_: answer)
    view = View()
    channel = Channel(
        platform,
        "",
        journal,
        scheduler,
        QueueSnapshot(place, platform, "", 30.0),
        grace_s=120.0,
        settle_s=30.0,
        patience_s=600.0,
        cluster_key=str,
    )

    def update() -> View:
        return reconcile(channel, view)

    view = update()  # the first look, which writes the ends down; what follows is the steady state
    assert not {*view.strangers, *view.unproved}, f"{platform}: these are other jobs than those in the journal"
    return {f"{platform}: parse": lambda: scheduler.qstat(lambda seen: ()), f"{platform}: parse and update": update}


def main() -> None:
    text = lines()
    with tempfile.TemporaryDirectory() as place:
        os.environ["PSIJ_PARSL_HOME"] = place
        runners = contestants(Path(place) / "slurm", "slurm", SlurmScheduler, "\n".join(text) + "\n")
        json_text = pbs()
        runners |= contestants(Path(place) / "pbs", "pbspro", PBSProScheduler, json_text, "{}.head".format)
        for name, sample in SAMPLES.items():
            answered = answer(name, {1000 + number: f"abc{number:07d}" for number in range(JOBS)})
            kind = platforms.platform(name).scheduler_class
            runners |= contestants(Path(place) / name, name, kind, answered, sample.native)
        runners["json.loads of PBS's answer alone"] = lambda: json.loads(json_text)
        try:
            runners["psij-python: parse Slurm's"] = theirs(text)
        except ImportError:
            print("psij-python is not installed: left out (pip install '.[bench]')")
        gc.collect()
        gc.freeze()  # a process has one manager's jobs, and not those of all of them
        medians = interleaved(runners, 15)
        report(
            "status",
            {name: seconds * 1000 for name, seconds in medians.items()},
            unit="ms",
            promise=f"parse and update {JOBS} jobs in <= 60 ms for Slurm's text, <= 300 ms for each other",
            facts={"PBS's answer, MB": round(len(json_text) / 1e6, 1)},
        )


if __name__ == "__main__":
    main()
