"""Stdin: the input of a job, its script, and the remark when something waits there."""

from __future__ import annotations

import hashlib
import os
import pty
import stat
import subprocess
from pathlib import Path

import pytest

from tests.cli.helpers import COMMAND, psij

slow = pytest.mark.slow
NEAR = ("--platform", "local")


def fed(data: bytes, *args: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *args], input=data, capture_output=True, timeout=120, check=False)


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode()


@slow
def test_input_of_any_size_and_kind_is_handed_on(home: Path) -> None:
    data = os.urandom(50_000_000)
    done = fed(data, "run", *NEAR, "-i", "-", "--", "cat")
    assert (done.returncode, said(done)) == (0, "")
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
    (copy,) = (home / "scripts").iterdir()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    assert psij("clean", "--older-than", "0").returncode == 0
    assert not copy.exists()


@slow
def test_each_job_has_its_own_input_and_each_element_all_of_it() -> None:
    jobs = [
        fed(text, "submit", *NEAR, "-i", "/dev/stdin", "--", "cat").stdout.decode().strip()
        for text in (b"one", b"two")
    ]
    assert psij("wait", *jobs).returncode == 0
    assert [psij("logs", job).stdout for job in jobs] == ["one", "two"]
    done = fed(b"all of it\n", "run", *NEAR, "--array", "0-2", "-o", "out-{index}.txt", "-i", "-", "--", "cat")
    assert sorted(done.stdout.decode().splitlines()) == [f"[{index}] all of it" for index in range(3)]
    assert Path("out-1.txt").read_text() == "all of it\n"


@slow
def test_input_that_a_job_may_still_read_is_kept(home: Path) -> None:
    job = fed(b"later", "submit", *NEAR, "--hold", "-i", "-", "--", "cat").stdout.decode().strip()
    (copy,) = (home / "scripts").iterdir()
    os.utime(copy, (0, 0))
    psij("clean", "--older-than", "0")
    assert copy.read_text() == "later"
    psij("release", job)
    assert psij("wait", job).returncode == 0
    assert psij("logs", job).stdout == "later"


@slow
def test_an_attempt_reads_the_same_input_again_and_is_refused_when_it_is_gone(home: Path) -> None:
    job = fed(b"again", "submit", *NEAR, "--wait", "-i", "-", "--", "cat").stdout.decode().strip()
    second = psij("resubmit", job).stdout.strip()
    assert psij("wait", second).returncode == 0
    assert psij("logs", second).stdout == "again"
    (copy,) = (home / "scripts").iterdir()
    copy.unlink()
    refused = psij("resubmit", second)
    assert f"the copy of its input that job {second} read is gone: {copy}" in refused.stderr
    assert "stdin cannot be handed on to one more attempt" in psij("resubmit", second, "-i", "-").stderr


