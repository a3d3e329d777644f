"""Who is warned before the wall time ends, on `local`, where the job's script looks at the clock."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, Submission
from psij_parsl.testing.tools import PATIENCE_S, comes_true

_CATCHES = """
import os, signal, sys, time
def caught(number, frame):
    os.write(1, f"{signal.Signals(number).name}\\n".encode())  # in one piece, beside other ranks
    sys.exit(4)
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, caught)
time.sleep(30)
"""
_ODD_TRAPS = """
for trap in 'for one in USR1 HUP; do trap "echo in" $one; done' "trap 'echo in' usr1" 'trap "echo \\"in\\"" \\
 TERM USR1'; do bash -c "trap : EXIT; $trap
sleep 30 & wait" & done; wait; echo out
"""
_COUNTS = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("TERM", flush=True))
print("ready", flush=True)
for _ in range(20):
    time.sleep(0.1)
time.sleep(1)
"""
_EXTENDS = """
from psij_parsl import NodeResources
NodeResources.discover().extend_walltime(2)
"""


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BatchSchedulerExecutor:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "catches.py").write_text(_CATCHES)
    (tmp_path / "late.py").write_text("import time\ntime.sleep(3)\n" + _CATCHES)
    (tmp_path / "extends.py").write_text(_EXTENDS)
    return BatchSchedulerExecutor("local", poll_s=0.3)


def _shell(text: str) -> list[str]:
    return ["bash", "-c", text.replace("PYTHON", sys.executable)]


def test_who_gets_a_warning(local: BatchSchedulerExecutor) -> None:
    def warned(command: list[str], said: str = "USR1@52", ranks: int = 1) -> Submission:
        return local.submit(Job(command=command, wall_time_min=1, signal_before_end=said, ranks_per_node=ranks))

    program = [sys.executable, "catches.py"]
    jobs = {
        "the command": (warned(program), 4, "SIGUSR1\n"),
        "with another signal": (warned(program, "TERM@52"), 4, "SIGTERM\n"),
        "each rank": (warned(program, ranks=2), 4, "SIGUSR1\nSIGUSR1\n"),
        "a program that is started after the warning": (
            warned(_shell("sleep 10; exec PYTHON late.py")),
            4,
            "SIGUSR1\n",
        ),
        "a program that comes to its handler late": (warned([sys.executable, "late.py"], "USR1@59"), 4, "SIGUSR1\n"),
        "a program that has no handler": (warned(["sleep", "30"]), 138, ""),
        "what a shell without a trap runs": (warned(_shell("PYTHON catches.py; echo $?")), 0, "SIGUSR1\n4\n"),
        "what stands below a program without a handler": (warned(["env", "nice", *program]), 4, "SIGUSR1\n"),
        "a shell with traps for that and for its end": (
            warned(_shell("trap 'echo out' EXIT; trap 'echo in; exit 5' SIGUSR1 HUP; sleep 30 & wait")),
            5,
            "in\nout\n",
        ),
        "a shell whose traps only a reader of shell finds": (warned(_shell(_ODD_TRAPS)), 0, "in\nin\nin\nout\n"),
        "nobody": (warned(_shell("sleep 11; echo slept")), 0, "slept\n"),
        "the command alone, which has no trap": (warned(_shell("sleep 11; echo slept"), "B:USR1@52"), 0, "slept\n"),
    }
    for what, (job, code, printed) in jobs.items():
        status = job.wait(PATIENCE_S)
        assert job.stdout is not None
        assert (status.exit_code, job.stdout.read_text()) == (code, printed), what
    logs = {what: job.manager_log.read_text() for what, (job, _, _) in jobs.items()}
    assert "nobody was given the signal USR1" in logs["nobody"]
    assert not logs["the command"]


def test_a_job_that_has_more_time_is_warned_later(local: BatchSchedulerExecutor) -> None:
    text = "trap 'echo warned; exit 5' USR1; PYTHON extends.py; sleep 8 & wait; echo not yet"
    job = local.submit(Job(command=_shell(text), wall_time_min=1, signal_before_end="USR1@55"))
    assert job.wait(PATIENCE_S).exit_code == 0
    assert job.stdout is not None
    assert job.stdout.read_text() == "not yet\n"
    assert (job.folder / "wall_time").read_text() == "2\n"


def test_a_cancel_is_told_once_where_the_warning_is_the_same_signal(local: BatchSchedulerExecutor) -> None:
    job = local.submit(Job(command=[sys.executable, "-c", _COUNTS], wall_time_min=1, signal_before_end="TERM@30"))
    assert job.stdout is not None
    printed = job.stdout
    comes_true(lambda: printed.exists() and printed.read_text() == "ready\n")
    job.cancel()
    job.wait(PATIENCE_S)
    assert printed.read_text() == "ready\nTERM\n"
