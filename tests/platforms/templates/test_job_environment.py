"""What a job finds: the node's own settings, its setup, the user's umask. Each by a real bash that runs the script."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from psij_parsl import Job
from psij_parsl.jobs.job_folder import ExitFile
from psij_parsl.jobs.verdict import _by_script, _from_exit_file
from psij_parsl.states import EndReason, JobState, JobStatus
from psij_parsl.testing.tools import comes_true
from tests.platforms.templates.test_hostile_script import Ran, run

ODD = 'it\'s "odd"\n$(touch /nowhere) \\ é\n'


def seen(ran: Ran) -> dict[str, str]:
    """The environment that the job's command printed with `env -0`."""
    pairs = (ran.folder / "stdout").read_text().rstrip("\0").split("\0")
    return dict(pair.split("=", 1) for pair in pairs)


def environment(tmp_path: Path, job: Mapping[str, str], **given: Mapping[str, str] | None) -> dict[str, str]:
    ran = run(tmp_path, Job(command=["env", "-0"], environment=job, directory=tmp_path), **given)  # type: ignore[arg-type]  # its words are run's
    assert ran.code == 0, ran.said
    return seen(ran)


# ---- what the node has set ------------------------------------------------------------------------------------------


def test_what_the_node_has_set_wins_over_the_submitting_shell_and_what_is_said_over_both(tmp_path: Path) -> None:
    found = environment(
        tmp_path,
        {"SAID": "by me"},
        environ={"TMPDIR": "/home/me/tmp", "SITE": "login", "SAID": "shell", "MINE": "1", "SAME": "shell"},
        client={"TMPDIR": "/home/me/tmp", "SAME": "given"},
        extra={"TMPDIR": "/scratch/7", "SITE": ODD, "SAID": "node", "SAME": "given", "DEVICE": ""},
    )
    assert found["TMPDIR"] == "/scratch/7"
    assert found["SITE"] == ODD
    assert found["SAID"] == "by me"
    assert (found["MINE"], found["DEVICE"]) == ("1", "")
    assert found["SAME"] == "shell"  # handed on by the client, and nobody on the node has touched it


@pytest.mark.parametrize(
    "name", ["LD_LIBRARY_PATH", "MODULEPATH", "LMOD_CMD", "CONDA_PREFIX", "LANG", "HOME", "OMP_NUM_THREADS"]
)
def test_what_was_chosen_at_the_prompt_is_never_the_nodes(name: str, tmp_path: Path) -> None:
    found = environment(tmp_path, {}, environ={name: "mine"}, client={}, extra={name: "the node's"})
    assert found[name] == "mine"


def test_path_is_never_the_nodes(tmp_path: Path) -> None:
    mine = f"{tmp_path}:{os.environ['PATH']}"
    assert environment(tmp_path, {}, environ={"PATH": mine}, client={"PATH": "/bin"})["PATH"] == mine


@pytest.mark.parametrize("given", [{}, {"TMPDIR": "/home/me/tmp"}])
def test_a_stopgap_is_no_wish(given: Mapping[str, str], tmp_path: Path) -> None:
    found = environment(tmp_path, {}, environ={"TMPDIR": "/home/me/tmp"}, client=given, extra={"TMPDIR": "/tmp"})
    assert found["TMPDIR"] == "/home/me/tmp"


def test_hundreds_of_odd_values_are_told_apart(tmp_path: Path) -> None:
    same = {f"SAME{n}": f"{ODD}{n}" for n in range(150)}
    new = {f"NEW{n}": f"{ODD}{n}" for n in range(150)}
    found = environment(
        tmp_path, {}, environ=dict.fromkeys([*same, *new], "shell"), client=same, extra={**same, **new}
    )
    assert {name: found[name] for name in new} == new
    assert {found[name] for name in same} == {"shell"}


def test_without_the_submitting_environment_the_nodes_stays(tmp_path: Path) -> None:
    job = Job(command=["env", "-0"], inherit_environment=False, directory=tmp_path)
    found = seen(run(tmp_path, job, environ={"A": "1"}, client={}, extra={"SITE": "node"}))
    assert found["SITE"] == "node"
    assert "A" not in found


def test_what_is_the_clients_alone_is_not_the_jobs(tmp_path: Path) -> None:
    found = environment(tmp_path, {}, environ={}, client={"LC_ALL": "C.UTF-8"}, extra={"LC_ALL": "C.UTF-8"})
    assert "LC_ALL" not in found


