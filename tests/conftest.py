"""What all tests share: a state directory of their own, and the real managers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from psij_parsl.testing import tools
from tests import unseen
from tests.clusters.managed import MANAGERS
from tests.clusters.packages import ManagerUnavailable
from tests.clusters.slurm import installed_release

pytest_plugins = ["tests.clusters.fixtures", "tests.simulated.fixtures", "tests.oddq.fixtures"]

#: Whoever uses one of these, be it through another fixture, tests on a real Slurm or `module` command, and is marked so.
_SLURMS = {
    "slurm_accounting",
    "slurm_plain",
    "slurm",
    "forgetful",
    "two_slurms",
    "slurm_two_types",
    "slurm_controller",
}
_REAL = {*_SLURMS, "module_command"}
_HIDDEN = pytest.StashKey[bool]()
# No test fails of the machine's being busy: neither an example nor making one is timed.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """No test sees the host's own resource managers, or whether nohup began us: what we start would ignore hangups too."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: None)  # the default in children, and none of our own end
    config.stash[_HIDDEN] = unseen.hide()


def pytest_unconfigure(config: pytest.Config) -> None:
    if config.stash[_HIDDEN]:
        unseen.tidy()


def pytest_report_header() -> str:
    """Which Slurm this is about."""
    try:
        return f"slurm: {installed_release()}"
    except ManagerUnavailable:
        return "slurm: none yet"


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a real manager; begin the files with slow tests first, for one begun last is waited for alone."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        managed = [name for name in MANAGERS if fixtures & {name, f"{name}_alone"}]
        for mark in managed and ("managed", "cluster", *managed):
            item.add_marker(mark)
        if fixtures & _REAL:
            item.add_marker("cluster")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state directory, and nothing of the developer's own settings."""
    for name in [name for name in os.environ if unseen.is_setting(name)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PSIJ_PARSL_SYSROOT", unseen.sysroot())
    path = tmp_path_factory.mktemp("home") / "state"
    monkeypatch.setenv("PSIJ_PARSL_HOME", str(path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(path.parent / "config"))
    return path


@pytest.fixture
def here(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each psij-run of the test starts in an empty directory, on a host of eight cores, with compiled modules."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.getbasetemp() / "pycache"))
    monkeypatch.setenv("PSIJ_LOCAL_CORES_TOTAL", "8")
    monkeypatch.setenv("PSIJ_LOCAL_KILL_WAIT", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def comes_true() -> Callable[..., Any]:
    """Wait for a condition, with a deadline."""
    return tools.comes_true


@pytest.fixture(scope="session", autouse=True)
def no_state_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test may touch the developer's own state directory."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("xdg"))
    yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Makes a command out of bash text, first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(name: str, text: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
        return path

    return make
