"""The contract suite over Torque: a simulated one, which answers as the real one was recorded."""

from __future__ import annotations

import pytest

from psij_parsl import BatchSchedulerExecutor
from psij_parsl.testing import PlatformContract
from tests.simulated.server import Simulated


@pytest.mark.slow
class TestTorque(PlatformContract):
    tried, version = "simulated", "its last public source"
    samples = {"features": ["bigmem"], "resources": ["pmem=2gb"], "priority": "77", "mail_events": "ae"}
    must_have = ("nodes", "memory", "gpus")
    array_size = 200

    @pytest.fixture
    def executor(self, torque: Simulated) -> BatchSchedulerExecutor:
        return BatchSchedulerExecutor("torque", poll_s=0.1)
