"""Contract tests of the ends of jobs, and of refusals."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from .. import BatchSchedulerExecutor, EndReason, Job, JobState, JobStatus, as_completed
from ..errors import InvalidRequest, JobFailed, Rejected
from .templates import sentinel_check
from .tools import PATIENCE_S, comes_true, shell


class Ends:
    """A job's end is reported as it was; a refused submission leaves no record and no files."""

    #: A value for each parameter whose rule asks for a certain form.
    samples: ClassVar[Mapping[str, object]] = {}

    def test_a_job_gives_back_what_it_printed(self, executor: BatchSchedulerExecutor) -> None:
        assert executor.submit(Job(command=["echo", "hello"])).result(PATIENCE_S) == "hello\n"

    def test_jobs_are_futures_that_are_told_of_when_they_have_ended(self, executor: BatchSchedulerExecutor) -> None:
        jobs = [executor.submit(["bash", "-c", f"echo {code}; exit {code}"]) for code in (0, 3)]
        copies = pickle.loads(pickle.dumps(jobs))
        errors = {job.id: job.exception() for job in as_completed([*jobs, *copies], PATIENCE_S)}
        assert errors[jobs[0].id] is None
        assert isinstance(error := errors[jobs[1].id], JobFailed)
        assert error.status.exit_code == 3
        assert copies[0].result() == "0\n"

    def test_a_job_that_has_failed_is_submitted_again_as_it_was(
        self, executor: BatchSchedulerExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PSIJ_CONTRACT_WORD", "two\n'lines'")
        job = executor.submit(
            shell(
                'test -e good || exit 3; echo "$PSIJ_CONTRACT_WORD $OWN"',
                directory=tmp_path,
                environment={"OWN": "x"},
            )
        )
        assert job.wait(PATIENCE_S).exit_code == 3
        monkeypatch.delenv("PSIJ_CONTRACT_WORD")
        (tmp_path / "good").touch()
        again = job.resubmit(wall_time_min=3)
        assert again.result(PATIENCE_S) == "two\n'lines' x\n"
        assert executor.journal.get(again.id).resubmitted_from == job.id

    def test_an_exit_code_is_told_as_it_was(self, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(shell("echo so >&2; exit 3"))
        status = job.wait(PATIENCE_S)
        assert (status.state, status.exit_code, status.exit_status) == (JobState.FAILED, 3, 3)
        with pytest.raises(JobFailed, match="exit code 3") as caught:
            job.result()
        assert "so" in str(caught.value)

    @pytest.mark.parametrize("number", [9, 11])
    def test_a_signal_is_shown_as_the_likely_cause(self, executor: BatchSchedulerExecutor, number: int) -> None:
        status = executor.submit(shell(f"kill -{number} $$")).wait(PATIENCE_S)
        assert status.state is JobState.FAILED
        assert status.exit_status == 128 + number
        assert {9: "SIGKILL", 11: "SIGSEGV"}[number] in status.describe()

    def test_a_command_that_does_not_exist_fails_with_127(self, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(Job(command=["no-such-command-anywhere"]))
        assert job.wait(PATIENCE_S).exit_code == 127
        assert "no-such-command-anywhere" in (job.stderr.read_text() if job.stderr else "")

    def test_the_manager_sees_the_exit_code_too(self, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(shell("exit 4"))
        job.wait(PATIENCE_S)

        def ended() -> JobStatus | None:
            """Its books may be behind the exit file, by which we know of the end."""
            record = executor.scheduler.qstat(lambda seen: [job.native_id]).of(job.native_id)
            return record.status if record is not None and record.status.final else None

        assert comes_true(ended).exit_code == 4

    def test_a_missing_directory_is_a_launch_failure(self, executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
        status = executor.submit(Job(command=["true"], directory=tmp_path / "none")).wait(PATIENCE_S)
        assert (status.state, status.reason) == (JobState.FAILED, EndReason.LAUNCH_FAILED)
        assert "directory" in status.message

    def test_an_output_file_that_cannot_be_written_is_a_launch_failure(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        status = executor.submit(Job(command=["true"], stdout=tmp_path / "none" / "out")).wait(PATIENCE_S)
        assert (status.state, status.reason) == (JobState.FAILED, EndReason.LAUNCH_FAILED)
        assert "output" in status.message

    @pytest.mark.parametrize("code", [99, 100, 137])
    def test_an_exit_code_that_means_more_to_some_is_told_as_it_was(
        self, executor: BatchSchedulerExecutor, tmp_path: Path, code: int
    ) -> None:
        status = executor.submit(shell(f"echo ran >>{tmp_path}/log; exit {code}")).wait(PATIENCE_S)
        assert (status.state, status.exit_status) == (JobState.FAILED, code)
        assert (tmp_path / "log").read_text() == "ran\n"

    def test_an_unknown_parameter_is_refused_with_the_nearest(self, executor: BatchSchedulerExecutor) -> None:
        with pytest.raises(InvalidRequest, match="no parameter 'nodse'"):
            executor.submit(Job(command=["true"], parameters={"nodse": 1}))
        assert not executor.list()
        assert not list((executor.journal.home / "jobs").glob("*"))

    def test_a_refused_job_leaves_nothing_behind(self, executor: BatchSchedulerExecutor) -> None:
        with pytest.raises((InvalidRequest, Rejected)) as caught:
            executor.submit(Job(command=["true"], queue="nope"))
        assert "nope" in str(caught.value) or getattr(caught.value, "limit", "") == "queue"
        assert caught.value.hint
        assert not executor.journal.entries()
        assert not list((executor.journal.home / "jobs").glob("*"))

    def test_a_template_shows_every_parameter(self, executor: BatchSchedulerExecutor) -> None:
        sentinel_check(executor.platform.template_class, values=self.samples)
