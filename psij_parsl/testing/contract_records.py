"""Contract tests of job records: their states, and who may read them."""

from __future__ import annotations

import os
import stat
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest

from .. import BatchSchedulerExecutor, Job, JobState, JobStatus, Submission
from ..errors import UnknownJob
from .tools import PATIENCE_S, comes_true, ended, needs, processes, shell


class Records:
    """Every executor sees a job, and its states in their order; only the owner can read its files."""

    script_options: ClassVar[str] = ""

    def test_another_executor_knows_the_job(self, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(Job(command=["echo", "x"]))
        other = BatchSchedulerExecutor(executor.platform, poll_s=executor.snapshot.interval_s)
        assert other.wait([job.native_id], PATIENCE_S)
        assert other.submission(job.id).result() == "x\n"

    def test_a_job_that_was_not_submitted_by_us_can_be_attached(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        script = tmp_path / "theirs.sh"
        script.write_text(f"#!/bin/bash\n{self.script_options}sleep 1\nexit 5\n")
        script.chmod(0o700)
        attached = executor.attach(executor.scheduler.qsub(script))
        status = attached.wait(PATIENCE_S)
        assert (status.state, status.exit_code) == (JobState.FAILED, 5)

    def test_attached_four_times_at_one_instant_it_is_one_job(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        script = tmp_path / "theirs.sh"
        script.write_text(f"#!/bin/bash\n{self.script_options}sleep 2\n")
        script.chmod(0o700)
        native = executor.scheduler.qsub(script)
        others = [BatchSchedulerExecutor(executor.platform, poll_s=executor.snapshot.interval_s) for _ in range(4)]
        with ThreadPoolExecutor(4) as threads:
            made = list(threads.map(lambda other: other.attach(native).id, others))
        assert len(set(made)) == 1
        assert list(executor.journal.entries()) == [made[0]]
        assert ended(executor.submission(made[0])) is JobState.COMPLETED

    def test_an_attached_job_is_known_as_it_was_found(self, executor: BatchSchedulerExecutor) -> None:
        needs(executor, "hold")
        job = executor.submit(Job(command=["true"], hold=True))
        executor.journal.forget([job.id])  # as if from another state directory
        executor.status([executor.submit(Job(command=["true"])).id], urgent=True)  # a fresh snapshot without it
        attached = executor.attach(job.native_id)
        status = attached.status()
        assert attached.id != job.id
        assert (status.state, status.held) == (JobState.QUEUED, True)
        attached.cancel()

    def test_an_unknown_id_is_said_to_be_unknown(self, executor: BatchSchedulerExecutor) -> None:
        with pytest.raises(UnknownJob):
            executor.status(["nosuchjob"])
        with pytest.raises(UnknownJob):
            executor.attach("999999")

    def test_list_knows_a_job_that_was_just_submitted(self, executor: BatchSchedulerExecutor) -> None:
        needs(executor, "hold")
        job = executor.submit(Job(command=["true"], hold=True))
        assert job.id in [listed.id for listed in executor.list()]
        job.cancel()

    def test_callbacks_tell_each_state_in_order(self, executor: BatchSchedulerExecutor) -> None:
        seen: list[JobState] = []
        lock = threading.Lock()

        def note(submission: Submission, status: JobStatus) -> None:
            with lock:
                seen.append(status.state)

        stop = executor.on_status(note)
        executor.submit(shell("sleep 1"))
        comes_true(lambda: JobState.COMPLETED in seen)
        stop()
        assert seen == sorted(seen)

    def test_states_never_go_back(self, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(shell("sleep 0.5"))
        seen: list[JobState] = []

        def note(statuses: Sequence[JobStatus]) -> bool:
            seen.append(statuses[0].state)
            return statuses[0].final

        executor.wait_until(executor.journal.find([job.id]), note, timeout=PATIENCE_S)
        assert seen == sorted(seen)
        assert seen[-1] is JobState.COMPLETED

    def test_folders_and_files_are_the_owners_alone(self, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(shell("sleep 0.2", environment={"SECRET": "x"}))
        ended(job)
        for root, folders, files in os.walk(executor.journal.home):
            for name in folders:
                assert stat.S_IMODE((Path(root) / name).stat().st_mode) & 0o077 == 0, name
            for name in set(files) - {"manager.log"}:  # which the manager makes, inside our folder
                path = Path(root) / name
                assert path.is_symlink() or stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert stat.S_IMODE(executor.journal.home.stat().st_mode) == 0o700

    def test_a_secret_value_is_in_no_argv_and_no_repr(self, executor: BatchSchedulerExecutor) -> None:
        secret = f"secret-{uuid.uuid4().hex}"
        job = shell("sleep 1", environment={"SECRET": secret})
        submission = executor.submit(job)
        assert secret not in repr(job) + repr(submission) + executor.render(job)
        assert secret not in (submission.folder / "script.sh").read_text()
        comes_true(lambda: submission.status().state >= JobState.ACTIVE)
        assert not processes(secret)
        ended(submission)
