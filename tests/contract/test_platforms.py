"""The contract suite over every platform that can run here."""

from __future__ import annotations

import pytest

from psij_parsl import BatchSchedulerExecutor
from psij_parsl.testing import PlatformContract
from tests.clusters.slurm import SlurmCluster, installed_release
from tests.simulated.pbs.server import VERSION
from tests.simulated.server import Simulated


class TestLocal(PlatformContract):
    tried, version = "real", ""
    must_have = ("memory",)

    @pytest.fixture
    def executor(self) -> BatchSchedulerExecutor:
        return BatchSchedulerExecutor("local", poll_s=0.3)


@pytest.mark.every_slurm
@pytest.mark.slow
class TestSlurm(PlatformContract):
    tried, version = "real", staticmethod(installed_release)
    samples = {"directives": ["--switches=7"]}
    must_have = ("nodes", "memory", "gpus")

    @pytest.fixture
    def executor(self, slurm: SlurmCluster) -> BatchSchedulerExecutor:
        if slurm.settings.accounting:
            self.array_size = 600
        return BatchSchedulerExecutor("slurm", poll_s=0.5)


@pytest.mark.slow
class TestPBSPro(PlatformContract):
    tried, version = "simulated", VERSION
    samples = {
        "chunk": ["system=polaris"],
        "resources": ["software=x"],
        "place": "pack:excl",
        "priority": "77",
        "mail_events": "ae",
        "filesystems": "home:eagle",
    }
    must_have = ("nodes", "memory", "gpus")
    array_size = 600

    @pytest.fixture
    def executor(self, pbs: Simulated) -> BatchSchedulerExecutor:
        return BatchSchedulerExecutor("pbspro", poll_s=0.1)
