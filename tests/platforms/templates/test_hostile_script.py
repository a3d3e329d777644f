"""The job script, run by a real bash: whatever is in a job's words, the command gets it byte by byte."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from psij_parsl import Job
from psij_parsl.errors import InvalidRequest
from psij_parsl.jobs.elements import element_text
from psij_parsl.jobs.file_settings import FileSettings, JobPlace
from psij_parsl.jobs.job_environment import inherited as inherited_environment
from psij_parsl.jobs.job_files import SubmissionRequest, slug
from psij_parsl.jobs.job_folder import ExitFile, claimed_by
from psij_parsl.providers.local.template import LocalTemplate
from psij_parsl.system.id_ranges import format_ranges

# What a kernel can carry: anything but NUL. Odd characters are drawn much more often than letters.
TEXT = st.text(
    st.sampled_from("ab '\"\\$`;&|<>#%*?[]{}()~!,=-\n\r\t\x01\x7fé€\u2028")
    | st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
    max_size=30,
)
NAME = TEXT.filter(lambda text: text not in ("", ".", "..") and "/" not in text and len(os.fsencode(text)) < 200)
BYTES = st.binary(min_size=1, max_size=12).filter(lambda data: b"\0" not in data).map(os.fsdecode)

PROBE = 'printf "%s\\0" "$H" "$(pwd -P; echo .)" "$(readlink /proc/$$/fd/1; echo .)" "$@"'


@dataclass
class Ran:
    """A script that was run."""

    folder: Path
    code: int
    said: str

    @property
    def exit_file(self) -> ExitFile | None:
        return ExitFile.read(self.folder, "7")


def run(
    root: Path,
    job: Job,
    *,
    environ: Mapping[str, str] | None = None,
    extra: Mapping[str, str] | None = None,
    elements: Sequence[Job] = (),
    client: Mapping[str, str] | None = None,
    bash: Sequence[str] = ("bash",),
) -> Ran:
    """Render a job for the local platform, write its files, and run its script with bash alone.

    `client` is what a manager's client was given, where the node may set what it likes; `extra` what is there then.
    """
    folder = root / "folder"
    folder.mkdir()
    settings = FileSettings(
        template=LocalTemplate,
        launcher="fork",
        node_settings=() if client is None else ["*"],
        stopgaps=["TMPDIR=/tmp"],
    )
    place = JobPlace("j1", "psij:j1", folder)
    request = SubmissionRequest.make(
        settings, job, place, elements=elements, environ={} if environ is None else environ, client=client
    )
    script = request.write()
    ran = subprocess.run(
        [*bash, str(script)],
        env={"PATH": os.environ["PATH"], "PSIJ_LOCAL_JOB_ID": "7", **(extra or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    return Ran(folder, ran.returncode, ran.stderr.decode(errors="replace"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(arguments=st.lists(TEXT | BYTES, max_size=4), value=TEXT | BYTES, directory=NAME, output=NAME)
@example(arguments=["", "-n", "tail\\"], value="\n\n", directory="-", output="a\n")
@example(arguments=["\udcff"], value="\udcff", directory="~", output="$(id)")
def test_every_word_of_a_job_arrives_byte_by_byte(
    arguments: list[str], value: str, directory: str, output: str
) -> None:
    root = Path(os.path.realpath(tempfile.mkdtemp()))
    try:
        (root / directory / "in").mkdir(parents=True)
        stdout = root / directory / f"out{output}"
        job = Job(
            command=["bash", "-c", PROBE, "probe", *arguments],
            environment={"H": value},
            stdout=stdout,
            directory=root / directory / "in",
        )
        ran = run(root, job)
        assert (ran.code, ran.said) == (0, "")
        seen = [os.fsdecode(word) for word in stdout.read_bytes().split(b"\0")[:-1]]
        assert seen == [value, f"{job.directory}\n.", f"{stdout}\n.", *arguments]
        assert ran.exit_file is not None
        assert (ran.exit_file.native, ran.exit_file.code) == ("7", 0)
    finally:
        shutil.rmtree(root)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    words=st.lists(st.tuples(TEXT, TEXT, NAME), min_size=2, max_size=4, unique_by=lambda each: each[2]),
    chosen=st.integers(0, 3),
)
def test_every_word_of_an_array_element_arrives(words: list[tuple[str, str, str]], chosen: int) -> None:
    chosen %= len(words)
    root = Path(os.path.realpath(tempfile.mkdtemp()))
    try:
        jobs = []
        for argument, value, name in words:
            (root / "in" / name).mkdir(parents=True)
            jobs.append(
                Job(
                    command=["bash", "-c", PROBE, "probe", argument],
                    environment={"H": value},
                    directory=root / "in" / name,
                    stdout=root / f"out{name}",
                )
            )
        whole = Job(command=["true"], array=tuple(range(len(jobs))), directory=root)
        ran = run(root, whole, elements=jobs, extra={"PSIJ_LOCAL_ARRAY_INDEX": str(chosen)})
        assert (ran.code, ran.said) == (0, "")
        argument, value, name = words[chosen]
        seen = (root / f"out{name}").read_bytes().decode().split("\0")[:-1]
        assert seen == [value, f"{root}/in/{name}\n.", f"{root}/out{name}\n.", argument]
    finally:
        shutil.rmtree(root)


@given(array=st.sets(st.integers(0, 60), min_size=1))
def test_array_indices_say_each_index_once(array: set[int]) -> None:
    said: list[int] = []
    for span in format_ranges(sorted(array)).split(","):
        first, _, last = span.partition("-")
        said += range(int(first), int(last or first) + 1)
    assert said == sorted(array)


@given(name=TEXT)
def test_a_slug_is_plain_whatever_the_name(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,199}", slug(name))


def test_a_name_that_is_plain_already_stays() -> None:
    assert slug("parsl.htex-0_1") == "parsl.htex-0_1"


# ---- words that mean something to bash or to the script itself -----------------------------------------------------


@pytest.mark.parametrize("name", ["psij_folder", "psij_root", "psij_native", "psij_child", "psij_directory"])
def test_a_variable_of_the_scripts_own_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidRequest, match=name):
        Job(command=["true"], environment={name: "/tmp/elsewhere"})


@pytest.mark.parametrize("name", ["psij_folder", "psij_root", "psij_stdout"])
def test_a_variable_of_the_scripts_own_is_not_inherited(tmp_path: Path, name: str) -> None:
    job = Job(command=["sh", "-c", f'printf "%s" "${{{name}-none}}"'], directory=tmp_path)
    ran = run(tmp_path, job, environ={name: "/tmp/elsewhere"})
    assert (ran.code, (ran.folder / "stdout").read_text()) == (0, "none")
    assert ran.exit_file is not None


@pytest.mark.parametrize("name", ["PSIJ_JOB_ID", "PSIJ_NATIVE_ID", "PSIJ_NODEFILE", "PSIJ_ARRAY_INDEX"])
def test_a_variable_that_says_where_the_job_is_cannot_be_given(name: str) -> None:
    with pytest.raises(InvalidRequest, match=name):
        Job(command=["true"], environment={name: "other"})


def bash_variables() -> list[str]:
    """The variables to which this bash does not let an exported value come through."""
    known = subprocess.run(
        ["bash", "-c", "compgen -v; echo SECONDS RANDOM SRANDOM EPOCHSECONDS EPOCHREALTIME LINENO HISTCMD"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    ).stdout.split()
    kept = []
    for name in sorted(set(known) | {"BASHPID", "FUNCNAME", "OPTIND", "BASH_COMMAND", "BASH_SUBSHELL", "DIRSTACK"}):
        got = subprocess.run(
            ["bash", "-c", f"export {name}='a b'\nexec printenv {name}"],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"]},
        ).stdout
        if got != "a b\n" and name not in ("PATH", "_", "PWD", "OLDPWD", "SHLVL"):
            kept.append(name)
    return kept


def test_a_variable_that_bash_keeps_for_itself_is_refused_and_not_inherited() -> None:
    names = bash_variables()
    assert {"UID", "RANDOM", "SECONDS", "SHELLOPTS"} <= set(names)
    for name in names:
        with pytest.raises(InvalidRequest, match=f"{name}.*bash"):
            Job(command=["true"], environment={name: "5"})
        assert not inherited_environment((), {name: "5"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PATH", "/nowhere"),
        ("IFS", "7/psij"),
        ("POSIXLY_CORRECT", "1"),
        ("EXECIGNORE", "*"),
        ("LC_ALL", "xx_XX"),
        ("BASH_ENV", "/nowhere"),
        ("ENV", "/nowhere"),
        ("CDPATH", "/tmp"),
        ("GLOBIGNORE", "*"),
        ("PS4", "$(exit 9)"),
        ("BASH_COMPAT", "31"),
        ("TMPDIR", "/nowhere"),
        ("TMOUT", "1"),
        ("HOSTNAME", "x"),
    ],
)
def test_a_variable_that_steers_bash_reaches_the_command_and_not_the_script(
    tmp_path: Path, name: str, value: str
) -> None:
    ran = run(
        tmp_path, Job(command=[shutil.which("printenv") or "", name], environment={name: value}, directory=tmp_path)
    )
    assert (ran.folder / "stdout").read_text() == f"{value}\n"
    assert ran.code == 0
    assert ran.exit_file is not None
    assert (ran.exit_file.native, ran.exit_file.code) == ("7", 0)


def test_posix_mode_does_not_cost_the_reason_of_a_failed_start(tmp_path: Path) -> None:
    job = Job(command=["true"], stdin=tmp_path / "none", directory=tmp_path, environment={"POSIXLY_CORRECT": "1"})
    ran = run(tmp_path, job)
    assert ran.code == 125
    assert ran.exit_file is not None
    assert ran.exit_file.stage == "stdin"


def test_a_command_whose_name_begins_with_a_dash_is_a_command(tmp_path: Path) -> None:
    program = tmp_path / "-l"
    program.write_text("#!/bin/sh\necho ran $*\n")
    program.chmod(0o700)
    job = Job(command=["-l", "echo"], directory=tmp_path, environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    ran = run(tmp_path, job)
    assert (ran.code, (ran.folder / "stdout").read_text()) == (0, "ran echo\n")


def test_a_setup_that_changes_the_shell_leaves_the_record_of_the_end_alone(tmp_path: Path) -> None:
    setup = "set -e; IFS=/; PATH=/nowhere; unset HOME; exit() { :; }; cd /; trap 'false' EXIT"
    ran = run(tmp_path, Job(command=[shutil.which("sh") or "sh", "-c", "exit 5"], setup=setup, directory=tmp_path))
    assert ran.code == 5
    assert ran.exit_file is not None
    assert ran.exit_file.code == 5


def test_what_a_setup_prints_is_in_the_jobs_stderr_and_not_in_its_output(tmp_path: Path) -> None:
    setup = ["echo loaded", "no-such-module"]
    command = ["sh", "-c", "echo out; echo err >&2"]
    ran = run(tmp_path, Job(command=command, setup=setup, setup_may_fail=True, directory=tmp_path))
    assert (ran.code, (ran.folder / "stdout").read_text()) == (0, "out\n")
    first, *between, last = (ran.folder / "stderr").read_text().splitlines()
    assert (first, last) == ("loaded", "err")
    assert "no-such-module" in "".join(between)


# ---- the claim -----------------------------------------------------------------------------------------------------


def test_a_second_copy_of_a_submission_ends_at_its_claim(tmp_path: Path) -> None:
    job = Job(command=["sh", "-c", "echo ran >>runs"], directory=tmp_path)
    first = run(tmp_path, job)
    again = subprocess.run(
        ["bash", str(first.folder / "script.sh")],
        env={"PATH": os.environ["PATH"], "PSIJ_LOCAL_JOB_ID": "8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 125
    assert "second copy" in again.stderr
    assert (tmp_path / "runs").read_text() == "ran\n"
    assert claimed_by(first.folder) == "7"
    assert first.exit_file is not None  # of the first: the second has not touched it
    assert first.exit_file.native == "7"


def test_a_requeue_of_the_same_id_passes_its_own_claim(tmp_path: Path) -> None:
    first = run(tmp_path, Job(command=["sh", "-c", "echo ran >>runs"], directory=tmp_path))
    environment = {"PATH": os.environ["PATH"], "PSIJ_LOCAL_JOB_ID": "7", "PSIJ_LOCAL_ATTEMPT": "1"}
    subprocess.run(["bash", str(first.folder / "script.sh")], env=environment, check=True)
    assert (tmp_path / "runs").read_text() == "ran\nran\n"
    assert first.exit_file is not None
    assert first.exit_file.attempt == 1


@given(values=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3))
def test_the_words_of_elements_are_shell_that_a_shell_reads_back(values: list[tuple[str, str]]) -> None:
    jobs = [Job(command=["x", a], environment={"H": b}, directory=Path("/")) for a, b in values]
    text = element_text(range(len(jobs)), jobs)
    for argument, value in values:
        assert f"export H={shlex.quote(value)}\n" in text
        assert f"psij_command=(x {shlex.quote(argument)})" in text


@pytest.mark.parametrize("limit", range(4, 14))
def test_a_node_without_files_to_open_never_started_the_job(tmp_path: Path, limit: int) -> None:
    """With ten descriptors bash cannot make the pipe to the command: no signal has ended it."""
    (tmp_path / "work").mkdir()
    job = Job(command=["touch", "ran"], directory=tmp_path / "work")
    ran = run(tmp_path, job, bash=("bash", "-c", f'ulimit -n {limit}; exec bash "$0"'))
    if (tmp_path / "work" / "ran").exists():
        assert ran.code == 0
        return
    assert ran.code != 137
    assert ran.exit_file is None or ran.exit_file.stage != "command"


def test_ten_descriptors_are_too_few_and_the_exit_file_says_so(tmp_path: Path) -> None:
    ran = run(tmp_path, Job(command=["true"]), bash=("bash", "-c", 'ulimit -n 10; exec bash "$0"'))
    assert ran.exit_file is not None
    assert (ran.code, ran.exit_file.stage) == (125, "start")
