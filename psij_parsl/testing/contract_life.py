"""Contract tests of actions on jobs: cancel, hold, release, and dependencies on other jobs."""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from .. import BatchSchedulerExecutor, EndReason, Job, JobState
from ..dependency import BY_ELEMENT, SINGLETON
from ..errors import InvalidRequest
from .tools import PATIENCE_S, comes_true, ended, needs, processes, shell


class Life:
    """Jobs are cancelled, held, released; one waits for another; another program's job with our id is not touched."""

    #: Option lines that another program's script needs, each with its line break.
    script_options: ClassVar[str] = ""

    def test_cancelling_a_running_job_ends_all_its_processes(self, executor: BatchSchedulerExecutor) -> None:
        mark = f"mark-{uuid.uuid4().hex}"
        job = executor.submit(shell(f"(exec -a {mark} sleep 300) & (exec -a {mark} sleep 300); wait"))
        comes_true(lambda: len(processes(mark)) >= 2)
        assert job.cancel()
        assert ended(job) is JobState.CANCELED
        comes_true(lambda: not processes(mark))
        assert not job.cancel()

    def test_a_held_job_starts_when_it_is_released(self, executor: BatchSchedulerExecutor) -> None:
        needs(executor, "hold")
        job = executor.submit(Job(command=["true"], hold=True))
        status = executor.status([job.id], urgent=True)[0]
        assert status.state is JobState.QUEUED
        executor.release([job.id])
        assert ended(job) is JobState.COMPLETED

    def test_a_queued_job_can_be_cancelled(self, executor: BatchSchedulerExecutor) -> None:
        needs(executor, "hold")
        job = executor.submit(Job(command=["true"], hold=True))
        assert job.cancel()
        assert ended(job) is JobState.CANCELED
        assert not (job.folder / "claim").is_symlink()

    def test_a_dependent_job_waits_for_the_first(self, executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
        needs(executor, "after")
        first = executor.submit(shell("sleep 1; echo first >>log", directory=tmp_path))
        second = executor.submit(shell("echo second >>log", directory=tmp_path, after=[first.id]))
        assert ended(second) is JobState.COMPLETED
        assert (tmp_path / "log").read_text() == "first\nsecond\n"

    def test_a_job_waits_for_those_of_its_name(self, executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
        needs(executor, "after")
        if not {"afterany", SINGLETON} & set(executor.scheduler.dependencies):
            pytest.skip(f"the {executor.platform.name} platform knows no end whatever it is")
        name = f"only-{uuid.uuid4().hex[:8]}"
        executor.submit(shell("sleep 2; echo first >>log; exit 3", directory=tmp_path, name=name))
        second = executor.submit(shell("echo second >>log", directory=tmp_path, name=name, after=[SINGLETON]))
        assert ended(second) is JobState.COMPLETED
        assert (tmp_path / "log").read_text() == "first\nsecond\n"

    def test_an_array_follows_another_element_by_element(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        needs(executor, "after", "array")
        if not {BY_ELEMENT, "afteranycorr"} & set(executor.scheduler.dependencies):
            pytest.skip(f"the {executor.platform.name} platform has no elements that follow others")
        text = f"echo {{}}$PSIJ_ARRAY_INDEX >>{tmp_path}/log; [ $PSIJ_ARRAY_INDEX != 3 ]"
        slow = f"[ $PSIJ_ARRAY_INDEX = 2 ] || sleep 2; {text}"  # so that one element is free long before the other
        first = executor.submit(shell(slow.format("first "), array=(2, 3)))
        second = executor.submit(shell(text.format("second "), array=(2, 3), after=[f"{BY_ELEMENT}:{first.id}"]))
        assert ended(second) is not JobState.COMPLETED
        good, bad = (executor.status([f"{second.id}_{index}"])[0] for index in (2, 3))
        assert (good.state, bad.reason) == (JobState.COMPLETED, EndReason.DEPENDENCY)
        log = (tmp_path / "log").read_text().splitlines()
        assert sorted(log) == ["first 2", "first 3", "second 2"]
        assert log.index("first 2") < log.index("second 2")

    def test_a_dependency_that_can_never_be_met_is_refused(self, executor: BatchSchedulerExecutor) -> None:
        first = executor.submit(Job(command=["false"]))
        ended(first)
        with pytest.raises(InvalidRequest, match="never start"):
            executor.submit(Job(command=["true"], after=[first.id]))

    def test_a_job_cancelled_while_it_waits_for_another_was_cancelled_and_no_more(
        self, executor: BatchSchedulerExecutor
    ) -> None:
        needs(executor, "hold", "after")
        first = executor.submit(Job(command=["true"], hold=True))
        second = executor.submit(Job(command=["true"], after=[first.id]))
        executor.status([second.id], urgent=True)
        assert second.cancel()
        status = second.wait(PATIENCE_S)
        assert (status.state, status.reason) == (JobState.CANCELED, None)
        first.cancel()

    def test_a_job_that_somebody_else_kills_while_it_waits_is_cancelled(
        self, executor: BatchSchedulerExecutor
    ) -> None:
        needs(executor, "hold")
        hasty = _hasty(executor)
        witness = hasty.submit(Job(command=["true"], hold=True))
        job = hasty.submit(Job(command=["true"], hold=True))
        hasty.status([witness.id, job.id], urgent=True)
        executor.scheduler.qdel([job.native_id])  # by the manager's own command: the executor does not see it
        status = job.wait(PATIENCE_S)
        assert (status.state, status.reason) == (JobState.CANCELED, None)
        witness.cancel()

    def test_the_program_is_warned_before_the_wall_time_ends_and_no_shell_without_a_trap(
        self, executor: BatchSchedulerExecutor
    ) -> None:
        needs(executor, "signal_before_end")
        warned = "bash -c 'trap \"echo warned; exit 5\" USR1; sleep {} & wait'"
        below = {"wall_time_min": 1, "signal_before_end": "USR1@57"}
        jobs = (
            executor.submit(shell(f"trap 'echo leaves' EXIT; {warned.format(50)}; echo $?", **below)),
            executor.submit(shell("trap 'echo warned; exit 6' USR1; sleep 50 & wait", **below)),
            executor.submit(shell(f"{warned.format(8)}; echo $?", wall_time_min=1, signal_before_end="B:USR1@57")),
        )
        assert jobs[0].wait(PATIENCE_S).state is JobState.COMPLETED
        assert jobs[0].result() == "warned\n5\nleaves\n"
        assert jobs[1].wait(PATIENCE_S).exit_code == 6
        assert jobs[2].result(PATIENCE_S) == "0\n"

    def test_a_strangers_job_with_our_id_is_left_alone(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        """The manager lost its records and counts from 1 again, so that another program's job has the id of ours."""
        script = tmp_path / "theirs.sh"
        script.write_text(f"#!/bin/bash\n{self.script_options}sleep 300\n")
        script.chmod(0o700)
        theirs = executor.scheduler.qsub(script)
        hasty = _hasty(executor)
        ours = hasty.submit(shell("sleep 2"))
        comes_true(lambda: hasty.status([ours.id], urgent=True)[0].state is JobState.ACTIVE)  # seen, with its tag
        ended(ours)
        journal = hasty.journal
        job_id, folder = journal.new_folder()
        entry = journal.intend(replace(journal.get(ours.id), id=job_id, place=str(folder), native="", ended={}))
        entry = journal.commit(entry, theirs)
        journal.born({job_id: entry.committed - 3600})
        try:
            hasty.cancel([job_id])
            comes_true(lambda: hasty.status([job_id], urgent=True)[0].final)
            status = hasty.status([job_id])[0]
            assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)
            record = executor.scheduler.qstat(lambda seen: [theirs]).of(theirs)
            assert record is not None
            assert not record.status.final
        finally:
            executor.scheduler.qdel([theirs])

    def test_notices_around_the_id_are_no_ids(
        self, executor: BatchSchedulerExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not executor.scheduler.commands:
            pytest.skip(f"the {executor.platform.name} platform has no submit command")
        name = executor.scheduler.submit_argv(tmp_path / "script.sh")[0]
        shim = tmp_path / name
        shim.write_text(
            f'#!/bin/bash\necho "Welcome to head7."\necho "Down on 2026.11"\n{shutil.which(name)} "$@"\nrc=$?\n'
            'echo "Balance 5.5; 2 jobs left"\nexit $rc\n'
        )
        shim.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        job = executor.submit(shell("echo $PSIJ_NATIVE_ID"))
        assert executor.scheduler.same_id(job.result(PATIENCE_S).strip(), job.native_id)
        assert len(executor.journal.entries()) == 1
        assert not executor.journal.get(job.id).twins


def _hasty(executor: BatchSchedulerExecutor) -> BatchSchedulerExecutor:
    """An executor that soon gives up a job which its manager does not know."""
    return BatchSchedulerExecutor(executor.platform, poll_s=executor.snapshot.interval_s, grace_s=1.0)
