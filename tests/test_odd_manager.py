"""A manager that is not like toyq: docs/odd-managers.md, whose code is the platform, and a manager that really runs jobs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from psij_parsl import BatchSchedulerExecutor
from psij_parsl.testing import PlatformContract
from tests.oddq.manager_of import Oddq

Oddly = Callable[..., BatchSchedulerExecutor]


class TestOddq(PlatformContract):
    """As the page has it: standard input, unrelated ids, the tag in the name, any end, orders, dear history."""

    @pytest.fixture
    def executor(self, oddly: Oddly) -> BatchSchedulerExecutor:
        return oddly()


class TestOddqOfFiles(PlatformContract):
    """An executable file, arrays of a range from 1, the tag in the log's path, and nothing forgotten."""

    @pytest.fixture
    def executor(self, oddq: Oddq, oddly: Oddly) -> BatchSchedulerExecutor:
        oddq.switch(stdin=False, own_ids=False, shows=["output"], keeps_unstarted=True)
        return oddly("variants:FileScheduler", "variants:RangeTemplate")


class TestOddqOfTimes(PlatformContract):
    """No tag comes back at all: a record is known by its time of submission."""

    @pytest.fixture
    def executor(self, oddq: Oddq, oddly: Oddly) -> BatchSchedulerExecutor:
        oddq.switch(stdin=False, own_ids=False, shows=[])
        return oddly("variants:TimeScheduler", "variants:RangeTemplate")
