"""Jobs on a real Grid Engine of four nodes."""

from __future__ import annotations

import pytest

from psij_parsl import JobState
from tests.clusters.managed import Remote
from tests.providers.real_manager import Blocks, Life, OddTexts, Outages, TwoNodes
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


@pytest.mark.xdist_group("hostile-gridengine")
class TestOddTexts(Here, OddTexts):
    pass
