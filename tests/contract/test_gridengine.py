"""The contract suite on a real Grid Engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, Submission
from psij_parsl.testing import PlatformContract
from tests.clusters.managed import Remote

#: What a site's file would say of this cluster.
OF_SITE: Mapping[str, Mapping[str, Any]] = {"nodes": {"pe": "one"}, "gpus": {"gpu_resource": "ngpus"}, "memory": {}}


@pytest.mark.slow
class TestGridEngine(PlatformContract):
    tried, version = "real", "Son of Grid Engine 8.1.9"
    samples = {
        "resources": ["arch=lx-amd64"],
        "memory_resource": "h_data",
        "gpu_resource": "ngpus",
        "priority": "-77",
        "mail_events": "ae",
    }
    must_have = ("nodes", "memory", "gpus")

    @pytest.fixture
    def executor(self, gridengine: Remote) -> BatchSchedulerExecutor:
        return BatchSchedulerExecutor("gridengine", poll_s=0.5)

    def _has(self, executor: BatchSchedulerExecutor, what: str, job: Job) -> Submission:
        return super()._has(executor, what, replace(job, parameters=OF_SITE[what]))
