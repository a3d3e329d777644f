"""Descriptions of jobs for HTCondor, in place of scripts: what runs of them on this host, and what HTCondor is asked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from psij_parsl.testing.tools import PATIENCE_S
from tests.cli.helpers import COMMAND, one_sentence_and_a_hint, psij_here

PROGRAM = '#!/bin/sh\necho "$(basename "$PWD") [$*] $MODE"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where people have their programs; the directory that we are in."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("run.sh").write_text(PROGRAM)
    os.chmod("run.sh", 0o755)
    return tmp_path / "here"


def described(text: str) -> str:
    Path("job.sub").write_text(text)
    return "job.sub"


PLAIN = """# A job
universe = vanilla
Executable = run.sh
arguments = "a 'b  c' ""d"\"\"
environment = "MODE='fast run'"
request_cpus = 1
request_memory = 100MB
request_disk = 1GB
notification = never
output = out.$(Cluster).$(Process)
error = err.$(ClusterId)
log = job.log
queue
"""


def test_a_plain_one_runs_its_program_with_what_it_says(folder: Path) -> None:
    done = psij_here("run", "--platform", "local", described(PLAIN))
    assert done.returncode == 0, done.stderr
    assert done.stdout == 'here [a b  c "d"] fast run\n'
    (output,) = folder.glob("out.*.0")
    assert output.read_text() == done.stdout
    assert (folder / f"err.{output.suffixes[0][1:]}").exists()
    assert done.stderr == (
        "psij-run: job.sub: left out on local: line 8 request_disk=1GB, line 9 notification=never\n"
    )


EACH = """executable = run.sh
arguments = $(name) $Fn(file) $(Process)
environment = "MODE=$(name)"
initialdir = run_$(Process)
output = out.txt
queue name, file from (
  ann d/a.dat
  # nobody
  bob, b.dat
)
"""


def test_each_of_several_jobs_runs_what_it_says_of_that_one(folder: Path) -> None:
    for index in range(2):
        (folder / f"run_{index}").mkdir()
    done = psij_here("run", "--platform", "local", described(EACH))
    assert done.returncode == 0, done.stderr
    wanted = {0: "run_0 [ann a 0] ann\n", 1: "run_1 [bob b 1] bob\n"}
    assert {index: (folder / f"run_{index}" / "out.txt").read_text() for index in wanted} == wanted
    assert {*done.stdout.splitlines(keepends=True)} == {f"[{index}] {text}" for index, text in wanted.items()}


def test_its_jobs_are_one_array_of_which_typed_flags_change_what_they_say(folder: Path) -> None:
    path = described("executable = run.sh\narguments = $(x)\noutput = $(x).txt\nqueue 1 x in a, b c\n")
    done = psij_here("run", "--platform", "local", "--array", "0,2", "-o", "typed", "--env", "MODE=m", path)
    assert done.returncode == 0, done.stderr
    assert {file.name: file.read_text() for file in folder.glob("typed*")} == {
        "typed.0": "here [a] m\n",
        "typed.2": "here [c] m\n",
    }
    done = psij_here("submit", "--platform", "local", "--array", "2-3", path)
    assert done.returncode == 2
    assert "job.sub makes no job with the index 3" in one_sentence_and_a_hint(done)[0]


def test_what_failed_of_it_is_submitted_again_alone(folder: Path) -> None:
    Path("run.sh").write_text('#!/bin/sh\necho "$1" >>log\n[ "$1" != b ] || [ -e mended ]\n')
    path = described("executable = run.sh\narguments = $(x)\nqueue x in (a b c)\n")
    done = psij_here("submit", "--platform", "local", "--wait", path)
    assert done.returncode == 1
    Path("mended").touch()
    Path("log").unlink()
    again = psij_here("resubmit", "--failed", done.stdout.strip())
    assert psij_here("wait", again.stdout.strip()).returncode == 0
    assert Path("log").read_text() == "b\n"


@pytest.mark.parametrize("text", [PLAIN, EACH])
def test_the_script_that_import_makes_of_it_does_the_same(text: str, folder: Path) -> None:
    for index in range(2):
        (folder / f"run_{index}").mkdir()
    done = psij_here("import", described(text))
    Path("job.sh").write_text(done.stdout.replace("#PSIJ -X request_disk=1024M\n", ""))  # HTCondor's alone
    runs = [psij_here("run", "--platform", "local", name) for name in ("job.sub", "job.sh")]
    assert [run.returncode for run in runs] == [0, 0]
    if text == PLAIN:
        assert runs[0].stdout == runs[1].stdout != ""
        assert "# not carried over: notification=never\n" in done.stdout
        assert "job.sub, line 9: notification=never is not carried over" in done.stderr
    else:
        assert (folder / "run_1" / "out.txt").read_text() == "run_1 [bob b 1] bob\n"


def test_on_htcondor_its_words_stay_but_for_what_a_job_of_ours_says_itself(folder: Path) -> None:
    own = """Executable = run.sh
arguments = $(Process)
Request_Memory = 2 * 1024
rank = Memory
+ProjectName = "lab"
N = 3
periodic_remove = (time() - QDate) > 60 * $(N)
requirements = (OpSys == "LINUX") && \\
               Memory > 10
