"""The contract suite over a simulated LSF: see tests/simulated/lsf."""

from __future__ import annotations

import pytest

from psij_parsl import BatchSchedulerExecutor
from psij_parsl.testing import PlatformContract
from tests.simulated.server import Simulated


@pytest.mark.slow
class TestLSF(PlatformContract):
    tried, version = "simulated", "10.1"
    samples = {
        "requirements": ["select[type==any]"],
        "gpu_options": "mode=shared",
        "requeue_codes": [77],
        "alloc_flags": ["smt4"],
    }
    must_have = ("nodes", "memory", "gpus")
    array_size = 60

    @pytest.fixture
    def executor(self, lsf: Simulated) -> BatchSchedulerExecutor:
        return BatchSchedulerExecutor("lsf", poll_s=0.1)
