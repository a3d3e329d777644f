"""Odd names, paths and values on their way through a real Slurm."""

from __future__ import annotations

from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState
from psij_parsl.testing.tools import PATIENCE_S, shell
from tests.clusters.slurm import SlurmCluster

ODD = [
    "with blank",
    "it's",
    'say "x"',
    "$HOME",
    "a;b",
    "grün·日本",
    "back\\slash",
    "a%j",
    "#x",
    "-n",
    "tail ",
    "a\tb",
]
VALUES = [*ODD, "two\nlines", "", "=", "`id`", "$(id)", "!", "~", "\\", "'", "é" * 2000]


@pytest.fixture
def executor(slurm: SlurmCluster) -> BatchSchedulerExecutor:
    return BatchSchedulerExecutor("slurm", poll_s=0.4)


def test_odd_directories_and_files_are_the_jobs_own(executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
    jobs = []
    for number, name in enumerate(ODD):
        folder = tmp_path / f"{name}"
        folder.mkdir()
        (folder / f"in {name}").write_text(f"words {number}\n")
        jobs.append(
            shell(
                "cat; pwd; echo bad >&2",
                directory=folder,
                stdin=Path(f"in {name}"),
                stdout=Path(f"out {name}"),
                stderr=Path(f"err {name}"),
                name=name,
            )
        )
    made = executor.submit_many(jobs)
    assert executor.wait([job.id for job in made], PATIENCE_S)
    for number, (name, job) in enumerate(zip(ODD, made, strict=True)):
        assert job.result() == f"words {number}\n{tmp_path / name}\n"
        assert (tmp_path / name / f"err {name}").read_text() == "bad\n"


@pytest.mark.parametrize("name", ["a b'c;d$x", 'grün "日本" %j #'])
def test_a_state_directory_may_have_an_odd_name(
    slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    home = tmp_path / name / "state"
    monkeypatch.setenv("PSIJ_PARSL_HOME", str(home))
    executor = BatchSchedulerExecutor("slurm", poll_s=0.4)
    job = executor.submit(Job(command=["echo", "fine"]))
    assert job.result(PATIENCE_S) == "fine\n"
    assert job.folder.is_relative_to(home)
    assert (job.folder / "manager.log").exists()


def test_environment_values_arrive_unchanged(executor: BatchSchedulerExecutor) -> None:
    environment = {f"VALUE_{number}": value for number, value in enumerate(VALUES)}
    job = executor.submit(Job(command=["env", "-0"], environment=environment))
    told = dict(line.partition("=")[::2] for line in job.result(PATIENCE_S).split("\0"))
    assert {name: told.get(name) for name in environment} == environment


def test_a_submitting_environment_that_is_odd_arrives_unchanged(
    executor: BatchSchedulerExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {f"VALUE_{number}": value for number, value in enumerate(VALUES)}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    job = executor.submit(Job(command=["env", "-0"]))
    told = dict(line.partition("=")[::2] for line in job.result(PATIENCE_S).split("\0"))
    assert {name: told.get(name) for name in environment} == environment


@pytest.mark.parametrize("name", ["x" * 300, "日本 job; $(id) 'x'", "-J", "\n"])
def test_slurm_gets_a_plain_name_and_people_see_their_own(
    executor: BatchSchedulerExecutor, slurm: SlurmCluster, name: str
) -> None:
    job = executor.submit(Job(command=["true"], name=name, hold=True))
    assert executor.submission(job.id).name == name
    native = slurm.run("squeue", "-h", "-j", job.native_id, "-O", "Name:400").strip()
    assert native.isascii()
    assert " " not in native
    assert native.startswith("x" * 200 if name[0] == "x" else ("job", "J"))
    job.cancel()


def test_an_output_file_that_cannot_be_written_is_named(executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    good = executor.submit(Job(command=["true"], stdout=tmp_path / "out", stderr=tmp_path / "folder"))
    status = good.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LAUNCH_FAILED)
    assert "error file" in status.message
    assert not (tmp_path / "out").read_text()


def test_look_alikes_of_directives_are_only_words(executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text('#!/bin/bash\n#SBATCH --partition=nope\n#SBATCH --array=0-9\necho fine "$@"\n')
    script.chmod(0o755)
    job = Job(
        command=[str(script), "#SBATCH --nodes=99", "\n#SBATCH --nodes=99\n"],
        setup="#SBATCH --hold\n#SBATCH -p no",
        environment={"X": "\n#SBATCH --nodes=99\n"},
        directory=tmp_path,
        name="\n#SBATCH --nodes=99\n",
        stdout=Path("#SBATCH --hold"),
    )
    made = executor.submit(job)
    assert made.result(PATIENCE_S) == "fine #SBATCH --nodes=99 \n#SBATCH --nodes=99\n\n"
    assert (tmp_path / "#SBATCH --hold").exists()
