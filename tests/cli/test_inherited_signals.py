"""psij-run whose parent ignores or blocks signals, as nohup, a CI runner, or a shell with `&` does; and Ctrl-C at any time."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep

import pytest

from psij_parsl.system.processes import SESSION, STATE, process_status
from tests.cli.helpers import COMMAND, psij
from tests.simulated.server import Simulated

pytestmark = pytest.mark.slow

Until = Callable[..., None]
IGNORING = "trap '' INT QUIT TERM USR1 USR2 PIPE CHLD ALRM HUP;"
SHOW = ["grep", "Sig[BI]", "/proc/self/status"]


def masks(text: str) -> set[tuple[str, int]]:
    """What ranks said of their blocked and ignored signals; the two that the C library keeps for itself do not count."""
    found = re.findall(r"Sig(Blk|Ign):\t(\w+)", text)
    assert found, text
    return {(name, int(mask, 16) & ~(3 << 31)) for name, mask in found}


def from_a_bad_parent(words: list[str]) -> subprocess.CompletedProcess[str]:
    """psij-run with most signals ignored and some blocked."""
    return subprocess.run(
        ["bash", "-c", f'{IGNORING} exec "$@"', "bash", *COMMAND, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [2, 10, 15, 40]),
    )


def alive(pid: int) -> bool:
    try:
        return process_status(pid)[STATE] not in b"ZX"
    except OSError:
        return False


def jobs() -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(psij("list", "-a", "--json").stdout)
    return found


def written(path: Path, lines: int = 1) -> Callable[[], bool]:
    return lambda: path.exists() and path.read_text().count("\n") >= lines


@pytest.fixture
def after() -> Iterator[None]:
    """No job outlives its test."""
    yield
    psij("cancel", "all")


# ---- what ranks and jobs have ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", ["1", "2"])
def test_ranks_start_with_fresh_signals_but_an_ignored_hangup(ranks: str) -> None:
    assert masks(psij("launch", "-n", ranks, "-l", "--", *SHOW).stdout) == {("Blk", 0), ("Ign", 0)}
    for labels in ([], ["-l"]):
        told = from_a_bad_parent(["launch", *labels, "-n", ranks, "--", *SHOW])
        assert masks(told.stdout) == {("Blk", 0), ("Ign", 1)}


def test_jobs_start_with_fresh_signals() -> None:
    assert masks(from_a_bad_parent(["run", "--", *SHOW]).stdout) == {("Blk", 0), ("Ign", 0)}


def test_exit_codes_are_known_where_a_parent_ignores_its_childrens_ends() -> None:
    assert from_a_bad_parent(["run", "--", "sh", "-c", "exit 3"]).returncode == 3
    assert from_a_bad_parent(["launch", "--", "sh", "-c", "exit 3"]).returncode == 3


# ---- launch ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("ranks", ["1", "2", "1 -l", "2 -l"])
@pytest.mark.parametrize("launcher", ["fork", "single"])
def test_signals_reach_every_rank_of_a_launch_whose_parent_ignores_them(
    launcher: str, number: int, ranks: str, tmp_path: Path, comes_true: Until
) -> None:
    """With labelled output too, for which a shell stays between the launcher and the rank."""
    count = int(ranks[0])
    if launcher == "single" and count > 1:
        pytest.skip("it starts one rank")
    script = "trap 'echo got >>got; exit 4' INT TERM USR1; echo $$ >>pids; while :; do sleep 0.05; done"
    parent = f"trap '' INT TERM USR1 QUIT; exec {' '.join(COMMAND)} launch --launcher {launcher} -n {ranks} -- bash -c \"$1\""
    with subprocess.Popen(["bash", "-c", parent, "bash", script]) as launch:
        comes_true(written(tmp_path / "pids", count))
        launch.send_signal(number)
        code = launch.wait(300)
    assert code == (4 if number == signal.SIGUSR1 else 128 + number)
    assert (tmp_path / "got").read_text() == "got\n" * count


@pytest.mark.parametrize("trap", ["", "trap '' INT"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_launches_in_the_background_of_a_script_end_with_it(
    trap: str, number: int, tmp_path: Path, comes_true: Until
) -> None:
    """As README starts them; the signal goes to the script's group, as a manager and a terminal send it."""
    launch = f"{' '.join(COMMAND)} launch --launcher fork -- bash -c 'echo $$ >>pids; exec sleep 600'"
    script = f"{trap}\n{launch} &\n{launch} &\nwait"
    with subprocess.Popen(["bash", "-c", script], start_new_session=True) as shell:
        try:
            comes_true(written(tmp_path / "pids", 2))
            ranks = [int(line) for line in (tmp_path / "pids").read_text().split()]
            launches = [
                int(name) for name in os.listdir("/proc") if name.isdigit() and _session(int(name)) == shell.pid
            ]
            os.killpg(shell.pid, number)
            comes_true(lambda: not any(map(alive, {*ranks, *launches} - {shell.pid})))
        finally:
            os.killpg(shell.pid, signal.SIGKILL)


