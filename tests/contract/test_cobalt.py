"""The contract suite over a Cobalt that is simulated from its public source."""

from __future__ import annotations

from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor
from psij_parsl.testing import PlatformContract
from tests.simulated.server import Simulated

NO_RECORD = "Cobalt keeps no record of a job that has ended, and another program's job leaves no exit file"


@pytest.mark.slow
class TestCobalt(PlatformContract):
    tried, version = "simulated", "1.0.33"
    samples = {"attrs": "mcdram=flat:numa=quad", "notify": "a@b.org:c@d.org"}
    must_have = ("nodes",)
    script_options = "#COBALT -n 1 -t 10\n"

    @pytest.fixture
    def executor(self, cobalt: Simulated) -> BatchSchedulerExecutor:
        return BatchSchedulerExecutor("cobalt", poll_s=0.1)

    def test_the_manager_sees_the_exit_code_too(self, executor: BatchSchedulerExecutor) -> None:
        pytest.skip(NO_RECORD)

    def test_a_job_that_was_not_submitted_by_us_can_be_attached(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        pytest.skip(NO_RECORD)

    def test_attached_four_times_at_one_instant_it_is_one_job(
        self, executor: BatchSchedulerExecutor, tmp_path: Path
    ) -> None:
        pytest.skip(NO_RECORD)
