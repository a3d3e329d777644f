"""Jobs on a real OAR of two nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, JobState
from psij_parsl.testing.tools import PATIENCE_S, comes_true
from tests.clusters.managed import Remote
from tests.providers.real_manager import Blocks, Life, OddTexts, OnRealManager, Outages, TwoNodes, Words
from tests.runs import real_mpis

pytestmark = pytest.mark.slow

#: How the launchers get from node to node, as a site would have it.
BY_OARSH = {
    "OMPI_MCA_plm_rsh_agent": "oarsh",
    "PRTE_MCA_plm_ssh_agent": "oarsh",
    "HYDRA_LAUNCHER": "rsh",
    "HYDRA_LAUNCHER_EXEC": "oarsh",
}


class Here:
    platform = "oar"

    @pytest.fixture
    def manager(self, oar: Remote) -> Remote:
        return oar

    @pytest.fixture
    def alone(self, oar_alone: Remote) -> Remote:
        return oar_alone


class TestLife(Here, Life):
    pass


class TestWords(Here, Words):
    limits_arrays = knows_begin = False


class TestOutages(Here, Outages):
    def test_a_submission_to_a_master_that_is_away_is_refused_and_leaves_no_job(
        self, alone: Remote, executor: BatchSchedulerExecutor, log: Path
    ) -> None:
        """Not so with OAR: the job is in the database, though `oarsub` says that it is killed. It runs once."""
        alone.do("stop_master")
        job = executor.submit(self.job(f"echo ran >>{log}"))
        assert executor.status([job.id], urgent=True)[0].state is JobState.QUEUED
        alone.do("start_master")
        assert job.wait(2 * PATIENCE_S).state is JobState.COMPLETED
        assert log.read_text() == "ran\n"

    def test_a_cancel_while_the_master_is_away_is_carried_out_with_the_next_one(
        self, alone: Remote, executor: BatchSchedulerExecutor
    ) -> None:
        """Back again, it does not look for requests that it has not heard of, until it hears of one."""
        job, other = executor.submit(self.job("sleep 300")), executor.submit(self.job("sleep 300"))
        for each in (job, other):
            comes_true(lambda each=each: executor.status([each.id], urgent=True)[0].state is JobState.ACTIVE)
        alone.do("stop_master")
        assert job.cancel()
        alone.do("start_master")
        assert other.cancel()
        assert job.wait(2 * PATIENCE_S).state is JobState.CANCELED
        assert other.wait(PATIENCE_S).state is JobState.CANCELED


class TestNodes(Here, OnRealManager):
    def test_a_job_whose_node_fails_before_it_starts_is_followed_to_its_new_id(
        self, alone: Remote, executor: BatchSchedulerExecutor, log: Path
    ) -> None:
        """OAR finds that the first node does not answer, and submits the job again under another id."""
        for _ in range(20):  # what earlier tests have left there has ended
            if executor.submit(self.job("hostname")).result(PATIENCE_S) == "node01\n":
                break
        alone.do("kill_node", "node01")
        job = executor.submit(self.job(f"hostname >>{log}"))
        first = job.native_id
        assert job.wait(2 * PATIENCE_S).state is JobState.COMPLETED
        assert log.read_text() == "node02\n"
        assert executor.submission(job.id).native_id != first


class TestTwoNodes(Here, TwoNodes):
    launchers = (
        "openmpi",
    )  # Hydra starts all ranks on the first of these nodes, both of which have loopback addresses
    environment = {**real_mpis.ENVIRONMENT, **BY_OARSH}


class TestBlocks(Here, Blocks):
    provider = "OARProvider"


class TestOddTexts(Here, OddTexts):
    pass
