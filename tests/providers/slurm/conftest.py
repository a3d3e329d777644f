"""What stands between us and a real Slurm."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters.slurm import SlurmCluster
from tests.providers.slurm.helpers import Shims


@pytest.fixture
def shims(slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shims]:
    """Programs of the test's own before those of the cluster's Slurm."""
    made = Shims(tmp_path / "shims")
    monkeypatch.setenv("PATH", made.path)
    yield made
    made.take_away(*os.listdir(made.folder))  # for what tidies the cluster up after the test
