"""Children of ours, and when they have ended."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from psij_parsl.system.processes import has_ended


@pytest.mark.parametrize("system", ["with handles of processes", "without"])
def test_an_end_is_seen_when_it_comes_and_a_wait_ends_when_the_time_is_up(
    system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if system == "without":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    began = time.monotonic()
    with subprocess.Popen(["sh", "-c", "read -r _; exit 3"], stdin=subprocess.PIPE) as child:
        assert not has_ended(child, 0.01)
        assert time.monotonic() - began >= 0.01
        assert child.stdin is not None
        child.stdin.close()
        assert has_ended(child, 60)
        assert child.returncode == 3
        assert has_ended(child, 60)
    assert time.monotonic() - began < 30
