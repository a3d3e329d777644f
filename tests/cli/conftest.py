"""The command line's tests all start in an empty directory."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _starts_here(here: Path) -> None:
    """See `here` in tests/conftest.py."""
