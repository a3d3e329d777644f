"""Each test of the contract suite tells the test report about which platform it was, and how that was tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from psij_parsl import BatchSchedulerExecutor


@pytest.fixture(autouse=True)
def tried(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Iterator[None]:
    """For `tests/capabilities.py`: a class has `tried` ("real" or "simulated") and `version`, or a function of it."""
    yield
    executor = request.node.funcargs.get("executor")
    if not isinstance(executor, BatchSchedulerExecutor):  # its manager is not here
        return
    version = request.cls.version
    record_property("platform", executor.platform.name)
    record_property("tried", request.cls.tried)
    record_property("version", version() if callable(version) else version)
