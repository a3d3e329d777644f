"""A small campaign of kills by the driver in bench/kills.py, and that the driver sees faults where there are some."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.kills import Campaign, supervisors
from psij_parsl import Job, JobState
from psij_parsl.errors import Error

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KILLS = """
import json, sys, time
from pathlib import Path
from bench.kills import Campaign, VERBS, shutil
campaign = Campaign(Path(sys.argv[1]), "local", int(sys.argv[2]))
campaign.run(int(sys.argv[3]), time.monotonic() + 300, trace=shutil.which("strace") is not None)
print(json.dumps(vars(campaign.check())))
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSIJ_LOCAL_CORES_TOTAL", "8")
    monkeypatch.setenv("PSIJ_LOCAL_KILL_WAIT", "1")


def test_fifty_kills_at_instants_and_at_syscalls_lose_double_and_misstate_nothing(
    tmp_path: Path, quick: None
) -> None:
    seed = int(time.time())
    done = subprocess.run(  # which forks: a process of its own, without pytest's threads
        [sys.executable, "-c", KILLS, str(tmp_path), str(seed), "50"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["faults"] == [], f"seed {seed}"
    assert sum(found["killed"].values()) > 10
    assert found["jobs"] > 5


def test_ten_jobs_whose_supervisor_is_killed_are_told_as_they_ended(tmp_path: Path, quick: None) -> None:
    told = supervisors(tmp_path, 10, int(time.time()))
    assert told.wrong == []
    assert told.jobs > 0
    assert told.right == told.jobs


@pytest.mark.parametrize(
    ("harm", "fault"),
    [
        ("again", "ran 2 times"),
        ("forget", "ran and has no record"),
        ("untold", "has no record"),
        ("never", "is told COMPLETED and ran 0 times"),
        ("double", "2 records have the manager's id"),
        ("mis-told", "was cancelled, and is told COMPLETED"),
        ("loose", "leaves 1 folders"),
    ],
)
def test_the_driver_sees_each_kind_of_fault(tmp_path: Path, quick: None, harm: str, fault: str) -> None:
    campaign = Campaign(tmp_path, "local", 1)
    journal = campaign.executor.journal
    jobs = [campaign.executor.submit(campaign.job()) for _ in range(2)]
    assert campaign.executor.wait([job.id for job in jobs], 60)
    campaign.told = {job.id for job in jobs}
    victim = jobs[0].id
    if harm == "again":
        (campaign.runs / victim).write_text("xx")
    elif harm == "forget":
        journal.forget([victim])
    elif harm == "untold":
        campaign.told.add("0123456789")
    elif harm == "never":
        (campaign.runs / victim).unlink()
    elif harm == "double":
        journal.commit(journal.get(victim), jobs[1].native_id)
    elif harm == "mis-told":
        campaign.cancelled.add(victim)
    elif harm == "loose":
        folder = campaign.home / "jobs" / journal.prepare()[0]
        folder.mkdir()
        (folder / "file").touch()
    faults = campaign.check(20).faults
    assert any(fault in text for text in faults), faults


def test_a_campaign_without_harm_finds_nothing(tmp_path: Path, quick: None) -> None:
    campaign = Campaign(tmp_path, "local", 1)
    for verb in ("submit", "cancel", "attach"):
        try:
            told = campaign.prepare(verb)()
        except Error as error:
            raise AssertionError(verb) from error
        if verb == "submit":
            campaign.told.add(told)
    found = campaign.check(60)
    assert found.faults == []
    assert found.jobs == 3
    assert os.listdir(campaign.runs)
    assert campaign.executor.submit(Job(command=["true"])).wait(300).state is JobState.COMPLETED
