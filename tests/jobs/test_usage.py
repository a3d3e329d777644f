"""What jobs have used: what is kept of it, and what their scripts note where the manager tells nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobState
from psij_parsl.jobs.executor import Submission
from psij_parsl.platforms.usage import Usage
from psij_parsl.testing.tools import PATIENCE_S
from tests.cli.helpers import psij_here

BURN = [sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"]
OWN = "of the script's own processes"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PSIJ_PARSL_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def local(here: Path) -> BatchSchedulerExecutor:
    return BatchSchedulerExecutor("local")


@pytest.fixture
def done(here: Path, oddly: Callable[..., BatchSchedulerExecutor]) -> Submission:
    """An ended job of a manager that tells nothing of what jobs have used, and times in whole seconds."""
    lasting = [*BURN[:-1], f"{BURN[-1]}\ntime.sleep(1.1)"]
    submission = oddly().submit(Job(command=lasting, cpus_per_rank=2, memory_per_node=200, name="burn"))
    assert submission.wait(PATIENCE_S).state is JobState.COMPLETED
    return submission


def test_what_a_job_has_used_is_kept_with_its_end(local: BatchSchedulerExecutor, here: Path) -> None:
    job = local.submit(Job(command=BURN, cpus_per_rank=2, memory_per_node=200))
    job.wait(PATIENCE_S)
    usage = job.usage()
    assert usage.cpu_s == pytest.approx(0.35, abs=0.3)
    assert usage.cores == 2
    assert usage.memory_asked_bytes == 200 * 1024**2
    end = next(line for line in (here / "state" / "journal.jsonl").read_text().splitlines() if '"e":"end"' in line)
    assert json.loads(end)["u"]["cpu_s"] == usage.cpu_s
    later = BatchSchedulerExecutor("local")
    assert later.usage(job.id) == usage
    assert later.scheduler.queries == 0, "the journal has it"
    listed = json.loads(psij_here("list", "--all", "--json").stdout)[0]["usage"]
    assert listed["cpu_s"] == pytest.approx(usage.cpu_s, abs=0.01)
    assert listed.keys() == json.loads(psij_here("info", job.id, "--json").stdout)["usage"].keys()


def test_a_job_that_waits_has_used_nothing_that_is_known(local: BatchSchedulerExecutor) -> None:
    job = local.submit(Job(command=BURN, hold=True))
    assert job.usage() == Usage()
    record = json.loads(psij_here("info", "--json", job.id).stdout)
    assert record["usage"] is None
    assert json.loads(psij_here("list", "--json").stdout)[0]["usage"] is None
    assert "cpu used" not in psij_here("info", job.id).stdout
    job.cancel()
    job.wait(PATIENCE_S)
    assert job.usage() == Usage()


def test_an_array_has_used_what_its_ended_elements_have(local: BatchSchedulerExecutor) -> None:
    script = f"[ $PSIJ_ARRAY_INDEX = 3 ] && exec sleep 600; exec {sys.executable} -c 'while True: pass' & sleep 0.3; kill $!"
    job = local.submit(Job(command=["bash", "-c", script], array=(1, 2, 3)))
    first, second, third = job.elements()
    assert local.wait([first, second], PATIENCE_S)
    usage = job.usage()
    assert usage.elements == 2
    assert usage.cpu_s == pytest.approx((first.usage().cpu_s or 0.0) + (second.usage().cpu_s or 0.0))
    assert "2 ended elements" in psij_here("info", job.id).stdout
    rows = [json.loads(psij_here("list", "--json", *more).stdout) for more in ([], ["--elements"])]
    assert [(row["usage"] or {}).get("elements") for row in rows[0]] == [2]
    recorded = {row["id"]: row["usage"] and row["usage"]["cpu_s"] for row in rows[1]}
    assert recorded[third.id] is None
    assert recorded[first.id] == pytest.approx(first.usage().cpu_s, abs=0.01)
    third.cancel()
    third.wait(PATIENCE_S)


def test_where_the_manager_tells_nothing_the_script_says_what_its_processes_used(done: Submission) -> None:
    usage = done.usage()
    assert usage.cpu_s == pytest.approx(0.35, abs=0.3)
    assert (usage.cores, usage.at_least, usage.memory_bytes) == (2, OWN, None)
    shown = psij_here("info", done.id).stdout
    assert f"{OWN})" in shown
    assert "memory used" in shown
    assert json.loads(psij_here("info", "--json", done.id).stdout)["usage"]["memory_bytes"] is None


def test_the_jobs_own_control_group_has_all_its_processes_and_their_memory(done: Submission) -> None:
    native, attempt, seconds, user, system, *_ = (done.folder / "usage").read_text().split()
    (done.folder / "usage").write_text(f"{native} {attempt} {seconds} {user} {system} 7500000 104857600\n")
    usage = done.usage()
    assert (usage.cpu_s, usage.at_least, usage.memory_bytes) == (7.5, "", 100 * 1024**2)
    assert usage.memory_percent == 50


def test_what_another_job_noted_or_what_is_damaged_is_not_believed(done: Submission) -> None:
    native, noted = done.native_id, done.folder / "usage"
    damaged = ("", "\0", "999 0 1 0m0.1s 0m0.1s - -", f"{native} 0 1 0m0.1s 0m0.1s -", f"{native} 0 1 a b - -")
    worse = (f"{native} 0 1 1 2 - -", f"{native} x 1 0m0.1s 0m0.1s - -", f"{native} 0 1 0mnan 0m0.1s - -")
    for text in (*damaged, *worse):
        noted.write_text(text)
        assert done.usage() == Usage(), text
    noted.unlink()
    assert done.usage() == Usage()
    lines = [line.split() for line in psij_here("info", done.id).stdout.splitlines() if " used " in line]
    assert lines == [["cpu", "used", "-"], ["memory", "used", "-"]]


def test_seconds_with_a_comma_are_read(done: Submission) -> None:
    (done.folder / "usage").write_text(f"{done.native_id} 0 1 1m2,500s 0m0,250s - -\n")
    assert done.usage().cpu_s == 62.75


def test_a_manager_that_looks_now_and_then_knows_less_than_the_script(local: BatchSchedulerExecutor) -> None:
    job = local.submit(Job(command=BURN))
    job.wait(PATIENCE_S)
    told = job.usage().cpu_s
    (job.folder / "usage").write_text(f"{job.native_id} 0 1 1m0s 0m0s - -\n")
    assert job.usage().cpu_s == told, "who counts to the end knows best"
    local.scheduler.samples_cpu_time = True  # type: ignore[misc]  # as the classes of some managers say
    assert (job.usage().cpu_s, job.usage().at_least) == (60.0, OWN)
    (job.folder / "usage").write_text(f"{job.native_id} 0 1 0m0s 0m0s - -\n")
    assert (job.usage().cpu_s, job.usage().at_least) == (told, "")