def _session(pid: int) -> int:
    try:
        return int(process_status(pid)[SESSION])
    except OSError:
        return 0


def test_a_launch_under_nohup_lives_on(tmp_path: Path, comes_true: Until) -> None:
    script = "echo up >up; while [ ! -e go ]; do sleep 0.05; done"
    with subprocess.Popen(
        ["nohup", *COMMAND, "launch", "--launcher", "fork", "-n", "2", "--", "sh", "-c", script]
    ) as launch:
        comes_true(written(tmp_path / "up"))
        launch.send_signal(signal.SIGHUP)
        sleep(0.5)
        (tmp_path / "go").touch()
        assert launch.wait(300) == 0


# ---- run, and what waits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("parent", ["", "trap '' INT;"])
def test_a_run_that_is_told_to_leave_cancels_its_job(number: int, parent: str) -> None:
    line = f"{parent} exec {' '.join(COMMAND)} run -- sh -c 'echo up; exec sleep 300'"
    with subprocess.Popen(["bash", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "up\n"
        running.send_signal(number)
        _, errors = running.communicate(timeout=300)
    (job,) = jobs()
    assert (running.returncode, job["state"]) == (128 + number, "CANCELED")
    assert errors.startswith(f"psij-run: cancelling job {job['id']}")


def test_a_run_under_nohup_lives_on_when_its_terminal_is_closed(tmp_path: Path) -> None:
    line = "echo up; while [ ! -e go ]; do sleep 0.05; done; exit 3"
    with subprocess.Popen(["nohup", *COMMAND, "run", "--", "sh", "-c", line], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"up\n"
        running.send_signal(signal.SIGHUP)
        sleep(0.5)
        (tmp_path / "go").touch()
        assert running.wait(300) == 3


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("after")
def test_what_waits_ends_with_128_and_the_signal(number: int, comes_true: Until) -> None:
    psij("submit", "--", "sh", "-c", "echo up; exec sleep 300")
    comes_true(lambda: psij("logs", "last").stdout == "up\n")
    for words in (["wait", "last"], ["logs", "-f", "last"], ["status", "--watch", "last"]):
        with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as waiting:
            if words[0] == "wait":  # it says nothing: it is told again until it listens
                comes_true(lambda waiting=waiting: _handles(waiting.pid, number))
            else:
                assert waiting.stdout is not None
                assert waiting.stdout.readline()
                comes_true(lambda waiting=waiting: _handles(waiting.pid, number))
            waiting.send_signal(number)
            _, errors = waiting.communicate(timeout=300)
        assert (waiting.returncode, b"Traceback" in errors) == (128 + number, False), words


def _handles(pid: int, number: int) -> bool:
    """Whether it catches the signal by now, TERM and HUP too."""
    caught = int(re.findall(r"SigCgt:\t(\w+)", Path(f"/proc/{pid}/status").read_text())[0], 16)
    return all(caught >> (each - 1) & 1 for each in (number, signal.SIGTERM))


# ---- Ctrl-C at any time ------------------------------------------------------------------------------------------


#: psij-run that says when Python itself has begun, which cannot be interrupted without a traceback; nor can these lines.
BEGUN = """
import signal, sys
from psij_parsl.cli import program
try:
    print("begun", flush=True)
    sys.exit(program())
except KeyboardInterrupt as interrupt:
    if interrupt.__traceback__.tb_next is not None:
        raise
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(130)
"""


@pytest.mark.parametrize("turn", range(8))
@pytest.mark.usefixtures("after")
def test_two_interrupts_at_any_moment_give_no_traceback_and_lose_no_job(turn: int) -> None:
    """Before the submission, during it, while the job runs, and while it is cancelled."""
    chance = random.Random(turn)
    with subprocess.Popen(
        [COMMAND[0], "-c", BEGUN, "run", "--", "sleep", "300"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "begun\n"
        sleep(0.02 + chance.random() * (0.4 if turn % 2 else 2.0))
        running.send_signal(signal.SIGINT)
        if turn % 4:
            sleep(chance.random() * 0.3)
            running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=300)
    assert running.returncode in (130, -signal.SIGINT), errors
    assert "Traceback" not in errors, errors
    for job in jobs():
        assert job["state"] in ("CANCELED", "FAILED") or errors, job  # left at once: and it was said


def test_an_interrupt_while_a_class_is_made_is_one() -> None:
    """Python up to 3.11 makes an error of its own of it."""
    text = """
import dataclasses, os, signal, sys
dataclasses.Field.__set_name__ = lambda *_: os.kill(os.getpid(), signal.SIGINT)
from psij_parsl.cli import program
sys.exit(program())
"""
    done = subprocess.run(
        [COMMAND[0], "-c", text, "submit", "--", "true"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.usefixtures("after")
def test_an_interrupt_where_nothing_can_be_raised_comes_again() -> None:
    """As in the callback of a weak reference, of which Python has one for each module that it imports."""
    text = """
import dataclasses, os, signal, sys, weakref
def interrupted(_):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass
referred = [type("Referred", (), {})()]
reference = weakref.ref(referred[0], interrupted)
dataclasses.Field.__set_name__ = lambda *_: referred.clear()
from psij_parsl.cli import program
sys.exit(program())
"""
    done = subprocess.run(
        [COMMAND[0], "-c", text, "run", "--", "sleep", "300"],
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.returncode in (130, -signal.SIGINT), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_during_a_slow_submission_is_answered_at_once(
    times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comes_true: Until, pbs: Simulated
) -> None:
    """One cancels the job once it is submitted, two leave, and the job is found."""
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "qsub").write_text(
        f"#!/bin/sh\nreal={shutil.which('qsub')}\n"
        '[ "$1" != --version ] || exec "$real" "$@"\n'  # whose qsub it is, is asked first
        f"touch {tmp_path}/asked\nwhile [ ! -e {tmp_path}/go ]; do sleep 0.05; done\n"
        'exec "$real" "$@"\n'
    )
    (slow / "qsub").chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow}:{os.environ['PATH']}")
    words = [*COMMAND, "run", "--platform", "pbspro", "--", "sleep", "300"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        comes_true((tmp_path / "asked").exists)
        running.send_signal(signal.SIGINT)
        assert "the job is cancelled once it is submitted" in running.stderr.readline()
        if times == 2:
            running.send_signal(signal.SIGINT)
            assert "left while the job was being submitted" in running.stderr.readline()
        (tmp_path / "go").touch()
        assert running.wait(300) == (130 if times == 1 else -signal.SIGINT)
    if times == 2:
        comes_true(lambda: bool(jobs()) and bool(jobs()[0]["native_id"]), what="the manager has it")
        psij("cancel", "last")
    comes_true(lambda: [job["state"] for job in jobs()] == ["CANCELED"])
