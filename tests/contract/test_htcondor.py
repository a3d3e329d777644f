"""The contract suite on a real HTCondor."""

from __future__ import annotations

import subprocess

import pytest

from psij_parsl import BatchSchedulerExecutor
from psij_parsl.testing import PlatformContract
from tests.clusters.managed import Remote


@pytest.mark.slow
class TestHTCondor(PlatformContract):
    tried = "real"

    @staticmethod
    def version() -> str:
        told = subprocess.run(["condor_version"], capture_output=True, text=True, check=True).stdout
        return f"HTCondor {told.split()[1]}"

    samples = {
        "requirements": "Memory > 77",
        "concurrency_limits": ["matlab:2"],
        "attributes": ["JobFlavour=longlunch"],
        "priority": "77",
    }
    must_have = ("memory", "gpus")
    array_size = 200

    @pytest.fixture
    def executor(self, htcondor: Remote) -> BatchSchedulerExecutor:
        return BatchSchedulerExecutor("htcondor", poll_s=0.5)
