"""A fixture for each simulated manager, a server of the test's own, and one that makes executors for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from psij_parsl import BatchSchedulerExecutor

from .server import Simulated, running


def _server(name: str) -> Callable[..., Iterator[Simulated]]:
    """The fixture of that name: the server runs as long as the test does."""

    @pytest.fixture(name=name)
    def server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulated]:
        monkeypatch.setenv("PATH", os.environ["PATH"])  # what a test changes ends up at this
        with running(name, tmp_path_factory.mktemp(name) / "server") as started:
            yield started

    return server


pbs = _server("pbs")
cobalt = _server("cobalt")
lsf = _server("lsf")


@pytest.fixture
def pbspro(pbs: Simulated) -> Callable[..., BatchSchedulerExecutor]:
    return partial(BatchSchedulerExecutor, "pbspro", poll_s=0.1)


flux = _server("flux")


@pytest.fixture
def flux_executor(flux: Simulated) -> Callable[..., BatchSchedulerExecutor]:
    return partial(BatchSchedulerExecutor, "flux", poll_s=0.1)


torque = _server("torque")


@pytest.fixture
def torque_executor(torque: Simulated) -> Callable[..., BatchSchedulerExecutor]:
    return partial(BatchSchedulerExecutor, "torque", poll_s=0.1)
