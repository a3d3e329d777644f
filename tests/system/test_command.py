"""Running a manager's commands, with real processes: bounded in time, alone in their group, told little."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from psij_parsl.errors import Unavailable
from psij_parsl.system.commands import CommandRunner, backoff, client_environment
from psij_parsl.system.processes import STATE, process_start, process_status

Put = Callable[[str, str], Path]


def alive(pid: int) -> bool:
    return process_start(pid) != ""


def test_what_it_printed_and_its_exit_code_are_kept_verbatim(put: Put) -> None:
    put("talk", "printf ' out \\n\\n'; printf 'err\\377 \\n' >&2; exit 200")
    output = CommandRunner()(["talk"])
    assert (output.rc, output.stdout, output.stderr) == (200, " out \n\n", "err\udcff \n")


def test_its_words_for_a_message_are_both_streams(put: Put) -> None:
    put("talk", "echo out; echo err >&2")
    assert CommandRunner()(["talk"]).text == "err\nout"


def test_arguments_are_words_and_no_shell_reads_them(put: Put) -> None:
    put("show", 'printf "%s|" "$@"')
    assert CommandRunner()(["show", "a b", "$HOME", "`id`", "", "*"]).stdout == "a b|$HOME|`id`||*|"


def test_a_command_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(Unavailable) as caught:
        CommandRunner()(["no-such-manager"])
    assert caught.value.message == "the command 'no-such-manager' is not on PATH"
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_executed_is_one_sentence(put: Put) -> None:
    path = put("broken", "")
    path.write_bytes(b"\x00\x01 no program")
    with pytest.raises(Unavailable, match="'broken' cannot be started"):
        CommandRunner()(["broken"])


def test_a_command_beside_a_relative_path_is_found_wherever_it_runs(
    put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("near", "pwd")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"bin:{os.defpath}")
    (tmp_path / "elsewhere").mkdir()
    assert CommandRunner()(["near"], cwd=str(tmp_path / "elsewhere")).stdout == f"{tmp_path}/elsewhere\n"


# ---- time ----------------------------------------------------------------------------------------------------------


def test_a_time_out_ends_the_whole_process_group(put: Put, tmp_path: Path, comes_true: Callable[..., None]) -> None:
    """A grandchild that ignores TERM and holds the pipe open must not keep us."""
    put(
        "hang",
        "(trap '' TERM INT HUP; echo $BASHPID >%s; exec sleep 300) & echo started; echo oh >&2; wait"
        % (tmp_path / "pid"),
    )
    began = time.monotonic()
    output = CommandRunner()(["hang"], timeout_s=2)
    assert time.monotonic() - began < 100  # of the 300 that it would run
    assert output.rc is None
    assert (output.stdout, output.stderr) == ("started\n", "oh\n")
    comes_true(lambda: not alive(int((tmp_path / "pid").read_text())))


@pytest.mark.slow
def test_a_grandchild_that_left_the_group_and_holds_the_pipe_does_not_keep_us(put: Put, tmp_path: Path) -> None:
    put("daemonic", f"setsid sh -c 'echo $$ >{tmp_path}/pid; exec sleep 300' & echo started; sleep 300")
    began = time.monotonic()
    output = CommandRunner()(["daemonic"], timeout_s=2)
    try:
        assert time.monotonic() - began < 100
        assert output.rc is None
        assert output.stdout == "started\n"
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_an_answer_counts_although_a_child_of_the_command_holds_the_pipe(
    put: Put, tmp_path: Path, comes_true: Callable[..., None]
) -> None:
    put("leaky", f"(echo $BASHPID >{tmp_path}/pid; exec sleep 300) & echo 12")
    output = CommandRunner()(["leaky"], timeout_s=3)
    assert (output.rc, output.stdout) == (0, "12\n")
    comes_true(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_an_interrupt_while_waiting_leaves_nothing_running(
    put: Put, tmp_path: Path, comes_true: Callable[..., None]
) -> None:
    put("hang", f"echo $$ >{tmp_path}/pid; exec sleep 300")
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # whatever our own parent ignores
        "from psij_parsl.system.commands import CommandRunner\n"
        "started = CommandRunner().start(['hang'])\n"
        f"open({str(tmp_path / 'started')!r}, 'w').close()\n"
        "started.finish(timeout_s=300)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    comes_true(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    comes_true((tmp_path / "started").exists)
    comes_true(lambda: process_status(child.pid)[STATE] == b"S")  # from then on it sleeps only while it waits
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=300)
    assert b"KeyboardInterrupt" in errors
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_command_that_was_started_early_and_is_abandoned_ends(put: Put, tmp_path: Path) -> None:
    put("reader", f'echo $$ >{tmp_path}/pid; text=$(cat); echo "$text" >{tmp_path}/taken')
    started = CommandRunner().start(["reader"])
    deadline = time.monotonic() + 10
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    started.abandon()
    started.abandon()
    assert not alive(int((tmp_path / "pid").read_text()))
    assert not (tmp_path / "taken").exists()


# ---- surroundings --------------------------------------------------------------------------------------------------


def test_only_what_a_client_needs_of_the_environment_reaches_it(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("show-environment", "env -0")
    for name, value in {
        "SLURM_CONF": "/etc/here",
        "SLURM_CLUSTERS": "a,b",
        "SLURM_JOB_ID": "5",
        "SLURM_NTASKS": "2",
        "SBATCH_ACCOUNT": "other",
        "SQUEUE_FORMAT": "%i",
        "SLURM_TIME_FORMAT": "%s",
        "AWS_SECRET_ACCESS_KEY": "x",
        "LANG": "de_DE.UTF-8",
        "LC_MESSAGES": "de_DE",
        "LANGUAGE": "de",
        "BASH_FUNC_f%%": "() { :; }",
        "BASH_ENV": "/nowhere",
        "PYTHONPATH": "/x",
        "TZ": "UTC",
    }.items():
        monkeypatch.setenv(name, value)
    seen = CommandRunner(keep_env=("SLURM_CONF", "SLURM_CLUSTERS"))(["show-environment"]).stdout
    names = dict(line.split("=", 1) for line in seen.split("\0") if line)
    assert names["SLURM_CONF"] == "/etc/here"
    assert names["SLURM_CLUSTERS"] == "a,b"
    assert names["LC_ALL"] == "C.UTF-8"
    assert names["TZ"] == "UTC"
    assert not names.keys() & {
        "SLURM_JOB_ID",
        "SLURM_NTASKS",
        "SBATCH_ACCOUNT",
        "SQUEUE_FORMAT",
        "SLURM_TIME_FORMAT",
        "AWS_SECRET_ACCESS_KEY",
        "LANG",
        "LC_MESSAGES",
        "LANGUAGE",
        "BASH_FUNC_f%%",
        "BASH_ENV",
        "PYTHONPATH",
    }


def test_patterns_name_whole_variables() -> None:
    kept = client_environment(("FLUX_*", "PBS_CONF"), {"FLUX_URI": "1", "MY_FLUX_URI": "2", "PBS_CONF_FILE": "3"})
    assert kept == {"FLUX_URI": "1", "PATH": os.defpath, "LC_ALL": "C.UTF-8"}


def test_variables_that_are_set_for_a_command_win_over_those_outside(put: Put) -> None:
    environ = {"ITS_FORMAT": "theirs", "OTHER": "1"}
    seen = client_environment(("ITS_*",), environ, {"ITS_FORMAT": "ours", "LC_ALL": "de_DE.UTF-8"})
    assert seen == {"ITS_FORMAT": "ours", "PATH": os.defpath, "LC_ALL": "C.UTF-8"}
    put("show-format", "echo $ITS_FORMAT")
    assert CommandRunner(set_env={"ITS_FORMAT": "ours"})(["show-format"]).stdout == "ours\n"


def test_it_has_no_terminal_and_no_input(put: Put) -> None:
    put("ask", "read -t 5 line </dev/tty && echo tty; read -t 5 line && echo input; [ -t 0 ] || echo none")
    output = CommandRunner()(["ask"])
    assert output.stdout == "none\n"


def test_its_group_is_its_own(put: Put) -> None:
    put("group", "echo $$ $(ps -o pgid= -o sid= -p $$)")
    pid, group, session = CommandRunner()(["group"]).stdout.split()
    assert pid == group == session


def test_a_signal_to_our_group_does_not_reach_it(put: Put, tmp_path: Path) -> None:
    put("slow", f"echo $$ >{tmp_path}/pid; sleep 1; echo done")
    seen: list[str] = []
    worker = threading.Thread(target=lambda: seen.append(CommandRunner()(["slow"]).stdout))
    worker.start()
    deadline = time.monotonic() + 10
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert os.getpgid(int((tmp_path / "pid").read_text())) != os.getpgrp()
    worker.join(20)
    assert seen == ["done\n"]


def test_more_output_than_a_pipe_holds_is_read_whole(put: Put) -> None:
    put("flood", "head -c 3000000 /dev/zero | tr '\\0' x; head -c 3000000 /dev/zero | tr '\\0' y >&2")
    output = CommandRunner()(["flood"])
    assert (len(output.stdout), len(output.stderr)) == (3_000_000, 3_000_000)


# ---- trying again --------------------------------------------------------------------------------------------------


def test_pauses_grow_to_a_limit_and_differ_between_clients() -> None:
    pauses = list(backoff(first_s=1, most_s=8, tries=6))
    assert len(pauses) == 6
    for pause, middle in zip(pauses, (1, 2, 4, 8, 8, 8), strict=True):
        assert 0.75 * middle <= pause <= 1.25 * middle
    assert list(backoff(tries=6)) != list(backoff(tries=6))
