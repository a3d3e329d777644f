"""The fixtures `pbs`, a simulated PBS of the test's own, and `pbspro`, which makes executors for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from psij_parsl import BatchSchedulerExecutor

from .server import FakePBS, running


@pytest.fixture
def pbs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePBS]:
    monkeypatch.setenv("PATH", os.environ["PATH"])  # what a test changes ends up at this
    with running(tmp_path_factory.mktemp("pbs") / "server") as server:
        yield server


@pytest.fixture
def pbspro(pbs: FakePBS) -> Callable[..., BatchSchedulerExecutor]:
    return partial(BatchSchedulerExecutor, "pbspro", poll_s=0.1)