should_transfer_files = if_needed
when_to_transfer_output = ON_EXIT
transfer_input_files = a.dat, ./b.dat
getenv = True
allowed_execute_duration = 4 * 3600
batch_name = mine
queue $(N)
"""

    def lines(*typed: str) -> list[str]:
        done = psij_here("render", "--platform", "htcondor", *typed, described(own))
        assert done.returncode == 0, done.stderr
        mark = "#HTCONDOR "
        found = [line.removeprefix(mark) for line in done.stdout.splitlines() if line.startswith(mark)]
        return [line for line in found if not line.startswith(("output", "error", "environment", "batch_name"))]

    ours = ["should_transfer_files = IF_NEEDED", 'transfer_output_files = ""', "queue index in 0,1,2"]
    kept = [
        "rank = Memory",
        '+ProjectName = "lab"',
        "periodic_remove = (time() - QDate) > 60 * 3",
        'requirements = (OpSys == "LINUX") && Memory > 10',
        "allowed_execute_duration = 4 * 3600",
    ]
    assert lines() == ["Request_Memory = 2 * 1024", *kept, "description = mine", *ours]
    assert lines("--mem", "1G", "-c", "2", "-J", "other") == [
        *kept[:-1],
        "description = other",
        "request_cpus = 2",
        "request_memory = 1024",
        "allowed_job_duration = 14400",
        *ours,
    ]


def test_on_another_manager_it_is_translated(folder: Path) -> None:
    text = (
        "executable = run.sh\nrequest_cpus = 4\nrequest_memory = 2GB\nrequest_gpus = 1\n+MaxRuntime = 7200\nqueue 5\n"
    )
    done = psij_here("render", "--platform", "slurm", described(text))
    asked = {line.removeprefix("#SBATCH ") for line in done.stdout.splitlines()}
    assert {"--cpus-per-task=4", "--mem=2048M", "--gpus-per-node=1", "--time=02:00:00", "--array=0-4"} <= asked


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        ("if true\nrequest_cpus = 2\nendif", ["line 2: if true (psij-run reads neither", "line 4: endif (psij-run"]),
        ("include : other.sub", ["line 2: include other.sub (psij-run reads neither"]),
        ("universe = docker", ["line 2: universe=docker asks for the universe docker"]),
        ("docker_image = lab/x:1", ["line 2: docker_image=lab/x:1 (the command itself can start a container)"]),
        ("transfer_input_files = ../a", ["line 2: transfer_input_files=../a has files copied to where others stand"]),
        ("arguments = $(N)", ["line 2: arguments=$(N) has the macro $(n), of which no value is known"]),
        ("arguments = -j $(Cluster)", ["line 2: arguments=-j $(Cluster) has the number of the cluster"]),
        ("request_cpus = $(Process)", ["line 2: request_cpus = $(Process) has a macro, whose value is another"]),
        ("queue 2\narguments = x", ["line 2: queue 2 is one of several", "line 4: queue 3 is one of several"]),
    ],
)
@pytest.mark.parametrize("manager", ["htcondor", "local"])
def test_what_cannot_be_carried_is_refused_by_line_and_word(
    manager: str, lines: str, refused: list[str], folder: Path
) -> None:
    done = psij_here("submit", "--platform", manager, described(f"executable = run.sh\n{lines}\nqueue 3\n"))
    assert done.returncode == 2
    said = one_sentence_and_a_hint(done)[0]
    assert all(text in said for text in refused), said


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("executable = nosuch\nqueue\n", [], "line 1 executable=nosuch: there is no program"),
        ("executable = data\nqueue\n", [], "line 1 executable=data: {here}/data is not executable"),
        ("request_cpus = 2\nqueue 3\n", [], "is a description for condor_submit that names no program"),
        (
            "executable = run.sh\nqueue\n",
            ["extra"],
            "says the arguments of its program itself, and 'extra' is another one",
        ),
        (PLAIN, ["--ignore-directives"], "is a description for condor_submit, and no program"),
        (f"{PLAIN}max_idle = 3\n", [], "line 14: max_idle = 3 stands below the last queue"),
    ],
)
def test_one_that_cannot_run_says_why(text: str, words: list[str], said: str, folder: Path) -> None:
    Path("data").write_text("1 2 3\n")
    before = [word for word in words if word.startswith("-")]
    after = [word for word in words if word not in before]
    done = psij_here("submit", "--platform", "local", *before, described(text), *after)
    assert done.returncode == 2
    assert said.format(here=folder) in " ".join(one_sentence_and_a_hint(done)[0].split("; "))


def test_it_may_stand_on_stdin(folder: Path) -> None:
    text = "executable = run.sh\narguments = 1\nqueue\n"
    command = [*COMMAND, "run", "--platform", "local", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.stdout == "here [1] \n"


@pytest.mark.parametrize("text", ["executable=3\necho hi\n", "error=1\necho hi; exit\n", "x = 3\n"])
def test_other_files_are_no_descriptions(text: str, folder: Path) -> None:
    Path("job.sub").write_text(text)
    done = psij_here("submit", "--platform", "local", "./job.sub")
    assert done.returncode == 2
    assert "job.sub is not executable" in one_sentence_and_a_hint(done)[0]


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("should_transfer_files = YES\n", "should_transfer_files"),
        ("transfer_input_files = a, ./b\n", "transfer_input_files"),
        ("should_transfer_files = NO\n", ""),
        ("", ""),
    ],
)
def test_one_that_has_files_copied_is_told_that_it_starts_where_they_are(
    lines: str, named: str, folder: Path
) -> None:
    done = psij_here("render", "--platform", "local", described(f"executable = run.sh\n{lines}queue\n"))
    assert done.returncode == 0
    assert (f"where nothing is copied ({named}), not in a scratch directory" in done.stderr) == bool(named)
