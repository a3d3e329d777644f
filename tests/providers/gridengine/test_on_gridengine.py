"""Jobs on a real Grid Engine of four nodes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, JobState
from psij_parsl.testing.tools import PATIENCE_S, comes_true
from tests.clusters.managed import Remote
from tests.providers.real_manager import Blocks, Life, OddTexts, OnRealManager, Outages, TwoNodes, Words
from tests.runs import real_mpis

pytestmark = pytest.mark.slow


class Here:
    platform = "gridengine"

    @pytest.fixture
    def manager(self, gridengine: Remote) -> Remote:
        return gridengine

    @pytest.fixture
    def alone(self, gridengine_alone: Remote) -> Remote:
        return gridengine_alone


class TestLife(Here, Life):
    deleted_elsewhere = (JobState.FAILED, None)  # as if it had been killed: qacct tells no difference


class TestWords(Here, Words):
    pass


class TestOutages(Here, Outages):
    pass


class TestTwoNodes(Here, TwoNodes):
    two_nodes = {"parameters": {"pe": "two"}}
    environment = {
        name: value for name, value in real_mpis.ENVIRONMENT.items() if not name.endswith(("_include", "IFACE"))
    }


class TestBlocks(Here, Blocks):
    provider = "GridEngineProvider"
    address = "10.77.0.1"


class TestOddTexts(Here, OddTexts):
    pass


class TestItsOwnWays(Here, OnRealManager):
    def test_a_rule_that_gives_other_nodes_ends_the_job_with_a_sentence(
        self, manager: Remote, executor: BatchSchedulerExecutor, log: Path
    ) -> None:
        job = executor.submit(self.job(f"echo ran >>{log}", num_nodes=2, job_mode="script", parameters={"pe": "mpi"}))
        status = job.wait(PATIENCE_S)  # $fill_up puts two slots on one node
        assert (status.state, status.reason) == (JobState.FAILED, EndReason.LAUNCH_FAILED)
        assert "nodes" in status.message
        assert not log.exists()

    def test_a_job_in_the_error_state_is_deleted_and_told_failed(
        self, manager: Remote, executor: BatchSchedulerExecutor
    ) -> None:
        job = executor.submit(self.job("true", hold=True))
        job.folder.chmod(0)  # Grid Engine cannot write its log there
        try:
            executor.release([job.id])
            comes_true(lambda: job.native_id not in in_qstat() or "E" in in_qstat()[job.native_id])
            status = job.wait(PATIENCE_S)
            assert (status.state, status.reason) == (JobState.FAILED, EndReason.LAUNCH_FAILED)
            comes_true(lambda: job.native_id not in in_qstat())
        finally:
            job.folder.chmod(0o700)

    def test_a_job_that_uses_more_memory_than_it_asked_for(
        self, manager: Remote, executor: BatchSchedulerExecutor
    ) -> None:
        text = "x=bytearray(25000000); import time; time.sleep(60)"
        job = executor.submit(self.job(f"for i in 1 2 3 4; do python3 -c '{text}' & done; wait", memory_per_node=80))
        status = job.wait(2 * PATIENCE_S)
        assert (status.state, status.reason) == (JobState.FAILED, EndReason.OUT_OF_MEMORY)

    def test_the_end_of_the_wall_time_is_known(self, manager: Remote, executor: BatchSchedulerExecutor) -> None:
        job = executor.submit(self.job("sleep 300", wall_time_min=30))
        comes_true(lambda: job.status().state is JobState.ACTIVE)
        end = executor.scheduler.end_time(job.native_id)
        assert end is not None
        assert 1700 < end - time.time() <= 1802
        job.cancel()

    def test_one_element_of_an_array_is_cancelled_and_the_others_are_not(
        self, manager: Remote, executor: BatchSchedulerExecutor
    ) -> None:
        whole = executor.submit(self.job("sleep $((PSIJ_ARRAY_INDEX == 1 ? 300 : 3))", array=range(3)))
        elements = [f"{whole.id}_{index}" for index in range(3)]
        comes_true(lambda: all(one.state is JobState.ACTIVE for one in executor.status(elements, urgent=True)))
        executor.cancel([elements[1]])
        comes_true(lambda: all(one.final for one in executor.status(elements)))
        assert [one.state for one in executor.status(elements)] == [
            JobState.COMPLETED,
            JobState.CANCELED,
            JobState.COMPLETED,
        ]

    def test_a_host_with_grid_engines_commands_has_no_other_manager_of_that_name(self, manager: Remote) -> None:
        argv = [sys.executable, "-m", "psij_parsl.cli", "platform", "list"]
        listed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        lines = {line.split()[0]: line for line in listed.splitlines() if line.strip()}
        assert "Grid Engine's" not in lines["gridengine"]
        assert "Grid Engine's" in lines["pbspro"]
        found = subprocess.run([*argv[:3], "doctor"], capture_output=True, text=True, check=False).stdout
        assert "Grid Engine" in found

    def test_defaults_of_the_site_change_nothing_that_we_rely_on(
        self, alone: Remote, executor: BatchSchedulerExecutor
    ) -> None:
        alone.do("defaults", "-cwd -V -j n -w w -o /nosuch/dir -S /bin/sh")
        job = executor.submit(self.job("echo fine"))
        assert job.result(PATIENCE_S) == "fine\n"

    def test_a_job_on_a_dead_node_stays_as_it_was_and_a_cancel_of_it_is_no_error(
        self, alone: Remote, executor: BatchSchedulerExecutor
    ) -> None:
        job = executor.submit(self.job("sleep 300"))
        comes_true(lambda: job.status().state is JobState.ACTIVE and job.status().nodes)
        alone.do("kill_node", job.status().nodes)
        assert executor.status([job.id], urgent=True)[0].state is JobState.ACTIVE
        assert job.cancel()
        assert executor.status([job.id], urgent=True)[0].state is JobState.ACTIVE

    def test_after_a_loss_of_state_ours_is_lost_and_the_stranger_with_its_id_runs_on(
        self, alone: Remote, tmp_path: Path
    ) -> None:
        hasty = BatchSchedulerExecutor(self.platform, poll_s=0.5, grace_s=1.0)
        alone.do("forget")
        job = hasty.submit(self.job("true", hold=True))
        hasty.status([job.id], urgent=True)
        alone.do("forget")
        script = tmp_path / "theirs.sh"
        script.write_text("#!/bin/bash\nsleep 300\n")
        assert hasty.scheduler.qsub(script) == job.native_id
        assert job.native_id in in_qstat()  # the master answers again: without an answer ours would be cancelled
        hasty.cancel([job.id])
        status = job.wait(PATIENCE_S)
        assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST), status.message
        assert job.native_id in in_qstat()


def in_qstat() -> dict[str, str]:
    """The letters of all jobs, by id, as qstat's table has them."""
    table = subprocess.run(["qstat"], capture_output=True, text=True, check=True).stdout
    return {words[0]: words[4] for line in table.splitlines()[2:] if (words := line.split())}