def test_a_refused_job_leaves_no_input_and_render_reads_none(home: Path) -> None:
    done = fed(b"x", "submit", "--platform", "pbspro", "-i", "-", "--", "true")
    assert done.returncode != 0
    assert not [*(home / "scripts").glob("*")]
    with subprocess.Popen(
        [*COMMAND, "render", *NEAR, "-i", "-", "--", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as shown:
        assert shown.stdout is not None
        assert b"\npsij_stdin=" in shown.stdout.read()  # with stdin still open
    assert not [*(home / "scripts").glob("*")]


def test_the_script_and_the_input_cannot_both_be_stdin() -> None:
    done = fed(b"cat\n", "run", *NEAR, "-i", "-", "-")
    assert said(done).startswith("psij-run: the script is read from stdin, and -i - would read")
    assert fed(b"#PSIJ -i -\ncat\n", "submit", *NEAR, "-").returncode == 2


def test_a_closed_stdin_is_one_sentence() -> None:
    for args, what in ((("-i", "-", "--", "cat"), "the job's input"), (("-",), "the script")):
        line = " ".join([*COMMAND, "submit", *NEAR, *args, "<&-"])
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert f"{what} cannot be read: stdin is closed\nhint: " in done.stderr


# ---- the remark --------------------------------------------------------------------------------------------------

REMARK = "psij-run: what waits on stdin is not read: -i - hands it on to the job"


@slow
def test_what_waits_unread_is_told_of_and_nothing_else(tmp_path: Path) -> None:
    assert said(fed(b"data", "run", *NEAR, "--", "cat")).startswith(REMARK)
    (tmp_path / "data").write_text("data")
    command = [*COMMAND, "run", *NEAR, "--", "true"]
    with open(tmp_path / "data") as file:
        assert REMARK in subprocess.run(command, stdin=file, capture_output=True, text=True, check=False).stderr
        file.seek(0, os.SEEK_END)
        assert subprocess.run(command, stdin=file, capture_output=True, text=True, check=False).stderr == ""
    assert psij("run", *NEAR, "--", "true").stderr == ""  # /dev/null
    assert said(fed(b"", "run", *NEAR, "--", "true")) == ""
    assert said(fed(b"data", "run", *NEAR, "-i", "-", "--", "true")) == ""
    assert said(fed(b"echo script\n", "run", *NEAR, "-")) == ""


@slow
def test_an_idle_pipe_or_terminal_is_neither_waited_for_nor_told_of() -> None:
    command = [*COMMAND, "run", *NEAR, "--", "echo", "done"]
    reader, writer = os.pipe()
    ours, theirs = pty.openpty()
    os.write(ours, b"typed ahead\n")
    try:
        for end in (reader, theirs):
            done = subprocess.run(command, stdin=end, capture_output=True, text=True, timeout=60, check=False)
            assert (done.stdout, done.stderr) == ("done\n", "")
    finally:
        for end in (reader, writer, ours, theirs):
            os.close(end)


# ---- scripts -----------------------------------------------------------------------------------------------------


@slow
def test_a_script_on_stdin_has_arguments_and_option_lines(tmp_path: Path) -> None:
    text = b'#!/bin/bash\n#SBATCH -n 2 -o out-%j.txt\n#PSIJ --env WHO=us\necho "$1, $2 of $WHO, $SLURM_NTASKS"\n'
    done = fed(text, "run", *NEAR, "-", "one", "--two")
    assert (done.returncode, done.stdout) == (0, b"one, --two of us, 2\n"), said(done)
    assert len([*Path().glob("out-*.txt")]) == 1
    assert fed(text.replace(b"\n", b"\r\n"), "run", *NEAR, "-", "a", "b").stdout == b"a, b of us, 2\n"
    ignored = fed(text, "run", *NEAR, "--ignore-directives", "-", "a", "b")
    assert ignored.stdout == b"a, b of us, \n"


@slow
def test_a_script_by_wrap_runs_once_and_takes_flags() -> None:
    done = psij("run", *NEAR, "-n", "2", "--wrap", 'echo "one line"; exit 3')
    assert (done.stdout, done.returncode) == ("one line\n", 3)


def test_a_wrapped_text_and_a_command_are_one_too_many() -> None:
    assert "--wrap says the command" in psij("submit", *NEAR, "--wrap", "true", "hostname").stderr


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "there is no script on stdin"),
        (b" \n\t\n", "there is no script on stdin"),
        (b"\x7fELF\0\0", "stdin is no script"),
        (b"x" * (4 << 20) + b"yz", "stdin is no script"),
        (b"#!/bin/sh\n#SBATCH --no-such=1\ntrue\n", "stdin, line 2: --no-such=1"),
        (b"#!/bin/sh\n#PSIJ --no-such\ntrue\n", "stdin, line 2: "),
    ],
)
def test_what_is_no_script_is_refused(data: bytes, what: str) -> None:
    done = fed(data, "submit", *NEAR, "-")
    assert done.returncode == 2
    assert what in said(done)
    assert "hint: " in said(done)


def test_without_an_argument_stdin_is_not_read_and_the_hint_names_the_dash() -> None:
    done = fed(b"echo script\n", "submit", *NEAR)
    assert said(done).splitlines()[-1].endswith("`-` reads a script from stdin")
    assert done.returncode == 2


@slow
def test_on_a_terminal_it_says_what_it_waits_for() -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"echo typed\n\x04")
    done = subprocess.run(
        [*COMMAND, "run", *NEAR, "-"], stdin=theirs, capture_output=True, text=True, timeout=60, check=False
    )
    os.close(ours)
    os.close(theirs)
    assert done.stdout == "typed\n"
    assert done.stderr == "psij-run: reading the script from this terminal; Ctrl-D ends it\n"
