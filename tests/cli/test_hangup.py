"""A terminal that is closed under a command: nothing of ours hangs or spins, and the job's fate is as documented."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.helpers import COMMAND, psij
from tests.cli.terminals import Terminal

pytestmark = pytest.mark.slow

LIVES = ["sh", "-c", "echo up; exec sleep 300"]
#: Each command, what it shows when it is at work, and whether its job lives on.
COMMANDS = {
    "run": (["run", "--", *LIVES], "up", False),
    "submit": (["submit", "--wait", "--", *LIVES], "\n", True),
    "wait": (["wait", "last"], "", True),
    "logs": (["logs", "-f", "last"], "up", True),
    "launch": (["launch", "--", *LIVES], "up", None),
    "ranks": (["launch", "-n", "2", "-l", "--launcher", "fork", "--", *LIVES], "up", None),
    "farm": (["launch", "--array", "0-1", "--fresh", "--", *LIVES], "running", None),
}


def handles(pid: int, number: int) -> bool:
    """Whether a process catches that signal by now."""
    caught = int(re.findall(r"SigCgt:\t(\w+)", Path(f"/proc/{pid}/status").read_text())[0], 16)
    return bool(caught >> (number - 1) & 1)


def ended(pid: int, seconds: float) -> tuple[int, float] | None:
    """The exit code of a child as a shell has it, and the CPU seconds it took; None if it lives."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return (code if code >= 0 else 128 - code), usage.ru_utime + usage.ru_stime
        time.sleep(0.05)
    return None


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_whose_terminal_is_closed_ends_with_129(name: str, comes_true: Callable[..., None]) -> None:
    words, shown, lives = COMMANDS[name]
    if name in ("wait", "logs"):
        psij("submit", "--", *LIVES)
    terminal = Terminal(*words)
    try:
        terminal.see(shown)
        comes_true(lambda: handles(terminal.pid, signal.SIGHUP))  # what waits says nothing
        os.close(terminal.end)
        assert (found := ended(terminal.pid, 60)) is not None, "it hangs"
        assert found[0] == 128 + signal.SIGHUP
        if lives is not None:
            (job,) = json.loads(psij("list", "-a", "--json").stdout)
            assert job["state"] == "CANCELED" if not lives else job["state"] in ("QUEUED", "ACTIVE")
    finally:
        psij("cancel", "all")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["run", "--"], 3),
        (["launch", "-n", "2", "-l", "--"], 3),
        (["launch", "--array", "0", "--"], 125),  # what the task has printed could not be shown
    ],
)
def test_what_outlives_its_terminal_goes_on_and_does_not_spin(words: list[str], code: int) -> None:
    """Under a shell that ignores the hangup, or after `disown`: what it shows has no place to go."""
    go_on = "echo up >up; while [ ! -e go ]; do echo line; sleep 0.1; done; exit 3"
    program = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *COMMAND, *words, "sh", "-c", go_on]
    terminal = Terminal(program=program)
    terminal.until(Path("up").exists)
    os.close(terminal.end)
    assert ended(terminal.pid, 3) is None
    Path("go").touch()
    found = ended(terminal.pid, 60)
    assert found is not None, "it hangs"
    assert found[0] == code
    assert found[1] < 5  # CPU seconds, most of which are Python's start
