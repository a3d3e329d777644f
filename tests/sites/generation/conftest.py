"""The fixtures of these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sites.generation.answers import Answers


@pytest.fixture
def answers(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Answers:
    return Answers(tmp_path_factory.mktemp("answers"), monkeypatch)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the site file goes."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
