"""The contract suite on a real OAR of two nodes."""

from __future__ import annotations

import pytest

from psij_parsl import BatchSchedulerExecutor
from psij_parsl.testing import PlatformContract
from tests.clusters.managed import Remote

pytestmark = pytest.mark.slow


class TestOAR(PlatformContract):
    """OAR with a core for each resource, and without cpusets."""

    tried, version = "real", "OAR 2.5.9"
    must_have = ("nodes",)
    array_size = 12  # each costs OAR a second or more
    samples = {
        "core_property": "core",
        "gpu_property": "gpudevice",
        "memory_property": "memnode",
        "properties": "cluster='a' AND cputype<>'b'",
        "types": ["besteffort"],
        "notify": "mail:me@lab.org",
    }

    @pytest.fixture
    def executor(self, oar: Remote) -> BatchSchedulerExecutor:
        return BatchSchedulerExecutor("oar", poll_s=0.5)
