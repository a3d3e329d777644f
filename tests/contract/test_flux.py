"""The contract suite over a simulated Flux."""

from __future__ import annotations

import pytest

from psij_parsl import BatchSchedulerExecutor
from psij_parsl.testing import PlatformContract
from tests.simulated.server import Simulated


@pytest.mark.slow
class TestFlux(PlatformContract):
    tried, version = "simulated", "0.88"
    samples = {
        "attributes": ["system.project=chem77"],
        "requires": "hosts:node77",
        "shell_options": ["mpibind=off77"],
        "urgency": "7",
    }
    must_have = ("nodes", "gpus")

    @pytest.fixture
    def executor(self, flux: Simulated) -> BatchSchedulerExecutor:
        return BatchSchedulerExecutor("flux", poll_s=0.1)
