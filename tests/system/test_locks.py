"""Locks: one holder at a time, whose name stands beside."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from psij_parsl.system.locks import hold_lock, holder, lock, try_lock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "some.lock"


def test_one_has_it_and_the_other_does_not(path: Path) -> None:
    for _ in range(2):  # the file is made, and then it is there
        with hold_lock(lock(path)), try_lock(lock(path)) as ours:
            assert not ours
        with try_lock(lock(path)) as ours:
            assert ours
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_named_lock_tells_who_has_it_also_after_one_with_a_longer_name(path: Path) -> None:
    mine = lock(path)
    name = Path(f"{path}.holder")
    with hold_lock(mine, named=True):
        assert f"process {os.getpid()} of this host holds it" in holder(mine)
        first = name.read_text()
    name.write_text(f"{first}0123456789")
    with hold_lock(mine, named=True):
        assert name.read_text() == first