def test_an_option_that_a_profile_left_on_does_not_end_the_script(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    profile.write_text("set -eu -o noclobber -o pipefail\n")
    (tmp_path / "out").write_text("old\n")
    job = Job(command=["echo", "new"], stdout=tmp_path / "out", directory=tmp_path)
    ran = run(tmp_path, job, extra={"BASH_ENV": str(profile)})
    assert (ran.code, (tmp_path / "out").read_text()) == (0, "new\n"), ran.said


# ---- the setup ------------------------------------------------------------------------------------------------------

#: The setup, and what is told of it; "" where the command is started.
SETUPS: Mapping[str, tuple[Sequence[str], str]] = {
    "one that succeeds": (["export A=1"], ""),
    "a failure": (["true", "(exit 3)", "touch later"], "(exit 3) (exit code 3)"),
    "a failure before its last command": (["false\ntrue"], ""),  # as at the prompt: never `set -e`
    "a command that is not there": (["no-such-command"], "no-such-command (exit code 127)"),
    "exit 0": (["exit 0"], "exit 0 (it ended the shell, or became another program)"),
    "exit 9": (["true", "exit 9"], "exit 9 (it ended the shell, or became another program)"),
    "return": (["return 0"], "return 0 (it ended the shell, or became another program)"),
    "a syntax error": (["if true; then"], "if true; then (exit code"),
    "an open quote": (["echo 'open"], "echo 'open (exit code"),
    "another program": (["exec true"], "exec true (it ended the shell, or became another program)"),
    "output sent elsewhere": (["exec >log 2>&1 </dev/null"], ""),
    "output closed": (["exec >&- 2>&- <&-"], ""),
    "set -u": (["set -u"], ""),
    "set -u and a variable that is not there": (["set -u", 'echo "$no_such"'], 'echo "$no_such" ('),
    "set -e": (["set -e"], ""),
    "set -e and a failure": (["set -e", "false\ntouch later"], "false touch later ("),
    "set -e from a file that fails": (["set -e; false; true"], "set -e; false; true ("),
    "options of the shell": (["set -fCxv; shopt -s nullglob failglob extglob expand_aliases"], ""),
    "posix mode": (["set -o posix"], ""),
    "posix mode and a syntax error": (["set -o posix", "("], "( ("),
    "commands switched off": (["set -n"], "set -n ("),
    "IFS": (["IFS=/e", "IFS=1"], ""),
    "a PATH that leads nowhere": (["hash true; PATH=/nowhere"], ""),
    "no PATH": (["unset PATH"], ""),
    "a loop's words": (["break", "continue"], ""),
    "input that it waits for": (["read -r line"], "read -r line (exit code 1)"),
    "a trap": (["trap 'touch trapped; exit 7' EXIT ERR"], ""),
    "a trap that ends the shell": (["trap 'exit 7' DEBUG"], "trap 'exit 7' DEBUG (it ended the shell"),
    "a trap and a failure": (["trap 'builtin exit 0' EXIT", "false"], "false (exit code 1)"),
    "an exit that is none": (["exit() { :; }; echo() { :; }", "false"], "false (exit code 1)"),
    "a program last in a list": (["true; cat /dev/null", "true && cat /dev/null"], ""),
    "a program that fails last in a list": (["true; ls nowhere"], "true; ls nowhere (exit code 2)"),
    "other arguments": (["set -- false", "shift; shift 2>/dev/null; true"], ""),
    "no arguments": (["set --"], ""),
    "arguments that it has not": (['[ "$#" = 0 ]'], ""),
    "a file that reads its arguments": (["echo 'while [ $# -gt 0 ]; do shift; done' >file", ". ./file"], ""),
    "a comment": (["true # done"], ""),
    "a document": (["cat >document <<E\nit's $HOME\nE"], ""),
    "a long text": (["false # " + "x" * 300], "..."),
}


@pytest.mark.parametrize("case", SETUPS)
def test_each_setup_has_its_outcome_and_none_costs_the_exit_file(case: str, tmp_path: Path) -> None:
    setup, told = SETUPS[case]
    program, text = shutil.which("bash") or "", 'read -r line; echo "ran $line $1"'
    stdin = tmp_path / "in"
    stdin.write_text("input\n")
    job = Job(command=[program, "-c", text, "it", "a  b"], setup=setup, stdin=stdin, directory=tmp_path)
    ran = run(tmp_path, job)
    end = ran.exit_file
    assert end is not None, ran.said
    assert not (tmp_path / "later").exists()
    output = (ran.folder / "stdout").read_text()
    if told:
        assert (end.code, end.stage, ran.code, output) == (125, "setup", 125, "")
        assert told in end.detail
    else:
        assert (end.code, end.stage, ran.code, output) == (0, "command", 0, "ran input a  b\n")
        assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("text", ["(exit 3)", "if", "no-such-command"])
def test_a_setup_that_may_fail_is_told_of_and_the_command_is_started(text: str, tmp_path: Path) -> None:
    ran = run(tmp_path, Job(command=["echo", "ran"], setup=[text], setup_may_fail=True, directory=tmp_path))
    assert (ran.code, (ran.folder / "stdout").read_text()) == (0, "ran\n")
    assert "psij: failed with exit code" in (ran.folder / "stderr").read_text()


def test_a_setup_that_may_fail_may_not_end_the_shell(tmp_path: Path) -> None:
    ran = run(tmp_path, Job(command=["echo", "ran"], setup=["exit 0"], setup_may_fail=True, directory=tmp_path))
    assert ran.exit_file is not None
    assert (ran.code, ran.exit_file.stage) == (125, "setup")


def test_what_a_setup_changes_holds_for_the_next_one_and_for_the_command(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    setup = ["cd there", "declare -x A=1; umask 027", "f() { export B=$A; }", "f"]
    ran = run(tmp_path, Job(command=["bash", "-c", "pwd -P; echo $A $B; umask"], setup=setup, directory=tmp_path))
    assert (ran.folder / "stdout").read_text() == f"{tmp_path.resolve()}/there\n1 1\n0027\n"


def test_the_command_ignores_no_signal_that_a_setup_did(tmp_path: Path) -> None:
    setup = ["trap '' TERM PIPE ALRM; trap 'touch trapped' USR1 CHLD"]
    ran = run(
        tmp_path, Job(command=["bash", "-c", "trap -p TERM PIPE ALRM USR1 CHLD"], setup=setup, directory=tmp_path)
    )
    assert (ran.code, (ran.folder / "stdout").read_text(), (ran.folder / "stderr").read_text()) == (0, "", "")


def test_one_text_is_one_setup_whatever_it_holds() -> None:
    assert Job(command=["x"], setup="a\nb").setup == ("a\nb",)
    assert Job(command=["x"], setup=["a", "", "b"]).setup == ("a", "b")
    assert Job(command=["x"]).setup == Job(command=["x"], setup="").setup == ()
    job = Job(command=["x"], setup=["a", "b"], setup_may_fail=True)
    assert Job.from_dict(job.to_dict()) == job
    assert Job.from_dict({**job.to_dict(), "setup": "of an earlier version"}).setup == ("of an earlier version",)


def test_a_signal_that_ends_a_job_in_its_setup_is_no_failure_of_the_setup(tmp_path: Path) -> None:
    setup = ["kill -TERM $BASHPID; sleep 60"]
    ran = run(tmp_path, Job(command=["true"], setup=setup, directory=tmp_path))
    assert ran.exit_file is not None
    assert (ran.exit_file.code, ran.exit_file.stage) == (143, "command")


def test_a_term_for_the_script_alone_can_be_handed_on_to_the_command(tmp_path: Path) -> None:
    """As a platform's template does it whose manager signals no other process."""
    job = Job(command=["bash", "-c", "[ -e wait ] || exit 0; touch ready; sleep 60"], directory=tmp_path)
    script = run(tmp_path, job).folder / "script.sh"
    nodes, on_term = "psij_nodes() {\n", "psij_on_term='trap : TERM INT; kill -s TERM 0'\n"
    assert nodes in script.read_text()
    script.write_text(script.read_text().replace(nodes, nodes + on_term))
    (tmp_path / "wait").touch()
    process = subprocess.Popen(
        ["bash", str(script)], env={"PATH": os.environ["PATH"], "PSIJ_LOCAL_JOB_ID": "7"}, start_new_session=True
    )
    comes_true((tmp_path / "ready").exists)
    process.terminate()
    assert process.wait(300) == 143
    end = ExitFile.read(script.parent, "7")
    assert end is not None
    assert (end.code, end.stage) == (143, "command")


def test_an_earlier_attempts_setup_is_forgotten(tmp_path: Path) -> None:
    job = Job(command=["true"], setup=["test -e ready"], directory=tmp_path)
    ran = run(tmp_path, job)
    assert ran.code == 125
    (tmp_path / "ready").touch()
    again = subprocess.run(
        ["bash", str(ran.folder / "script.sh")],
        env={"PATH": os.environ["PATH"], "PSIJ_LOCAL_JOB_ID": "7"},
        check=False,
    )
    assert again.returncode == 0
    assert ran.exit_file is not None
    assert (ran.exit_file.stage, ran.exit_file.detail) == ("command", "")


def test_a_failed_setup_is_a_failed_launch_that_names_it(tmp_path: Path) -> None:
    ran = run(tmp_path, Job(command=["true"], setup=["module_load_x"], directory=tmp_path))
    end = ExitFile.read(ran.folder, "7")
    assert end is not None
    message = "its setup failed: module_load_x (exit code 127)"
    by_manager = _by_script(JobStatus(JobState.FAILED, exit_code=125), end)
    for status in (by_manager, _from_exit_file(end)):
        assert (status.state, status.reason, status.message) == (JobState.FAILED, EndReason.LAUNCH_FAILED, message)


# ---- the user's umask -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_files_that_the_user_names_are_made_by_the_users_umask(mask: int, tmp_path: Path) -> None:
    old = os.umask(mask)
    try:
        command = ["bash", "-c", "touch made; umask"]
        job = Job(command=command, stdout=tmp_path / "out", stderr=tmp_path / "err", directory=tmp_path)
        ran = run(tmp_path, job)
    finally:
        os.umask(old)
    assert (tmp_path / "out").read_text() == f"{mask:04o}\n"
    for name in ("out", "err", "made"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((ran.folder / "exit").stat().st_mode) == 0o600


def test_output_in_the_jobs_own_folder_is_private(tmp_path: Path) -> None:
    ran = run(tmp_path, Job(command=["true"], directory=tmp_path))
    for name in ("stdout", "stderr"):
        assert stat.S_IMODE((ran.folder / name).stat().st_mode) == 0o600
