"""Test classes that every real manager's tests subclass: its jobs, its outages, MPI, Parsl blocks, odd texts.

A subclass names the platform, and the fixtures by which it gets the manager; a test has either `manager`, which other
tests use at the same time, or `alone`, which it may leave in any state:

    class Here:
        platform = "gridengine"

        @pytest.fixture
        def manager(self, gridengine: Remote) -> Remote:
            return gridengine

        @pytest.fixture
        def alone(self, gridengine_alone: Remote) -> Remote:
            return gridengine_alone

    class TestLife(Here, Life): ...
    class TestOutages(Here, Outages): ...
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState, Submission
from psij_parsl.errors import Error, InvalidRequest
from psij_parsl.testing.tools import PATIENCE_S, comes_true, shell
from tests.clusters.managed import Remote
from tests.end_to_end.test_hostile import Places
from tests.parsl.helpers import PARSL_IS_UNTIDY, all_ended, apps, config, loaded
from tests.runs import real_mpis
from tests.runs.real_mpis import said

_ROOT = Path(__file__).parents[2]
_SUBMIT = """
import sys
from psij_parsl import BatchSchedulerExecutor, Job
platform, log, parameters = sys.argv[1], sys.argv[2], eval(sys.argv[3])
job = Job(command=["bash", "-c", 'echo "$PSIJ_NATIVE_ID" >>' + log], parameters=parameters)
BatchSchedulerExecutor(platform).submit(job)
"""


class OnRealManager:
    """What the classes below share."""

    platform: ClassVar[str]
    #: Parameters of every job, as a site's file would give them.
    parameters: ClassVar[Mapping[str, Any]] = {}
    #: Fields of every job, such as a wall time below the shortest queue's.
    fields: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    def executor(self) -> BatchSchedulerExecutor:
        return BatchSchedulerExecutor(self.platform, poll_s=0.5)

    @pytest.fixture
    def log(self, tmp_path: Path) -> Path:
        """Where each execution of a job leaves a line."""
        return tmp_path / "log"

    def job(self, text: str, **fields: Any) -> Job:
        """A job that is a line of bash."""
        parameters = {**self.parameters, **fields.pop("parameters", {})}
        return shell(text, **{**self.fields, **fields, "parameters": parameters})


class Life(OnRealManager):
    """What the contract suite does not ask, since not every manager has it, or it takes a minute."""

    #: What becomes of a running job that somebody deletes by the manager's own command.
    deleted_elsewhere: ClassVar[tuple[JobState, EndReason | None]] = (JobState.CANCELED, None)
    #: Seconds from the end of a wall time of one minute until the manager has ended the job.
    late_s: ClassVar[float] = 120.0
    codes: ClassVar[Sequence[int]] = (0, 1, 3, 46, 99, 100, 125, 126, 127, 128, 137, 143, 255)

    def test_a_job_that_runs_out_of_wall_time_is_told_so(
        self, manager: Remote, executor: BatchSchedulerExecutor
    ) -> None:
        job = executor.submit(self.job("sleep 600", wall_time_min=1))
        status = job.wait(60 + self.late_s)
        assert (status.state, status.reason) == (JobState.FAILED, EndReason.TIMEOUT)

    def test_each_exit_code_is_told_as_it_was_and_each_job_ran_once(
        self, manager: Remote, executor: BatchSchedulerExecutor, log: Path
    ) -> None:
        made = [executor.submit(self.job(f"echo {code} >>{log}; exit {code}")) for code in self.codes]
        statuses = [job.wait(PATIENCE_S) for job in made]
        assert [status.exit_status for status in statuses] == [*self.codes]
        assert [status.state for status in statuses] == [
            JobState.FAILED if code else JobState.COMPLETED for code in self.codes
        ]
        assert sorted(map(int, log.read_text().split())) == [*self.codes]

    def test_queued_held_and_running_jobs_are_cancelled_in_one_go(
        self, manager: Remote, executor: BatchSchedulerExecutor, log: Path
    ) -> None:
        running = [executor.submit(self.job(f"echo ran >>{log}; sleep 300")) for _ in range(2)]
        held = executor.submit(self.job("true", hold=True))
        comes_true(lambda: all(status.state is JobState.ACTIVE for status in _states(executor, running)))
        (status,) = _states(executor, [held])
        assert (status.state, status.held) == (JobState.QUEUED, True)
        behind = executor.submit(self.job("true", after=[running[0].id]))
        (status,) = _states(executor, [behind])
        assert (status.state, status.held) == (JobState.QUEUED, False)  # it waits, and nobody holds it
        everything = [*running, held, behind]
        executor.cancel([job.id for job in everything])
        ends = [job.wait(PATIENCE_S) for job in everything]
        assert [(end.state, end.reason) for end in ends] == [(JobState.CANCELED, None)] * 4
        assert log.read_text() == "ran\n" * 2

    def test_a_running_job_that_somebody_deletes_by_the_managers_own_command(
        self, manager: Remote, executor: BatchSchedulerExecutor
    ) -> None:
        job = executor.submit(self.job("sleep 300"))
        comes_true(lambda: _states(executor, [job])[0].state is JobState.ACTIVE)
        executor.scheduler.qdel([job.native_id])
        status = job.wait(PATIENCE_S)
        assert (status.state, status.reason) == self.deleted_elsewhere

    def test_forty_jobs_at_once_have_their_own_output_each(
        self, manager: Remote, executor: BatchSchedulerExecutor
    ) -> None:
        made = [executor.submit(self.job(f"echo {number}")) for number in range(40)]
        assert [job.result(2 * PATIENCE_S) for job in made] == [f"{number}\n" for number in range(40)]


class Words(OnRealManager):
    """What a job can say beside its size, and what comes of it."""

    #: Whether the manager can be told how many elements of an array may run at a time, and when a job may begin.
    limits_arrays: ClassVar[bool] = True
    knows_begin: ClassVar[bool] = True

    def test_a_job_does_not_start_before_its_time_and_has_its_wall_time_then(
        self, manager: Remote, executor: BatchSchedulerExecutor
    ) -> None:
        if not self.knows_begin:
            with pytest.raises(InvalidRequest, match="a time before which a job does not start"):
                executor.submit(self.job("true", begin="+5"))
            return
        begin = time.time() + 20
        job = executor.submit(self.job("date +%s; sleep 50", begin="+20", wall_time_min=1))
        assert job.wait(2 * PATIENCE_S).state is JobState.COMPLETED
        assert int(job.result()) >= int(begin)

    def test_of_an_array_no_more_elements_run_at_a_time_than_it_says(
        self, manager: Remote, executor: BatchSchedulerExecutor, log: Path
    ) -> None:
        text = f"echo 1 >>{log}; sleep 2; echo -1 >>{log}"
        if not self.limits_arrays:
            with pytest.raises(InvalidRequest, match="how many elements of an array run at a time"):
                executor.submit(self.job(text, array="0-5%2"))
            return
        array = executor.submit(self.job(text, array="0-5%2"))
        assert array.wait(2 * PATIENCE_S).state is JobState.COMPLETED
        steps = [int(line) for line in log.read_text().split()]
        running = [sum(steps[: at + 1]) for at in range(len(steps))]
        assert len(steps) == 12
        assert max(running) <= 2

    def test_output_goes_to_files_whose_names_are_filled_in_and_is_added(
        self, manager: Remote, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        job = self.job("echo $PSIJ_ARRAY_INDEX", array="1,2", directory=tmp_path, stdout="out-{array}.{index:2}")
        for _ in range(2):
            array = executor.submit(job.with_(name_patterns=True, append=True))
            assert array.wait(PATIENCE_S).state is JobState.COMPLETED
            number = str(array.native_id).partition("[")[0]
            assert (tmp_path / f"out-{number}.01").read_text() == "1\n"
        log = self.job("echo more", directory=tmp_path, stdout="log", append=True)
        for _ in range(2):
            assert executor.submit(log).wait(PATIENCE_S).state is JobState.COMPLETED
        assert (tmp_path / "log").read_text() == "more\nmore\n"


class Outages(OnRealManager):
    """The master goes, comes, and hangs: nothing is lost, and each job runs once."""

    def test_jobs_that_run_while_the_master_is_away_are_told_when_it_is_back(
        self, alone: Remote, executor: BatchSchedulerExecutor, log: Path
    ) -> None:
        made = [executor.submit(self.job(f"sleep {number}; echo {number} >>{log}")) for number in (2, 20)]
        # Where they do not start at one instant, the first may be over by then.
        comes_true(lambda: all(status.state >= JobState.ACTIVE for status in _states(executor, made)))
        alone.do("stop_master")
        comes_true(log.exists)
        states = {status.state for status in _states(executor, made)}
        assert states <= {JobState.ACTIVE, JobState.COMPLETED}  # the exit file may have told of the first
        alone.do("start_master")
        assert [job.wait(2 * PATIENCE_S).state for job in made] == [JobState.COMPLETED] * 2
        assert sorted(log.read_text().split(), key=int) == ["2", "20"]

    def test_a_submission_to_a_master_that_is_away_is_refused_and_leaves_no_job(
        self, alone: Remote, executor: BatchSchedulerExecutor, log: Path
    ) -> None:
        alone.do("stop_master")
        with pytest.raises(Error):
            executor.submit(self.job(f"echo ran >>{log}"))
        alone.do("start_master")
        assert executor.submit(self.job("true")).wait(PATIENCE_S).state is JobState.COMPLETED
        comes_true(lambda: all(status.final for status in executor.status(list(executor.journal.entries()))))
        assert not log.exists()

    def test_a_submission_to_a_master_that_hangs_runs_once_when_it_goes_on(
        self, alone: Remote, executor: BatchSchedulerExecutor, log: Path
    ) -> None:
        alone.do("pause_master")
        later = threading.Timer(5.0, lambda: alone.do("resume_master"))
        later.start()
        try:
            job = executor.submit(self.job(f"echo ran >>{log}"))
        finally:
            later.join()
        assert job.wait(2 * PATIENCE_S).state is JobState.COMPLETED
        assert log.read_text() == "ran\n"

    def test_a_submitter_killed_while_the_master_hangs_leaves_one_job_or_none(
        self, alone: Remote, log: Path, home: Path
    ) -> None:
        alone.do("pause_master")
        process = subprocess.Popen(
            [sys.executable, "-c", _SUBMIT, self.platform, str(log), repr(dict(self.parameters))],
            cwd=_ROOT,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        executor = BatchSchedulerExecutor(self.platform, poll_s=0.5, settle_s=2.0)
        try:
            comes_true(lambda: executor.journal.entries())  # the intent is recorded: the submit command begins
            time.sleep(1.0)  # no sign tells that it waits for the master
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            alone.do("resume_master")
        (entry,) = executor.journal.entries()
        comes_true(lambda: executor.status([entry])[0].final, 3 * PATIENCE_S)
        status = executor.status([entry])[0]
        if status.state is JobState.COMPLETED:
            assert log.read_text().count("\n") == 1
        else:
            assert (status.state, status.reason) == (JobState.FAILED, EndReason.LAUNCH_FAILED)
            assert not log.exists()


class TwoNodes(OnRealManager):
    """MPI over two nodes, by Open MPI and MPICH of Debian. For managers whose jobs have several nodes."""

    launchers: ClassVar[Sequence[str]] = ("openmpi", "mpich")
    #: Parameters and fields of a job with two ranks on each of two nodes.
    two_nodes: ClassVar[Mapping[str, Any]] = {}
    environment: ClassVar[Mapping[str, str]] = real_mpis.ENVIRONMENT

    @pytest.mark.parametrize("launcher", ["openmpi", "mpich"])
    def test_ranks_are_on_both_nodes(
        self,
        manager: Remote,
        executor: BatchSchedulerExecutor,
        launcher: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        if launcher not in self.launchers:
            pytest.skip(f"{launcher} does not start processes on this manager's other nodes")
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        fields = {"num_nodes": 2, "ranks_per_node": 2, **self.two_nodes}
        program = real_mpis.build(tmp_path)[launcher]
        job = Job(command=[str(program)], launcher=launcher, **{**self.fields, **fields})
        submission = executor.submit(job)
        status = submission.wait(2 * PATIENCE_S)
        log = (submission.folder / "manager.log").read_text() if (submission.folder / "manager.log").exists() else ""
        assert status.state is JobState.COMPLETED, (
            f"{status}\n{submission.stderr and submission.stderr.read_text()}{log}"
        )
        assert submission.stdout is not None
        ranks = said(submission.stdout.read_text())
        assert [(rank["rank"], rank["size"], rank["sum"]) for rank in ranks] == [(n, 4, 6) for n in range(4)]
        hosts = [rank["host"] for rank in ranks]
        assert hosts == [hosts[0]] * 2 + [hosts[2]] * 2
        assert hosts[0] != hosts[2]
        assert {host.partition(".")[0] for host in (submission.folder / "nodes").read_text().split()} == {*hosts}


class Blocks(OnRealManager):
    """Parsl's tasks in blocks of the manager."""

    provider: ClassVar[str]  #: its name in `psij_parsl.providers`
    address: ClassVar[str] = "127.0.0.1"  #: of this host, as the nodes reach it

    pytestmark: ClassVar[list[pytest.MarkDecorator]] = [*PARSL_IS_UNTIDY]

    def test_a_block_runs_two_hundred_tasks_and_is_gone_then(self, manager: Remote, tmp_path: Path) -> None:
        from psij_parsl import providers

        (tmp_path / "run dir").mkdir()
        provider = getattr(providers, self.provider)(init_blocks=1, max_blocks=1, cores_per_node=1, **self.parameters)
        with loaded(config(provider, tmp_path / "run dir", workers=2, address=self.address)):
            where, _ = apps()
            tasks = [where(number) for number in range(200)]
            found = [task.result(2 * PATIENCE_S) for task in tasks]
            assert [one["number"] for one in found] == [*range(200)]
            (block,) = provider.blocks.records
            assert {one["env"]["PSIJ_JOB_ID"] for one in found} == {block}
        comes_true(lambda: all_ended(provider), what="no block")


class OddTexts(Places):
    """The matrix of hostile values: with `--dist loadscope` one worker has it all."""

    @pytest.fixture(autouse=True)
    def on_the_manager(self, manager: Remote) -> None:
        """Its commands are on PATH."""


def _states(executor: BatchSchedulerExecutor, jobs: Sequence[Submission]) -> Sequence[Any]:
    return executor.status([job.id for job in jobs], urgent=True)
