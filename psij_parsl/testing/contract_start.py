"""Contract tests of what a job gets at its start: nodes, memory, environment, files, arguments."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

import pytest

from .. import BatchSchedulerExecutor, Job, JobState, Submission
from ..errors import InvalidRequest, Rejected
from .tools import PATIENCE_S, ended, shell


class Start:
    """What a job asked for is there when its command starts."""

    #: What must be there: "nodes" (two), "memory", "gpus".
    must_have: ClassVar[Collection[str]] = ()

    def test_two_nodes_are_two(self, executor: BatchSchedulerExecutor) -> None:
        job = self._has(executor, "nodes", shell('sort -u "$PSIJ_NODEFILE" | wc -l', num_nodes=2, job_mode="script"))
        assert job.result(PATIENCE_S).split() == ["2"]

    def test_memory_can_be_asked_for(self, executor: BatchSchedulerExecutor) -> None:
        job = self._has(executor, "memory", shell("echo fine", memory_per_node=100, job_mode="script"))
        assert job.result(PATIENCE_S) == "fine\n"

    def test_gpus_can_be_asked_for(self, executor: BatchSchedulerExecutor) -> None:
        job = self._has(executor, "gpus", shell("echo fine", gpus_per_rank=1, job_mode="script"))
        assert job.result(PATIENCE_S) == "fine\n"

    def _has(self, executor: BatchSchedulerExecutor, what: str, job: Job) -> Submission:
        try:
            return executor.submit(job)
        except (InvalidRequest, Rejected) as error:
            if what in self.must_have:
                raise
            pytest.skip(f"no {what} here: {error}")

    def test_a_job_starts_where_it_was_submitted(
        self, executor: BatchSchedulerExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert executor.submit(Job(command=["pwd"])).result(PATIENCE_S).strip() == str(tmp_path)

    def test_a_job_inherits_the_environment_and_adds_its_own(
        self, executor: BatchSchedulerExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FROM_OUTSIDE", "one two")
        job = shell('echo "$FROM_OUTSIDE|$OF_ITS_OWN"', environment={"OF_ITS_OWN": "it's $HOME"})
        assert executor.submit(job).result(PATIENCE_S) == "one two|it's $HOME\n"

    def test_a_job_without_the_environment_has_none_of_it(
        self, executor: BatchSchedulerExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FROM_OUTSIDE", "one")
        job = shell('echo "${FROM_OUTSIDE-none} $OWN"', inherit_environment=False, environment={"OWN": "2"})
        assert executor.submit(job).result(PATIENCE_S) == "none 2\n"

    def test_shell_functions_are_not_inherited(
        self, executor: BatchSchedulerExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BASH_FUNC_sneaky%%", "() { echo sneaky; }")
        assert executor.submit(shell("type -t sneaky || echo no")).result(PATIENCE_S) == "no\n"

    def test_a_job_reads_its_input_file(self, executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
        (tmp_path / "in put").write_text("words\n")
        job = Job(command=["cat"], stdin=tmp_path / "in put")
        assert executor.submit(job).result(PATIENCE_S) == "words\n"

    def test_output_files_are_relative_to_the_directory(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        job = shell("echo out; echo err >&2", directory=tmp_path, stdout=Path("o.txt"), stderr=Path("e.txt"))
        assert ended(executor.submit(job)) is JobState.COMPLETED
        assert (tmp_path / "o.txt").read_text() == "out\n"
        assert (tmp_path / "e.txt").read_text() == "err\n"

    def test_stderr_joins_a_stdout_that_was_named(self, executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
        job = shell("echo out; echo err >&2", stdout=tmp_path / "both")
        assert executor.submit(job).result(PATIENCE_S) == "out\nerr\n"

    def test_the_setup_runs_before_the_command(self, executor: BatchSchedulerExecutor) -> None:
        job = shell("echo $LOADED", setup="export LOADED='a module'")
        assert executor.submit(job).result(PATIENCE_S) == "a module\n"

    def test_the_job_knows_its_own_ids_and_nodes(self, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(shell('echo "$PSIJ_JOB_ID $PSIJ_NATIVE_ID $(wc -l <"$PSIJ_NODEFILE")"'))
        assert job.result(PATIENCE_S).split() == [job.id, job.native_id, "1"]

    def test_the_command_does_not_hand_our_tag_on(self, executor: BatchSchedulerExecutor) -> None:
        """A job that it submits with all its environment would be taken for ours."""
        assert executor.submit(shell('echo "${PSIJ_JOB_TAG-none}"')).result(PATIENCE_S) == "none\n"

    def test_the_umask_is_the_users_own(self, executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
        before = os.umask(0o027)
        try:
            ended(executor.submit(Job(command=["touch", "made"], directory=tmp_path)))
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o640

    def test_a_name_of_300_characters_is_kept(self, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(Job(command=["true"], name="x" * 300))
        assert job.name == "x" * 300
        assert ended(job) is JobState.COMPLETED

    def test_arguments_arrive_unchanged(self, executor: BatchSchedulerExecutor) -> None:
        args = ["a b", "it's", 'say "x"', "$HOME", ";", "\\", "tail\\", "#", "%j", "a,b", "a #b", "a\nb", "é", ""]
        args += ["*", "-n", "~", "a\tb"]
        job = executor.submit(Job(command=["printf", "%s\\0", *args]))
        assert job.result(PATIENCE_S).split("\0")[:-1] == args

    def test_a_script_that_looks_like_directives_is_only_a_script(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        script = tmp_path / "s.sh"
        script.write_text("#!/bin/bash\n#SBATCH --partition=nope\n#PBS -q nope\n#PSIJ-LOCAL --cores 999\necho fine\n")
        script.chmod(0o700)
        assert executor.submit(Job(command=[str(script)], setup="#SBATCH -N 99")).result(PATIENCE_S) == "fine\n"
