"""What blocks of workers find on this host."""

from __future__ import annotations

import pytest

from tests import unseen


@pytest.fixture
def nobody_activated_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """No virtual environment is on PATH."""
    monkeypatch.setenv("PATH", unseen.plain_path())


@pytest.fixture
def many_cores(nobody_activated_anything: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded manager gives out more cores than this machine may have."""
    monkeypatch.setenv("PSIJ_LOCAL_CORES_TOTAL", "16")
