"""What jobs have used, by `usage()` and by `psij-run info`, against what their programs say of themselves.

Six programs run side by side on each manager: one core of four busy, all busy, one that sleeps, one that holds 800 MiB
of the 1000 that it asked for, two nodes, an array.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobState
from psij_parsl.jobs.executor import Submission
from psij_parsl.platforms.usage import MemoryOf, Usage
from psij_parsl.testing.tools import PATIENCE_S, comes_true
from tests.cli.helpers import psij_here
from tests.clusters.managed import Remote
from tests.clusters.slurm import SlurmCluster

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[1] / "programs" / "known_usage.py"
HELD_S = 30  # for which memory is held: managers look at it from time to time, and here each second
ASLEEP_S = 4
NOT_THE_PROGRAMS_S = 0.4  # CPU time of the job's script, and of the manager's own processes in it
MIB = 1024**2


def program(processes: int = 1, cpu_s: float = 0.0, sleep_s: float = 0.0, mib: int = 0) -> list[str]:
    return [sys.executable, str(PROGRAM), str(processes), str(cpu_s), str(sleep_s), str(mib)]


def programs(**more: Any) -> dict[str, Job]:
    """The jobs that every manager can run."""
    return {
        "one of four": Job(command=program(cpu_s=2.0), cpus_per_rank=4, **more),
        "all busy": Job(command=program(2, cpu_s=1.5), cpus_per_rank=2, **more),
        "sleeping": Job(command=program(sleep_s=ASLEEP_S), **more),
        "memory": Job(command=program(sleep_s=HELD_S, mib=800), **more),
        "array": Job(command=program(cpu_s=1.0), array=range(2), **more),
    }


def run(executor: BatchSchedulerExecutor, jobs: Mapping[str, Job]) -> dict[str, Submission]:
    submissions = {name: executor.submit(job) for name, job in jobs.items()}
    assert executor.wait(list(submissions.values()), PATIENCE_S)
    for name, job in submissions.items():
        assert job.status().state is JobState.COMPLETED, f"{name}: {job.exception()}"
    return submissions


def own_account(job: Submission) -> dict[str, float]:
    """The sum of what the processes of a job say of themselves, and the greatest memory of one."""
    lines = [json.loads(line) for one in job.elements() or [job] for line in one.stdout.read_text().splitlines()]
    return {
        "cpu_s": sum(line["cpu_s"] for line in lines),
        "memory_bytes": max(line["memory_bytes"] for line in lines),
    }


def is_right(executor: BatchSchedulerExecutor, job: Submission, cores: float | None) -> Usage:
    """Hold the CPU time of a job against its own account; by the command, the same comes."""
    comes_true(lambda: job.usage().cpu_s is not None and job.usage().core_s is not None)
    usage, own = job.usage(), own_account(job)
    queries = executor.scheduler.queries
    assert job.usage() == usage
    assert executor.scheduler.queries == queries or not usage.complete, "it is asked once"
    assert usage.cpu_s == pytest.approx(own["cpu_s"], rel=0.1, abs=NOT_THE_PROGRAMS_S)
    assert usage.cores == cores
    shown = json.loads(psij_here("info", "--json", job.id).stdout)
    assert shown["usage"]["cpu_s"] == pytest.approx(usage.cpu_s, abs=0.01)
    assert shown["usage"]["core_s"] == pytest.approx(usage.core_s, abs=0.01)
    return usage


def memory_is_right(job: Submission, memory_of: MemoryOf) -> None:
    usage = job.usage()
    assert usage.memory_bytes == pytest.approx(own_account(job)["memory_bytes"], rel=0.1)
    assert usage.memory_of is memory_of
    assert usage.memory_asked_bytes == 1000 * MIB
    text = psij_here("info", job.id).stdout
    assert f" of 1000 MiB ({usage.memory_percent:.0f} %" in text


def of_all(executor: BatchSchedulerExecutor, jobs: Mapping[str, Submission]) -> dict[str, Usage]:
    cores = {"one of four": 4, "all busy": 2, "sleeping": 1, "memory": 1, "array": None, "two nodes": 2}
    found = {name: is_right(executor, job, cores[name]) for name, job in jobs.items()}
    assert found["array"].elements == 2
    assert found["one of four"].cpu_percent < 30
    assert found["sleeping"].cpu_percent < 20
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PSIJ_PARSL_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.every_slurm
def test_on_slurm(slurm: SlurmCluster, here: Path) -> None:
    executor = BatchSchedulerExecutor("slurm", poll_s=0.5)
    each_second = {"parameters": {"directives": ["--acctg-freq=task=1"]}}
    jobs = programs(**each_second)
    jobs["memory"] = jobs["memory"].with_(memory_per_node=1000)
    if not slurm.settings.accounting:  # what a job's script sees is all that is known
        done = run(executor, {name: jobs[name] for name in ("one of four", "array")})
        for name, job in done.items():
            assert is_right(executor, job, 4 if name == "one of four" else None).memory_bytes is None
        assert done["one of four"].usage().at_least
        return
    jobs["two nodes"] = Job(command=["srun", *program(cpu_s=1.0)], num_nodes=2, job_mode="script", **each_second)
    done = run(executor, jobs)
    used = of_all(executor, done)
    assert not any(usage.at_least for usage in used.values())
    memory_is_right(done["memory"], MemoryOf.NODE)


def test_on_grid_engine(gridengine: Remote, here: Path) -> None:
    executor = BatchSchedulerExecutor("gridengine", poll_s=0.5)
    jobs = programs()
    for name in ("one of four", "all busy"):
        jobs[name] = jobs[name].with_(parameters={"pe": "smp"})
    jobs["memory"] = jobs["memory"].with_(memory_per_node=1000)
    on_both = 'for node in $(sort -u "$PSIJ_NODEFILE"); do qrsh -inherit "$node" "$@" & done; wait'
    jobs["two nodes"] = Job(
        command=["bash", "-c", on_both, "-", *program(cpu_s=1.0)],
        num_nodes=2,
        job_mode="script",
        parameters={"pe": "one"},
    )
    done = run(executor, jobs)
    of_all(executor, done)
    memory_is_right(done["memory"], MemoryOf.PROCESS)


def test_on_this_host(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSIJ_LOCAL_CORES_TOTAL", "12")
    executor = BatchSchedulerExecutor("local")
    jobs = programs()
    jobs["memory"] = jobs["memory"].with_(memory_per_node=1000)
    done = run(executor, jobs)
    used = of_all(executor, done)
    assert not any(usage.at_least for usage in used.values())
    memory_is_right(done["memory"], MemoryOf.JOB)
