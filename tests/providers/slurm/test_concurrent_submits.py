"""Hundreds of processes, on one host and on two, submit to a real Slurm through one journal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor
from psij_parsl.jobs.journal import Journal
from tests.clusters.slurm import SlurmCluster
from tests.providers.slurm.helpers import crowd, finish, jobs_in_slurm, program

pytestmark = pytest.mark.slow

ComesTrue = Callable[..., None]

SUBMIT = """
job = BatchSchedulerExecutor("slurm").submit(Job(command=["true"], name=f"job {number}", hold=True))
sys.stdout.write(f"{job.id} {job.native_id}\\n")
"""
HOLD_THE_LOCK = """
from psij_parsl.system.files import home
from psij_parsl.system.locks import hold_lock, lock
from psij_parsl.jobs.journal import Journal
journal = Journal()
with hold_lock(lock(journal.home / "journal.lock")):
    with open(journal.path, "ab") as log:
        log.write(b'{"e":"job","id":"torn')
        log.flush()
        print("holding", flush=True)
        time.sleep(300)
"""


def told(outputs: list[str]) -> dict[str, str]:
    """The manager's id of each job, by ours, as the submitters printed them."""
    return dict(tuple(line.split()) for out in outputs for line in out.splitlines())  # type: ignore[misc]


def check(home: Path, submitted: dict[str, str], number: int) -> None:
    """Each submitter's job is in the journal and in Slurm, under one id, and there is none besides."""
    assert len(submitted) == number
    entries = Journal(home).entries()
    assert {entry.id: entry.native for entry in entries.values()} == submitted
    assert set(jobs_in_slurm(home)) == set(submitted.values())
    assert len({entry.folder for entry in entries.values()}) == number


def test_two_hundred_submits_at_once_are_two_hundred_jobs(slurm: SlurmCluster, home: Path) -> None:
    began = time.monotonic()
    code, out, said = finish(crowd(200, SUBMIT))
    print(f"200 submits in 200 processes at once: {time.monotonic() - began:.1f} s")
    assert code == 0, said
    check(home, told([out]), 200)
    assert len(BatchSchedulerExecutor("slurm").list()) == 200


@pytest.mark.parametrize("slurm", ["plain"], indirect=True)
def test_two_hundred_psij_run_submits_at_once(slurm: SlurmCluster, home: Path) -> None:
    """The command itself, from the start of Python on: most of the time is that."""
    words = [sys.executable, "-m", "psij_parsl.cli", "submit", "--platform", "slurm", "--hold", "--", "true"]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.monotonic()
    started = [
        subprocess.Popen(words, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(200)
    ]
    ended = [finish(process, 400) for process in started]
    print(f"200 psij-run submit at once: {time.monotonic() - began:.1f} s")
    wait = re.compile(r"psij-run: waiting for the lock .*\n")  # a slow host's only remark
    assert {(code, wait.sub("", said)) for code, _, said in ended} == {(0, "")}
    ids = {out.strip() for _, out, _ in ended}
    entries = Journal(home).entries()
    assert entries.keys() == ids
    check(home, {entry.id: entry.native for entry in entries.values()}, 200)


def test_two_hosts_submit_at_once_and_one_that_holds_the_lock_is_killed(
    slurm: SlurmCluster, home: Path, comes_true: ComesTrue
) -> None:
    crowds = [crowd(50, SUBMIT, hostname=f"login{number}") for number in (1, 2)]
    comes_true(lambda: len(Journal(home).entries()) >= 10)
    holder = program(HOLD_THE_LOCK, hostname="login1")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holding\n"
    before = len(Journal(home).entries())
    time.sleep(0.5)  # the others wait for the lock
    assert len(Journal(home).entries()) == before
    holder.kill()
    holder.communicate()
    outputs = []
    for each in crowds:
        code, out, said = finish(each)
        assert code == 0, said
        outputs.append(out)
    check(home, told(outputs), 100)
    hosts = {entry.owner.split("/")[0] for entry in Journal(home).entries().values()}
    assert hosts == {"login1", "login2"}


def test_a_journal_that_is_rewritten_under_many_writers_loses_nothing(slurm: SlurmCluster, home: Path) -> None:
    """Each job is asked to be cancelled many times over, so that the log outgrows what it says."""
    text = """
executor = BatchSchedulerExecutor("slurm")
for turn in range(5):
    job = executor.submit(Job(command=["true"], hold=True))
    for _ in range(10):
        executor.journal.cancel_asked([(job.id, "0")] * 15)
    sys.stdout.write(f"{job.id} {job.native_id}\\n")
"""
    code, out, said = finish(crowd(20, text))
    assert code == 0, said
    check(home, told([out]), 100)
    lines = [json.loads(line) for line in (home / "journal.jsonl").read_text().splitlines()]
    assert sum(line["e"] == "cancel" for line in lines) < 100 * 150  # it was rewritten
    assert all(set(entry.cancelled) == {"0"} for entry in Journal(home).entries().values())
