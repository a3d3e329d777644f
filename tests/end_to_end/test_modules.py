"""`module` and `conda` in setups and job scripts, as at the prompt: real module systems, on this host and on Slurm."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.helpers import psij
from tests.clusters.modules import ModuleSystem
from tests.clusters.slurm import SlurmCluster
from tests.end_to_end import module_files as modules

pytestmark = [pytest.mark.usefixtures("here"), pytest.mark.slow]


@pytest.fixture
def init(module_command: ModuleSystem) -> Path:
    """The init file of a real module system."""
    return module_command.init


@pytest.fixture
def at_prompt(init: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a shell that has that module system hands on; the module files are in the folder that is returned."""
    folder = tmp_path / "modules"
    modules.modulefile(folder, "one")
    modules.modulefile(folder, "two")
    for name, value in modules.prompt(init, folder / "files").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("BASH_ENV", raising=False)  # not every site has it
    return folder


@pytest.fixture(params=["local", pytest.param("slurm", marks=pytest.mark.cluster)])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The platform of the test's jobs."""
    if request.param == "slurm":
        cluster: SlurmCluster = request.getfixturevalue("slurm_plain")
        for name, value in cluster.env.items():
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("PSIJ_RUN_PLATFORM", request.param)
    return str(request.param)


def ran(*words: str, **environ: str) -> str:
    done = psij("run", *words, **environ)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def test_a_setup_loads_modules(at_prompt: Path, place: str) -> None:
    told = ran(
        "--setup",
        "module load one",
        "--setup",
        "module load two",
        "--",
        "sh",
        "-c",
        "tool-of-one; tool-of-two; echo $LOADED_ONE $LOADED_TWO",
    )
    assert told == "the tool of one\nthe tool of two\nyes yes\n"


@pytest.mark.parametrize("shebang", ["#!/bin/bash", "#!/usr/bin/env bash"])
def test_a_job_script_loads_modules(shebang: str, at_prompt: Path, place: str, tmp_path: Path) -> None:
    (tmp_path / "job.sh").write_text(f"{shebang}\n#PSIJ -t 5\nmodule load one && tool-of-one\necho $LOADED_ONE\n")
    assert ran("job.sh") == "the tool of one\nyes\n"


def test_a_program_that_is_a_script_loads_modules(at_prompt: Path, place: str, tmp_path: Path) -> None:
    (tmp_path / "program").write_text("#!/bin/bash\nmodule load one && tool-of-one\n")
    (tmp_path / "program").chmod(0o755)
    assert ran("--", "./program") == "the tool of one\n"


def test_what_was_loaded_at_the_prompt_stays_loaded(
    init: Path, at_prompt: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '. "$0" && module load one && env -0'
    done = subprocess.run(["bash", "-c", text, str(init)], capture_output=True, text=True, check=True, timeout=300)
    for pair in done.stdout.rstrip("\0").split("\0"):
        monkeypatch.setenv(*pair.split("=", 1))
    script = "tool-of-one; module list 2>&1 | grep -c one; module unload one; echo left=$LOADED_ONE"
    assert ran("--setup", "true", "--", "bash", "-c", script) == "the tool of one\n1\nleft=\n"


def test_a_module_that_there_is_not_ends_the_job(at_prompt: Path, place: str) -> None:
    done = psij("run", "--setup", "module load no-such-module", "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (125, "")
    assert "its setup failed: module load no-such-module (exit code 1)" in done.stderr
    done = psij("run", "--setup-may-fail", "--setup", "module load no-such-module", "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (0, "ran\n")


def test_a_module_function_that_is_there_is_left_alone(at_prompt: Path, tmp_path: Path) -> None:
    from psij_parsl import Job
    from tests.platforms.templates.test_hostile_script import run

    own = {"BASH_FUNC_module%%": '() { echo "our own $*"; }'}
    job = Job(command=["true"], setup=["module load x"], directory=tmp_path)
    done = run(tmp_path, job, environ=dict(os.environ), extra=own)
    assert (done.code, (done.folder / "stderr").read_text()) == (0, "our own load x\n")


def test_conda_activates_in_setups_and_scripts(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in modules.conda(tmp_path / "conda").items():
        monkeypatch.setenv(name, value)
    assert ran("--setup", "conda activate base", "--", "sh", "-c", "echo $CONDA_DEFAULT_ENV") == "base\n"
    (tmp_path / "job.sh").write_text("#!/bin/bash\n#PSIJ -t 5\nconda activate mine\necho $CONDA_DEFAULT_ENV\n")
    assert ran("job.sh") == "mine\n"


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {
            "LMOD_PKG": "/nowhere",
            "MODULESHOME": "/nowhere",
            "CONDA_EXE": "/nowhere/bin/conda",
            "MODULES_CMD": "/nowhere",
        },
        {"LMOD_PKG": "", "MODULESHOME": "", "CONDA_EXE": "conda", "LMOD_CMD": "lmod"},
    ],
)
def test_without_any_of_them_jobs_run_as_ever(variables: Mapping[str, str]) -> None:
    told = ran("--platform", "local", "--setup", "export A=1", "--", "bash", "-c", "echo $A", **variables)
    assert told == "1\n"


@pytest.mark.parametrize(
    "text",
    [
        "exit 0",
        "set -eu\necho $no_such_variable",
        "exec true",
        "return 3",
        "syntax ( error",
        "false",
        "sleep 0 <&0; cat",
    ],
)
def test_an_init_file_that_is_broken_has_an_outcome_too(text: str, tmp_path: Path) -> None:
    """It may end the job before its command, which is told; it never costs the exit file."""
    (tmp_path / "home" / "init").mkdir(parents=True)
    (tmp_path / "home" / "init" / "bash").write_text(f"{text}\n")
    done = psij(
        "run", "--platform", "local", "--setup", "true", "--", "echo", "ran", MODULESHOME=str(tmp_path / "home")
    )
    if text.startswith(("exit", "set", "exec")):
        assert (done.returncode, done.stdout) == (125, "")
        assert "its setup failed: the shell functions that $LMOD_PKG" in done.stderr
    else:
        assert (done.returncode, done.stdout) == (0, "ran\n")


def test_a_home_that_cannot_be_written_and_another_login_shell_do_not_matter(at_prompt: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    for name in (".bashrc", ".profile", ".bash_profile", ".login", ".cshrc"):
        (home / name).write_text("echo read >&2; exit 9\n")
    told = ran(
        "--platform",
        "local",
        "--setup",
        "module load one",
        "--",
        "tool-of-one",
        HOME=str(home),
        SHELL="/bin/tcsh",
        PSIJ_PARSL_HOME=str(tmp_path / "state"),
    )
    assert told == "the tool of one\n"
