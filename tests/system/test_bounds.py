"""A question that prints for ever, or eats memory, is ended: with real processes, and our own memory is measured."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobState, site
from psij_parsl.errors import Unavailable
from psij_parsl.platforms.scheduler import Scheduler
from psij_parsl.signals import fresh
from psij_parsl.system.bounds import Bounds
from psij_parsl.system.commands import CommandRunner
from psij_parsl.testing.tools import PATIENCE_S, shell
from tests.cli.helpers import COMMAND
from tests.simulated.server import Simulated

pytestmark = pytest.mark.slow

Put = Callable[[str, str], Path]
SMALL = Bounds(memory_mb=96, output_mb=8)

FLOODS = {
    "lines": "yes",
    "no newline": "exec tr '\\0' x </dev/zero",
    "on stderr": "yes >&2",
    "in small pieces": "while :; do printf x; printf y >&2; done & exec yes",
    "both streams": "yes >&2 & exec yes",
    "a grandchild goes on when the command has ended": "yes & echo 1; exit 0",
    "a grandchild that left the group": "setsid yes & echo 1; exec sleep 300",
}
HOGS = {
    "the command itself": "hog",
    "a child of it": "hog & wait",
    "a grandchild, when the command has ended": "(hog & echo $! >{pid}) ; exit 0",
    "when it has closed its output": "exec >&- 2>&-; hog",
    "several that are small": "hog 40 & hog 40 & hog 40 & wait",
}
HOG = """hog() {{ exec {python} -S -E -c 'import sys, time
most = int(sys.argv[1]) if len(sys.argv) > 1 else 10**6
kept = []
while True:
    if len(kept) < most: kept.append(b"x" * 2**20)
    time.sleep(0.001)
' "$@"; }}
"""

MEASURED = """
import json, sys
from psij_parsl.system.bounds import Bounds
from psij_parsl.system.commands import CommandRunner
def largest():  # resource.getrusage would begin with the size of pytest
    with open("/proc/self/status") as told:
        return next(int(line.split()[1]) for line in told if line.startswith("VmHWM:"))
before = largest()
output = CommandRunner()(["flood"], bounds=Bounds(output_mb=int(sys.argv[1])) if sys.argv[1] != "0" else None,
                         timeout_s=float(sys.argv[2]))
after = largest()
print(json.dumps({"grown_mb": (after - before) / 1024, "over": output.over, "rc": output.rc, "kept": len(output.stdout)}))
"""


def measured(output_mb: int, timeout_s: float = 60.0) -> dict[str, object]:
    """What a process of its own takes for reading the command `flood`."""
    words = [sys.executable, "-c", MEASURED, str(output_mb), str(timeout_s)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("how", FLOODS)
def test_what_prints_for_ever_is_ended_with_its_group(
    put: Put, how: str, tmp_path: Path, comes_true: Callable[..., None]
) -> None:
    put("flood", f"echo $$ >{tmp_path}/pid\n{FLOODS[how]}")
    output = CommandRunner()(["flood"], bounds=SMALL)
    assert (output.rc, output.stdout, output.stderr) == (None, "", "")
    assert output.over == "it printed more than 8 MB"
    group = int((tmp_path / "pid").read_text())
    comes_true(lambda: not subprocess.run(["pgrep", "-g", str(group)], capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize("how", HOGS)
def test_what_eats_memory_without_a_word_is_ended(
    put: Put, how: str, tmp_path: Path, comes_true: Callable[..., None]
) -> None:
    put(
        "hungry",
        f"echo $$ >{tmp_path}/group\n" + HOG.format(python=sys.executable) + HOGS[how].format(pid=tmp_path / "pid"),
    )
    output = CommandRunner()(["hungry"], bounds=SMALL)
    assert (output.rc, output.over) == (None, "it took more than 96 MB of memory")
    group = (tmp_path / "group").read_text().strip()
    comes_true(lambda: not subprocess.run(["pgrep", "-g", group], capture_output=True, text=True).stdout.split())


def test_our_own_memory_is_bounded_while_reading(put: Put) -> None:
    put("flood", "exec yes")
    found = measured(256)
    assert found["over"] == "it printed more than 256 MB"
    assert float(str(found["grown_mb"])) < 256 * 1.25 + 32


def test_of_a_command_without_bounds_no_more_is_kept_than_is_of_use(put: Put) -> None:
    """It is not ended, for it may submit something, and yet our memory is bounded."""
    put("flood", f"echo $$ >{os.devnull}; head -c 300000000 /dev/zero; exit 7")
    found = measured(0)
    assert (found["rc"], found["over"]) == (7, "")
    assert float(str(found["grown_mb"])) < 100


def test_a_large_answer_within_the_bounds_is_whole(put: Put) -> None:
    put("talk", "head -c 7000000 /dev/zero | tr '\\0' x; exit 3")
    output = CommandRunner()(["talk"], bounds=SMALL)
    assert (output.rc, len(output.stdout), output.over) == (3, 7_000_000, "")


def test_the_state_of_jobs_stays_when_a_query_prints_for_ever(pbs: Simulated, tmp_path: Path) -> None:
    executor = BatchSchedulerExecutor("pbspro", poll_s=0.1)
    job = executor.submit(Job(command=["true"], hold=True))
    assert executor.status([job.id], urgent=True)[0].state is JobState.QUEUED
    qstat = pbs.bin / "qstat"
    real = qstat.read_text()
    for trouble in ("exec yes", "exec tr '\\0' x </dev/zero"):
        qstat.write_text(f"#!/bin/bash\n{trouble}\n")
        with pytest.raises(
            Unavailable, match="qstat gave no answer: it printed more than 256 MB, and was ended"
        ) as caught:
            executor.scheduler.qstat(lambda seen: [])
        assert caught.value.hint
        assert "\n" not in caught.value.message
        assert job.status().state is JobState.QUEUED
    qstat.write_text(real)
    job.cancel()


LEAVING: Mapping[str, tuple[Sequence[str], signal.Signals | None, int]] = {
    "its time is up": (["wait", "--timeout", "1s"], None, 124),
    "Ctrl-C": (["wait"], signal.SIGINT, 130),
    "TERM": (["wait"], signal.SIGTERM, 143),
    "Ctrl-C while it looks again and again": (["status", "--watch"], signal.SIGINT, 130),
}


@pytest.mark.parametrize("why", LEAVING)
def test_a_manager_that_hangs_keeps_nobody_who_has_to_leave(
    pbs: Simulated, why: str, tmp_path: Path, comes_true: Callable[..., None]
) -> None:
    words, number, code = LEAVING[why]
    executor = BatchSchedulerExecutor("pbspro", poll_s=0.1)
    job = executor.submit(Job(command=["true"], hold=True))
    qstat, began = pbs.bin / "qstat", tmp_path / "began"
    real = qstat.read_text()
    qstat.write_text(f"#!/bin/bash\nsleep 120 &\necho $$ >{began}.new; mv {began}.new {began}\nwait\n")
    start = time.monotonic()
    with subprocess.Popen(
        [*COMMAND, *words, job.id], stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=fresh()
    ) as process:
        comes_true(began.exists)
        if number is not None:
            process.send_signal(number)
        process.communicate(timeout=300)
    assert (process.returncode, time.monotonic() - start < 30) == (code, True)
    group = began.read_text().strip()
    comes_true(lambda: not subprocess.run(["pgrep", "-g", group], capture_output=True, text=True).stdout.split())
    view = executor.snapshot.view()
    assert (view.failures, view.failure) == (0, "")  # the manager is not to blame
    qstat.write_text(real)
    assert executor.status([job.id], urgent=True)[0].state is JobState.QUEUED
    job.cancel()


def test_the_memory_of_a_query_is_the_platforms_or_the_executors(pbs: Simulated) -> None:
    assert Scheduler.query_memory_mb == 1024
    executor = BatchSchedulerExecutor("pbspro", query_memory_mb=64)
    (pbs.bin / "qstat").write_text("#!/bin/bash\n" + HOG.format(python=sys.executable) + "hog\n")
    with pytest.raises(Unavailable, match="more than 64 MB of memory, and was ended"):
        executor.scheduler.qstat(lambda seen: [])


def test_a_site_says_how_much_memory_a_query_may_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSIJ_PARSL_SITE_PATH", str(tmp_path))
    (tmp_path / "mine.toml").write_text('platform = "pbspro"\nquery_memory = "2 GB"\n')
    scheduler = site("mine").executor().scheduler
    assert isinstance(scheduler, Scheduler)
    assert scheduler.query_memory_mb == 2048


def limits(job_limits: str) -> dict[str, str]:
    return dict(line.rsplit(maxsplit=1) for line in job_limits.splitlines())


def test_a_job_has_none_of_our_bounds(pbs: Simulated) -> None:
    ours = subprocess.run(["bash", "-c", "ulimit -a"], capture_output=True, text=True, check=True).stdout
    for platform in ("local", "pbspro"):
        executor = BatchSchedulerExecutor(platform, poll_s=0.2, query_memory_mb=64)
        job = executor.submit(shell("ulimit -a"))
        told, mine = limits(job.result(PATIENCE_S)), limits(ours)
        for name in mine:
            assert told[name] == mine[name], (platform, name)
    executor = BatchSchedulerExecutor("pbspro", poll_s=0.2, query_memory_mb=64)
    hungry = executor.submit(shell(f"exec {sys.executable} -S -c 'x = b\"x\" * (200 * 2**20); print(len(x))'"))
    assert hungry.result(PATIENCE_S) == f"{200 * 2**20}\n"
