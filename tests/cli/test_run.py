"""`psij-run run`: output as it comes, the job's own exit code, the spinner, Ctrl-C; and completion in a real bash."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep

import pytest

from tests.cli.helpers import COMMAND, psij
from tests.cli.terminals import Terminal

pytestmark = pytest.mark.slow


@pytest.fixture
def after() -> Iterator[None]:
    """No job outlives its test."""
    yield
    psij("cancel", "all")


def test_run_is_the_program_itself() -> None:
    done = psij("run", "-t", "5", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert done.returncode == 3
    assert done.stdout == "out\n"
    assert done.stderr.startswith("err\npsij-run: job ")
    assert "exit code 3" in done.stderr


def test_run_leaves_the_programs_own_flags_to_it() -> None:
    done = psij("run", "-N", "1", "echo", "-t", "5", "-N", "7", "--", "--json")
    assert (done.returncode, done.stdout) == (0, "-t 5 -N 7 -- --json\n")


def test_a_job_ended_by_a_signal_is_128_and_its_number() -> None:
    done = psij("run", "--", "bash", "-c", "kill -9 $$")
    assert done.returncode == 137
    assert "SIGKILL" in done.stderr


@pytest.mark.parametrize("words", [["run", "--queue", "nope", "--", "true"], ["wait", "99999"], ["run", "--bad"]])
def test_an_error_of_ours_is_no_exit_code_of_a_job(words: list[str]) -> None:
    assert psij(*words).returncode == 125


def test_a_job_out_of_time_says_so(home: Path) -> None:
    from psij_parsl.cli.job_outcome import exit_status
    from psij_parsl.states import EndReason, JobState, JobStatus

    ends = {
        JobStatus(JobState.COMPLETED): 0,
        JobStatus(JobState.FAILED, exit_code=3): 3,
        JobStatus(JobState.FAILED, signal=9): 137,
        JobStatus(JobState.FAILED, reason=EndReason.TIMEOUT): 1,
        JobStatus(JobState.FAILED, reason=EndReason.LOST): 5,
        JobStatus(JobState.CANCELED): 143,
    }
    assert {status: exit_status(status) for status in ends} == ends


def test_big_output_arrives_whole(tmp_path: Path) -> None:
    data = os.urandom(1 << 16) * 400
    (tmp_path / "data").write_bytes(data)
    done = subprocess.run(
        [*COMMAND, "run", "--", "sh", "-c", "cat data; cat data >&2"], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert len(done.stdout) == len(done.stderr) == len(data)
    assert len({hashlib.sha256(each).digest() for each in (done.stdout, data, done.stderr)}) == 1


def test_output_is_shown_while_the_job_runs(tmp_path: Path) -> None:
    line = "echo first; while [ ! -e go ]; do sleep 0.05; done; echo last"
    with subprocess.Popen([*COMMAND, "run", "--", "sh", "-c", line], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"first\n"
        (tmp_path / "go").touch()
        assert running.stdout.read() == b"last\n"
    assert running.returncode == 0


def test_output_goes_to_named_files_and_is_shown_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("of an earlier job, which nobody asked for\n")
    done = psij("run", "-o", "out", "--", "sh", "-c", "echo one; echo two >&2")
    assert done.stdout == "one\ntwo\n"
    assert (tmp_path / "out").read_text() == "one\ntwo\n"


def test_elements_of_an_array_are_labelled() -> None:
    done = psij("run", "--array", "3,5", "--", "sh", "-c", 'printf "a\\nb"')
    assert sorted(done.stdout.splitlines()) == ["[3] a", "[3] b", "[5] a", "[5] b"]


def test_without_a_terminal_nothing_is_said_beside_the_output() -> None:
    done = psij("run", "--", "sh", "-c", "sleep 0.3; echo x")
    assert (done.stdout, done.stderr) == ("x\n", "")


def test_who_reads_no_more_ends_the_job() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} run -- yes | head -1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "y\n141\n"
    assert done.stderr == ""
    assert json.loads(psij("list", "-a", "--json").stdout)[0]["state"] == "CANCELED"


def test_a_killed_run_leaves_its_job_running(comes_true: Callable[..., None]) -> None:
    line = "echo up; while [ ! -e go ]; do sleep 0.05; done; touch done"
    with subprocess.Popen([*COMMAND, "run", "--", "sh", "-c", line], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"up\n"
        running.kill()
    Path("go").touch()
    comes_true(Path("done").exists)
    assert psij("wait", "last").returncode == 0


def test_sigterm_cancels_the_job() -> None:
    with subprocess.Popen(
        [*COMMAND, "run", "--", "sh", "-c", "echo up; exec sleep 60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"up\n"
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=300)
    assert running.returncode == 143
    assert json.loads(psij("list", "-a", "--json").stdout)[0]["state"] == "CANCELED"


# ---- on a terminal ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("after")
def test_a_terminal_sees_what_the_job_waits_for_and_one_ctrl_c_cancels() -> None:
    terminal = Terminal("run", "--hold", "--", "true")
    terminal.see("QUEUED (held)")
    terminal.type("\x03")
    terminal.see("CANCELED")
    assert terminal.close() == 130
    assert json.loads(psij("list", "-a", "--json").stdout)[0]["state"] == "CANCELED"


@pytest.mark.usefixtures("after")
def test_the_spinner_is_gone_before_the_output() -> None:
    terminal = Terminal("run", "--hold", "--", "echo", "the output")
    terminal.see("QUEUED (held)")
    assert psij("release", "last").returncode == 0
    terminal.see("the output")
    assert terminal.close() == 0
    assert "\r\x1b[Kthe output" in terminal.text


@pytest.mark.usefixtures("after")
def test_a_second_ctrl_c_leaves_at_once_and_says_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSIJ_LOCAL_KILL_WAIT", "10")
    terminal = Terminal("run", "--", "bash", "-c", "trap '' TERM INT; echo up; while :; do sleep 0.1; done")
    terminal.see("up")
    terminal.type("\x03")
    terminal.see("cancelling")
    terminal.type("\x03")
    terminal.see("is still ")
    job = json.loads(psij("list", "--json").stdout)[0]["id"]
    assert terminal.close() == 130
    assert f"psij-run cancel {job}" in terminal.text


@pytest.mark.usefixtures("after")
def test_status_watches_until_all_have_ended() -> None:
    psij("submit", "--", "sh", "-c", "while [ ! -e go ]; do sleep 0.05; done")
    terminal = Terminal("status", "--watch", "last")
    terminal.see("ACTIVE")
    Path("go").touch()
    terminal.see("COMPLETED")
    assert terminal.close() == 0


@pytest.mark.usefixtures("after")
def test_logs_follow_a_job_from_before_its_start_to_its_end() -> None:
    job = psij("submit", "--hold", "--", "sh", "-c", "echo one; sleep 0.2; echo two").stdout.strip()
    with subprocess.Popen([*COMMAND, "logs", "-f", job], stdout=subprocess.PIPE) as following:
        psij("release", job)
        assert following.communicate(timeout=300)[0] == b"one\ntwo\n"
    assert following.returncode == 0


def test_logs_that_follow_a_job_which_never_starts_say_so() -> None:
    job = psij("submit", "--hold", "--", "true").stdout.strip()
    with subprocess.Popen(
        [*COMMAND, "logs", "-f", job], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as following:
        sleep(1)  # it follows by now; where it does not yet, it finds the job cancelled, and says the same
        assert psij("cancel", job).returncode == 0
        out, err = following.communicate(timeout=300)
    assert (following.returncode, out, err) == (1, "", psij("logs", job).stderr)
    assert f"job {job} was cancelled before it wrote anything" in err


# ---- completion ------------------------------------------------------------------------------------------------


def completed(line: str) -> list[str]:
    words = line.split(" ")
    done = psij(_PSIJ_RUN_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
    return done.stdout.split()


def test_the_shell_completes_commands_flags_and_values() -> None:
    job = psij("submit", "--hold", "--", "true").stdout.strip()
    assert completed("psij-run su") == ["submit"]
    assert "--ntasks-per-node" in completed("psij-run submit --nt")
    assert completed("psij-run submit --platform lo") == ["local"]
    assert completed("psij-run resubmit --fai") == ["--failed"]
    assert completed(f"psij-run resubmit {job[:4]}") == [job]
    assert completed(f"psij-run cancel {job[:4]}") == [job]
    assert completed("psij-run cancel la") == ["last"]
    assert completed("psij-run platform show slu") == ["slurm"]
    assert completed("psij-run submit --platform slurm -X qo") == ["qos="]
    assert completed("psij-run submit --mode m") == ["mpi"]
    assert completed("psij-run submit --site frontier -q ") == ["batch", "extended", "debug", "auto"]
    assert completed("psij-run submit --site frontier -q batch,") == ["batch,extended", "batch,debug"]
    assert completed("psij-run submit --site frontier -q debug,ba") == ["debug,batch"]
    assert completed("psij-run list --state CO") == ["COMPLETED"]
    assert completed("psij-run list --state FAILED,ti") == []
    assert completed("psij-run list --state failed,ti") == ["failed,timeout"]
    assert completed("psij-run list --site lo") == ["lonestar6", "local"]
    assert completed("psij-run list --sort st") == ["started", "state"]


def test_completion_works_in_a_real_bash(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "psij-run"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    line = (
        'eval "$(_PSIJ_RUN_COMPLETE=source_bash psij-run)"; COMP_WORDS=(psij-run can); COMP_CWORD=1;'
        ' $(complete -p psij-run | sed -E "s/.*-F ([^ ]+).*/\\1/") psij-run can psij-run; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", line],
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "cancel\n", done.stderr


# ---- start-up --------------------------------------------------------------------------------------------------


def test_a_look_at_jobs_imports_nothing_heavy() -> None:
    psij("submit", "--wait", "--", "true")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.argv = ['psij-run', 'status', 'last']\n"
            "from psij_parsl.cli import main\nmain()\nprint(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    modules = set(done.stdout.split())
    assert not modules & {
        "jinja2",
        "parsl",
        "filelock",
        "rich",
        "typer",
        "psij_parsl.platforms.templates.template",
        "psij_parsl.sites.models.site_model",
    }
