"""Many processes watch many jobs on a real Slurm, and Slurm is asked as if they were one."""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobState
from psij_parsl.jobs.snapshot import CAPACITY
from psij_parsl.testing.tools import PATIENCE_S, shell
from tests.clusters.slurm import SlurmCluster
from tests.providers.slurm.helpers import Shims, crowd, finish

pytestmark = pytest.mark.slow

ComesTrue = Callable[..., None]

#: A minute, as long as it is asked for: PSIJ_TEST_LONG=1.
LONG = bool(os.environ.get("PSIJ_TEST_LONG"))
SECONDS = 60.0 if LONG else 6.0
POLL_S = 3.0 if LONG else 0.5
JOBS = 200
PROCESSES = 20

both = pytest.mark.parametrize("slurm", ["accounting", "plain"], indirect=True)
with_accounting = pytest.mark.parametrize("slurm", ["accounting"], indirect=True)

#: One process of the crowd: it looks at its jobs until they have ended or time is up, and tells what it saw.
WATCH = """
executor = BatchSchedulerExecutor("slurm", poll_s={poll_s})
found = executor.journal.find({ids!r}, elements=True)
seen, states = {{}}, set()
def look(statuses):
    now = time.time()
    for (entry, key), status in zip(found, statuses):
        states.add(status.state.name)
        if status.final:
            seen.setdefault(key, now)
    return all(status.final for status in statuses)
executor.wait_until(found, look, timeout={seconds})
sys.stdout.write(json.dumps({{"states": sorted(states), "seen": seen}}) + "\\n")
"""


def calls_during(shims: Shims, began: float, ended: float) -> dict[str, int]:
    """How often Slurm was asked meanwhile."""
    return {name: sum(began <= call <= ended for call in shims.calls(name)) for name in ("squeue", "sacct")}


def watched(
    shims: Shims, ids: Sequence[str], processes: int, seconds: float, poll_s: float
) -> tuple[dict[str, int], float, list[dict[str, object]]]:
    """Let so many processes watch; gives the calls that Slurm saw, the time it took, and what each process saw."""
    began = time.time()
    watchers = crowd(processes, WATCH.format(poll_s=poll_s, ids=list(ids), seconds=seconds))
    code, out, said = finish(watchers, seconds + 120)
    ended = time.time()
    assert code == 0, said
    return calls_during(shims, began, ended), ended - began, [json.loads(line) for line in out.splitlines()]


@both
def test_twenty_processes_ask_as_often_as_one(slurm: SlurmCluster, shims: Shims) -> None:
    executor = BatchSchedulerExecutor("slurm", poll_s=POLL_S)
    ids = [executor.submit(Job(command=["true"], array=tuple(range(JOBS)), hold=True)).id]
    shims.count("squeue", "sacct")
    by_one, seconds_one, _ = watched(shims, ids, 1, SECONDS, POLL_S)
    by_all, seconds_all, told = watched(shims, ids, PROCESSES, SECONDS, POLL_S)
    print(
        f"{JOBS} jobs, a query every {POLL_S} s: one process {by_one} in {seconds_one:.1f} s,"
        f" {PROCESSES} processes {by_all} in {seconds_all:.1f} s"
    )
    assert [each["states"] for each in told] == [["QUEUED"]] * PROCESSES
    assert by_one["squeue"] > 2  # it does ask, however busy this machine is
    assert by_all["squeue"] <= math.ceil(seconds_all / POLL_S) + CAPACITY
    assert by_all["squeue"] <= by_one["squeue"] * seconds_all / seconds_one + CAPACITY
    assert by_all["sacct"] == 0  # nothing has vanished
    assert executor.cancel(ids) == [True]


@with_accounting
def test_jobs_that_end_at_random_do_not_raise_the_rate_and_are_seen_soon(slurm: SlurmCluster, shims: Shims) -> None:
    """500 jobs of a second, on 32 cores: ends come at about twenty a second."""
    poll_s = 2.0
    executor = BatchSchedulerExecutor("slurm", poll_s=poll_s)
    text = "sleep 0.$((RANDOM % 10 + 5)); printf %s $EPOCHREALTIME"
    job = executor.submit(shell(text, array=tuple(range(500))))
    shims.count("squeue", "sacct")
    calls, seconds, told = watched(shims, [job.id], 4, 120.0, poll_s)
    ends = {index: float((job.folder / str(index) / "stdout").read_text()) for index in range(500)}
    delays = [
        seen - ends[int(key)]
        for each in told
        for key, seen in each["seen"].items()  # type: ignore[attr-defined]
    ]
    span = max(ends.values()) - min(ends.values())
    print(
        f"500 jobs ended within {span:.1f} s; {calls} in {seconds:.1f} s with a query every {poll_s} s;"
        f" an end was seen after {statistics.median(delays):.2f} s (median), {max(delays):.2f} s (at most)"
    )
    assert len(delays) == 4 * 500
    assert calls["squeue"] <= math.ceil(seconds / poll_s) + CAPACITY
    assert calls["sacct"] <= calls["squeue"]

    assert executor.status([job.id])[0].state is JobState.COMPLETED


@both
def test_the_end_of_one_job_is_seen_soon_and_not_at_the_next_poll(slurm: SlurmCluster, shims: Shims) -> None:
    executor = BatchSchedulerExecutor("slurm", poll_s=30.0)
    shims.count("squeue")
    job = executor.submit(shell("sleep 1; printf %s $EPOCHREALTIME"))
    assert executor.wait([job.id], PATIENCE_S)
    assert job.stdout is not None
    delay = time.time() - float(job.stdout.read_text())
    print(f"with a query every 30 s an end was seen after {delay:.2f} s, with {len(shims.calls('squeue'))} queries")
    assert delay < 20.0
    assert len(shims.calls("squeue")) <= 1 + CAPACITY


@both
def test_a_watcher_that_is_killed_while_it_asks_stops_nobody(
    slurm: SlurmCluster, shims: Shims, tmp_path: Path, comes_true: ComesTrue
) -> None:
    executor = BatchSchedulerExecutor("slurm", poll_s=0.4)
    job = executor.submit(shell("sleep 1; exit 3"))
    once = tmp_path / "once"
    shims.put("squeue", f'if mkdir {once} 2>/dev/null; then kill -9 $PPID; sleep 1; fi\nexec "$real" "$@"')
    code, _, _ = finish(crowd(2, WATCH.format(poll_s=0.4, ids=[job.id], seconds=PATIENCE_S)))
    assert code == 1  # one of the two is gone
    assert executor.status([job.id])[0].exit_code == 3
