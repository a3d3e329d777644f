"""Jobs on a real HTCondor of one host."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState
from psij_parsl.errors import InvalidRequest
from psij_parsl.testing.tools import PATIENCE_S, comes_true
from tests.clusters.managed import Remote
from tests.end_to_end.test_hostile import CELLS
from tests.providers.real_manager import Blocks, Life, OddTexts, Outages, Words

pytestmark = pytest.mark.slow


class Here:
    platform = "htcondor"

    @pytest.fixture
    def manager(self, htcondor: Remote) -> Remote:
        return htcondor

    @pytest.fixture
    def alone(self, htcondor_alone: Remote) -> Remote:
        return htcondor_alone


class TestLife(Here, Life):
    def test_a_job_whose_own_rule_removes_it_has_failed(
        self, manager: Remote, executor: BatchSchedulerExecutor
    ) -> None:
        job = executor.submit(self.job("true", hold=True))
        condor("condor_qedit", job.native_id, "PeriodicRemove", "true")  # a job that runs would not hear of it
        status = job.wait(2 * PATIENCE_S)
        assert status.state is JobState.FAILED
        assert "PeriodicRemove" in status.message

    def test_a_job_that_is_held_while_it_runs_starts_again_when_it_is_released(
        self, manager: Remote, executor: BatchSchedulerExecutor, log: Path
    ) -> None:
        text = f"echo ran >>{log}; [ $(wc -l <{log}) -gt 1 ] || sleep 300"
        job = executor.submit(self.job(text))
        comes_true(log.exists)
        executor.hold([job.id])
        comes_true(lambda: executor.status([job.id], urgent=True)[0].held)
        executor.release([job.id])
        status = job.wait(PATIENCE_S)
        assert (status.state, status.attempt) == (JobState.COMPLETED, 1)
        assert log.read_text() == "ran\nran\n"

    def test_what_a_large_job_had_is_shared_by_the_small_ones_after_it(
        self, manager: Remote, executor: BatchSchedulerExecutor
    ) -> None:
        large = executor.submit(self.job("sleep 5", cpus_per_rank=8, gpus_per_rank=2))
        comes_true(lambda: executor.status([large.id], urgent=True)[0].state is JobState.ACTIVE)
        small = [executor.submit(self.job("sleep 300")) for _ in range(2)]
        large.wait(PATIENCE_S)
        comes_true(lambda: all(job.status().state is JobState.ACTIVE for job in small))
        executor.cancel([job.id for job in small])

    def test_a_job_that_cannot_start_is_out_of_the_queue_when_its_end_is_told(
        self, manager: Remote, executor: BatchSchedulerExecutor
    ) -> None:
        job = executor.submit(self.job("true", hold=True))
        condor("condor_qedit", job.native_id, "Out", '"/nosuch/folder/out"')
        executor.release([job.id])
        status = job.wait(PATIENCE_S)
        assert (status.state, status.reason) == (JobState.FAILED, EndReason.LAUNCH_FAILED)
        assert "/nosuch/folder/out" in status.message
        comes_true(lambda: condor("condor_q", job.native_id, "-af", "ClusterId") == "")

    def test_an_element_of_an_array_is_cancelled_alone(
        self, manager: Remote, executor: BatchSchedulerExecutor
    ) -> None:
        whole = executor.submit(self.job("[ $PSIJ_ARRAY_INDEX != 5 ] || sleep 300", array=(2, 5, 9)))
        comes_true(lambda: executor.status([f"{whole.id}_5"], urgent=True)[0].state is JobState.ACTIVE)
        executor.cancel([f"{whole.id}_5"])
        assert whole.wait(PATIENCE_S).state is JobState.CANCELED
        found = executor.status([f"{whole.id}_{index}" for index in (2, 5, 9)])
        assert [status.state for status in found] == [JobState.COMPLETED, JobState.CANCELED, JobState.COMPLETED]

    def test_a_job_that_stayed_in_the_queue_after_its_end_does_not_hide_those_that_ended_since(
        self, manager: Remote, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        description = tmp_path / "stays.sub"
        description.write_text("executable = /bin/true\nleave_in_queue = JobUniverse > 0\nqueue\n")
        (stays,) = executor.scheduler.job_ids(condor("condor_submit", "-terse", str(description)))
        comes_true(lambda: condor("condor_q", stays, "-af", "JobStatus").strip() == "4")
        after = int(condor("condor_q", stays, "-af", "EnteredCurrentStatus")) + 1
        job = executor.submit(self.job(f"sleep $(({after} + 2 - $(date +%s)))"))
        job.wait(PATIENCE_S)
        condor("condor_qedit", stays, "LeaveJobInQueue", "JobUniverse < 0")
        comes_true(lambda: stays in condor("condor_history", "-limit", "100", "-af", "GlobalJobId"))
        scheduler = executor.scheduler
        (query,) = scheduler.history([job.native_id], after + 3600)
        assert job.native_id in [record.id for record in scheduler.ask(query)]

    def test_an_array_of_one_element_is_one_job(self, manager: Remote, executor: BatchSchedulerExecutor) -> None:
        whole = executor.submit(self.job("exit $PSIJ_ARRAY_INDEX", array=(7,)))
        assert whole.wait(PATIENCE_S).state is JobState.FAILED
        assert executor.status([f"{whole.id}_7"])[0].exit_code == 7

    def test_what_is_asked_for_is_in_the_jobs_ad(self, manager: Remote, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(
            Job(
                command=["true"],
                name="my job",
                hold=True,
                project="group_a.chem",
                memory_per_node=300,
                gpus_per_rank=2,
                cpus_per_rank=3,
                wall_time_min=7,
                parameters={
                    "requirements": 'OpSys == "LINUX" && (TotalCpus > 2)',
                    "attributes": ["JobFlavour=longlunch", "Answer=42", "Urgent=true"],
                    "concurrency_limits": ["matlab:2"],
                    "request_disk": "2G",
                    "priority": -3,
                    "vacate_s": 9,
                },
            )
        )
        names = "AcctGroup RequestMemory RequestGPUs RequestCpus AllowedJobDuration JobFlavour Answer Urgent"
        names += " ConcurrencyLimits RequestDisk JobPrio JobMaxVacateTime JobBatchName"
        said = condor("condor_q", job.native_id, "-af", *names.split())
        wanted = f"group_a.chem 300 2 3 420 longlunch 42 true matlab:2 {2 * 1024**2} -3 9 psij:{job.id}"
        assert said.split() == wanted.split()
        assert 'OpSys == "LINUX"' in condor("condor_q", job.native_id, "-af:r", "Requirements")
        job.cancel()

    def test_what_it_does_not_have_is_refused(self, manager: Remote, executor: BatchSchedulerExecutor) -> None:
        first = executor.submit(self.job("true"))
        with pytest.raises(InvalidRequest, match="dependencies"):
            executor.submit(self.job("true", after=[first.id]))
        with pytest.raises(InvalidRequest, match="one host, not 2"):
            executor.submit(self.job("true", num_nodes=2))

    def test_queued_held_and_running_jobs_are_cancelled_in_one_go(
        self, manager: Remote, executor: BatchSchedulerExecutor, log: Path
    ) -> None:
        running = [executor.submit(self.job(f"echo ran >>{log}; sleep 300")) for _ in range(2)]
        held = executor.submit(self.job("true", hold=True))
        never = executor.submit(self.job("true", memory_per_node=10**7))  # no host has that
        comes_true(lambda: log.exists() and log.read_text() == "ran\nran\n")
        found = executor.status([held.id, never.id], urgent=True)
        assert [(status.state, status.held) for status in found] == [
            (JobState.QUEUED, True),
            (JobState.QUEUED, False),
        ]
        executor.cancel([job.id for job in (*running, held, never)])
        ends = [job.wait(PATIENCE_S) for job in (*running, held, never)]
        assert [(end.state, end.reason) for end in ends] == [(JobState.CANCELED, None)] * 4

    def test_the_number_of_threads_is_that_of_the_prompt_or_of_the_ranks_share(
        self, manager: Remote, executor: BatchSchedulerExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
        text = 'echo "$MKL_NUM_THREADS"'
        alone = executor.submit(self.job(text, cpus_per_rank=3))
        shared = executor.submit(self.job(text, ranks_per_node=2, cpus_per_rank=2, job_mode="script"))
        monkeypatch.setenv("MKL_NUM_THREADS", "77")
        chosen = executor.submit(self.job(text, cpus_per_rank=3))
        assert [job.result(PATIENCE_S) for job in (alone, shared, chosen)] == ["3\n", "2\n", "77\n"]

    def test_a_script_that_is_copied_to_the_host_finds_its_folder(
        self, manager: Remote, executor: BatchSchedulerExecutor
    ) -> None:
        job = executor.submit(self.job("pwd", parameters={"should_transfer_files": "YES"}))
        assert job.result(PATIENCE_S).strip() == str(Path.cwd())

    def test_inside_a_job_its_slot_is_known(self, manager: Remote, executor: BatchSchedulerExecutor) -> None:
        text = (
            "python -c 'from psij_parsl import NodeResources as R; r = R.discover(); n = r.allocation.nodes[0];"
            " print(r.allocation.platform, r.allocation.id, len(n.cpus), len(n.gpus), n.memory, r.time_left() < 600)'"
        )
        job = executor.submit(self.job(text, cpus_per_rank=2, gpus_per_rank=1, memory_per_node=256, wall_time_min=10))
        assert job.result(PATIENCE_S).split() == ["htcondor", job.native_id, "2", "1", "256", "True"]


class TestWords(Here, Words):
    """Of a limit that it does not name a pool has a fixed amount; an array's elements share one of their own."""


class TestOutages(Here, Outages):
    def test_a_schedd_that_died_has_forgotten_nothing(
        self, alone: Remote, executor: BatchSchedulerExecutor, log: Path
    ) -> None:
        made = [executor.submit(self.job(f"echo ran >>{log}; sleep {seconds}; exit 3")) for seconds in (1, 8)]
        comes_true(lambda: log.exists() and log.read_text() == "ran\nran\n")
        alone.do("kill_master")
        assert [job.wait(3 * PATIENCE_S).exit_code for job in made] == [3, 3]
        assert log.read_text() == "ran\nran\n"


class TestBlocks(Here, Blocks):
    provider = "HTCondorProvider"


class TestOddTexts(Here, OddTexts):
    @pytest.mark.parametrize("value", CELLS)
    def test_the_jobs_folder_may_lie_anywhere(self, spooled: Mapping[str, Any], value: str) -> None:
        if "\\\\" in value or value.endswith("\\"):  # HTCondor takes them for slashes
            assert isinstance(spooled[value], InvalidRequest)
            assert "backslash" in spooled[value].message
        else:
            super().test_the_jobs_folder_may_lie_anywhere(spooled, value)


def condor(*argv: str) -> str:
    """What a command of HTCondor prints."""
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout.strip()
