"""The submit command that is started early: it gets the whole script, which is kept while the manager works on it."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, Job

STAND_IN = """#!/bin/sh
case $* in
*script.sh) for script; do :; done; cp "$script" "$0.got" ;;
*) cat >"$0.got" ;;
esac
echo "$*" >>"$0.calls"
echo 7
"""


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    command = tmp_path / "bin" / "sbatch"
    command.parent.mkdir()
    command.write_text(STAND_IN)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    return command


@pytest.fixture
def executor(tmp_path: Path, sbatch: Path) -> BatchSchedulerExecutor:
    return BatchSchedulerExecutor("slurm", home=tmp_path / "home")


def test_what_the_manager_was_given_is_what_is_kept(executor: BatchSchedulerExecutor, sbatch: Path) -> None:
    submission = executor.submit(["true"])
    script = submission.folder / "script.sh"
    assert script.read_text() == Path(f"{sbatch}.got").read_text()
    assert stat.S_IMODE(script.stat().st_mode) == 0o600
    assert "script.sh" not in Path(f"{sbatch}.calls").read_text()


def test_a_script_that_no_pipe_holds_is_a_file_first(executor: BatchSchedulerExecutor, sbatch: Path) -> None:
    job = Job(command=["true"], setup=[f"# {'x' * 200_000}"])
    submission = executor.submit(job)
    assert (submission.folder / "script.sh").read_text() == Path(f"{sbatch}.got").read_text()
    assert "script.sh" in Path(f"{sbatch}.calls").read_text()


def test_jobs_that_follow_each_other_share_what_is_alike_and_need_none_of_the_others(
    executor: BatchSchedulerExecutor,
) -> None:
    def folder(job: Job) -> Path:
        return executor.submit(job).folder

    first, second = folder(Job(command=["true"])), folder(Job(command=["false"]))
    for name in ("environment", "functions.sh"):
        assert os.path.samefile(first / name, second / name)
    assert os.readlink(first / "owner") == os.readlink(second / "owner") == executor.journal.identity
    other = folder(Job(command=["true"], environment={"ONLY_HERE": "1"}))
    assert "ONLY_HERE" in (other / "environment").read_text()
    assert "ONLY_HERE" not in (second / "environment").read_text()
    for gone in (first, second, other):
        shutil.rmtree(gone)
    last = folder(Job(command=["true"]))
    assert {path.name for path in last.iterdir()} >= {"environment", "functions.sh", "owner", "script.sh", "job.json"}
    assert "ONLY_HERE" not in (last / "environment").read_text()
