"""The fixtures `pbs`, a simulated PBS of the test's own, and `pbspro`, which makes executors for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from psij_parsl import BatchSchedulerExecutor

from .server import FakePBS, running


@pytest.fixture
def pbs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakePBS]:
    with running(tmp_path_factory.mktemp("pbs") / "server") as server:
        yield server


@pytest.fixture
def pbspro(pbs: FakePBS) -> Callable[..., BatchSchedulerExecutor]:
    return partial(BatchSchedulerExecutor, "pbspro", poll_s=0.1)
