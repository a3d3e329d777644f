"""`status --watch` on a terminal: keys, signals, sizes, and the terminal as it is afterwards."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.helpers import COMMAND, psij
from tests.cli.terminals import Terminal, resize

pytestmark = pytest.mark.slow
LEAVE = "\x1b[?1049l"
_STOPPED = re.compile(r"Stopped.*shell> ", re.DOTALL)
_LAST_LINE = re.compile(r"\x1b\[\?1049h.*\x1b\[24;1H", re.DOTALL)
SAYS = "echo started; while [ ! -e go ]; do sleep 0.05; done; echo over"


@pytest.fixture
def job() -> Iterator[str]:
    """A job that runs until there is a file `go`."""
    yield psij("submit", "-J", "runs", "-t", "30", "--", "sh", "-c", SAYS).stdout.strip()
    psij("cancel", "all")


def modes(end: int) -> list[object]:
    return [*termios.tcgetattr(end)][:4]


def modes_at_first() -> list[object]:
    """Those of a terminal that nothing has run on."""
    ours, theirs = pty.openpty()
    found = modes(ours)
    os.close(ours)
    os.close(theirs)
    return found


def state(job: str) -> str:
    found: str = json.loads(psij("status", job, "--json").stdout)[0]["state"]
    return found


def test_keys_choose_filter_show_output_and_cancel(job: str) -> None:
    held = psij("submit", "--hold", "-J", "held", "--", "true").stdout.strip()
    terminal = Terminal("status", "--watch", columns=80)
    terminal.until(lambda: f"> {job}" in terminal.shown and "ACTIVE" in terminal.shown)
    assert "0s/30m" in terminal.shown.replace("1s/", "0s/").replace("2s/", "0s/")
    terminal.type("t")
    terminal.until(lambda: f"output of {job}" in terminal.shown and "\nstarted" in terminal.shown)
    terminal.type("\x1b[B")
    terminal.until(lambda: f"> {held}" in terminal.shown and "it has not started" in terminal.shown)
    terminal.type("\x1b")
    terminal.until(lambda: "output of" not in terminal.shown)
    terminal.type("/held\r")
    terminal.until(lambda: "1 of 2 jobs" in terminal.shown and job not in terminal.shown)
    terminal.type("c")
    terminal.until(lambda: f"cancel {held} (held)? y/n" in terminal.shown)
    terminal.type("n")
    terminal.until(lambda: "nothing was cancelled" in terminal.shown)
    assert state(held) == "QUEUED"
    terminal.type("cy")
    terminal.until(lambda: "CANCELED" in terminal.shown)
    later = psij("submit", "--hold", "-J", "later", "--", "true").stdout.strip()
    terminal.type("\x1b")
    terminal.until(lambda: "3 jobs" in terminal.shown and later in terminal.shown)
    terminal.type("q")
    assert terminal.close() == 0
    assert state(job) == "ACTIVE"


def test_an_array_is_unfolded_and_the_output_of_an_element_shown() -> None:
    array = psij("submit", "--array", "3,5", "-t", "30", "--", "sh", "-c", SAYS)
    job = array.stdout.strip()
    try:
        terminal = Terminal("status", "--watch", columns=80)
        terminal.until(lambda: f"> {job}" in terminal.shown and "u unfold" in terminal.shown)
        terminal.type("u")
        terminal.until(lambda: terminal.shown.count("ACTIVE ") >= 3 and "1 job:" in terminal.shown)
        terminal.type("jjt")
        terminal.until(lambda: f"output of {job}_5" in terminal.shown and "\nstarted" in terminal.shown)
        terminal.type("cy")
        terminal.until(lambda: f"> {job}_5  " in terminal.shown and "CANCELED" in terminal.shown)
        terminal.type("u")
        terminal.until(lambda: f"{job}_3" not in terminal.shown and f"> {job} " in terminal.shown)
        terminal.type("q")
        assert terminal.close() == 0
    finally:
        psij("cancel", "all")


def test_it_ends_when_all_jobs_have_ended_and_prints_how(job: str) -> None:
    terminal = Terminal("status", "--watch", job)
    terminal.see("ACTIVE")
    before = modes_at_first()
    other = psij("submit", "--hold", "--", "true").stdout.strip()
    Path("go").touch()
    terminal.see(LEAVE)
    terminal.see("COMPLETED")
    assert modes(terminal.end) == before
    assert terminal.close() == 0
    assert "COMPLETED" in terminal.text.rpartition(LEAVE)[2]
    assert other not in terminal.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_leaves_the_terminal_as_it_was(number: signal.Signals, job: str) -> None:
    terminal = Terminal("status", "--watch")
    before = modes_at_first()
    terminal.until(lambda: "q quit" in terminal.shown)
    assert modes(terminal.end) != before
    if number is signal.SIGINT:
        terminal.type("\x03")
    else:
        os.kill(terminal.pid, number)
    terminal.see(LEAVE)
    assert terminal.text.endswith(f"\x1b[?7h\x1b[?25h{LEAVE}")
    assert modes(terminal.end) == before
    assert terminal.close() == 128 + number


def test_an_error_leaves_the_terminal_as_it_was_and_is_told(job: str, home: Path) -> None:
    terminal = Terminal("status", "--watch")
    before = modes_at_first()
    terminal.until(lambda: "q quit" in terminal.shown)
    (home / "journal.jsonl").rename("journal")
    (home / "journal.jsonl").mkdir()
    terminal.see(LEAVE)
    assert modes(terminal.end) == before
    (home / "journal.jsonl").rmdir()
    Path("journal").rename(home / "journal.jsonl")
    assert terminal.close() not in (0, 1)
    assert "\r\nhint: " in terminal.text.rpartition(LEAVE)[2]


def test_it_follows_the_size_of_its_terminal(job: str) -> None:
    terminal = Terminal("status", "--watch", columns=80)
    terminal.until(lambda: "q quit" in terminal.shown)
    assert "REASON" in terminal.shown
    for columns, lines in ((40, 12), (120, 40), (30, 3), (80, 24)):
        resize(terminal.end, columns, lines)
        terminal.until(lambda lines=lines: len(terminal.screen) == lines)  # type: ignore[misc]
        assert max(map(len, terminal.shown.split("\n"))) <= columns
        assert job in terminal.shown
    terminal.type("q")
    assert terminal.close() == 0


def test_nothing_is_written_for_a_screen_that_stays_the_same() -> None:
    held = psij("submit", "--hold", "--begin", "2099-01-01", "--", "true").stdout.strip()
    terminal = Terminal("status", "--watch", columns=36)  # too narrow for times
    terminal.until(lambda: "q quit" in terminal.shown)
    drawn = terminal.text.count("q quit")
    terminal.type("j" * 50)
    terminal.type("c")
    terminal.until(lambda: "y/n" in terminal.shown)
    assert terminal.text.count("q quit") == drawn
    terminal.type("yq")
    assert terminal.close() == 0
    psij("cancel", held)


def test_without_a_keyboard_it_watches_all_the_same(job: str) -> None:
    line = f"exec {' '.join(map(shlex.quote, COMMAND))} status --watch </dev/null"
    terminal = Terminal(columns=80, program=["/bin/sh", "-c", line])
    terminal.until(lambda: "stdin is no terminal" in terminal.shown)
    Path("go").touch()
    terminal.see("COMPLETED")
    assert terminal.close() == 0


def test_a_dumb_terminal_and_a_file_get_rows(job: str) -> None:
    terminal = Terminal("status", "--watch", TERM="dumb")
    terminal.see("ACTIVE")
    Path("go").touch()
    terminal.see("COMPLETED")
    assert terminal.close() == 0
    assert "\x1b" not in terminal.text
    lines = psij("status", "--watch", job, "--json").stdout.splitlines()
    assert [row["state"] for line in lines for row in json.loads(line)] == ["COMPLETED"]


# ---- Ctrl-Z ----------------------------------------------------------------------------------------------------


def _seen(terminal: Terminal, *patterns: re.Pattern[str]) -> re.Pattern[str]:
    """The first of the patterns of which one is in what is shown from now on."""
    before = len(terminal.text)

    def there() -> list[re.Pattern[str]]:
        return [pattern for pattern in patterns if pattern.search(terminal.text, before)]

    terminal.until(lambda: bool(there()))
    return there()[0]


def test_a_shell_suspends_it_and_brings_it_back(job: str) -> None:
    shell = Terminal(columns=80, program=["bash", "--norc", "--noprofile", "-i"], PS1="shell> ")
    shell.see("shell> ")
    command = " ".join(map(shlex.quote, [*COMMAND, "status", "--watch"]))
    shell.type(f"{command}\r")
    shell.until(lambda: "q quit" in shell.shown)
    for words in ("fg\r", "kill -CONT %1; bg; fg\r"):
        shell.type("\x1a")
        found = _seen(shell, _STOPPED)
        while found is _STOPPED:
            shell.type(words)
            found = _seen(shell, _LAST_LINE, _STOPPED)
            words = "fg\r"  # in the background it has stopped while bash took it to run, and did not wake it
    seen = len(shell.text)
    shell.type("q")
    shell.until(lambda: "shell> " in shell.text[seen:])
    shell.type("echo it=$?; exit\r")
    shell.see("it=0")
    shell.close()
