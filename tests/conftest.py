"""What all tests share: a state directory of their own, and the real managers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests import unseen
from tests.clusters.packages import ManagerUnavailable
from tests.clusters.slurm import installed_release

pytest_plugins = ["tests.clusters.fixtures", "tests.fake_pbs.fixtures", "tests.oddq.fixtures"]

#: The files that take longest, in the order in which they are begun: one that is begun last is waited for alone.
LONGEST = (
    "parsl/test_slurm",
    "runs/test_launch",
    "providers/slurm/test_concurrent_submits",
    "parsl/test_local",
    "runs/test_run_mpi",
    "parsl/test_own_tests",
    "runs/test_launch_slurm",
    "house/test_unseen",
    "end_to_end/test_adding_a_platform",
    "providers/slurm/test_answers",
    "providers/local/test_manager",
    "providers/slurm/test_ends",
    "providers/slurm/test_concurrent_polling",
    "contract/test_platforms",
    "end_to_end/test_hostile",
    "clusters/test_slurm_cluster",
)


_HIDDEN = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """No test sees the host's own resource managers, or whether nohup began us: what we start would ignore hangups too."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: None)  # the default in children, and none of our own end
    config.stash[_HIDDEN] = unseen.hide()


def pytest_unconfigure(config: pytest.Config) -> None:
    if config.stash[_HIDDEN]:
        unseen.tidy()


#: Who uses one of these tests on whatever Slurm, or `module`, the machine has.
_REAL = {"slurm", "slurm_accounting", "slurm_plain", "two_slurms", "module_command"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--only-slurm", action="store_true", help="only the tests that need a Slurm or a module command")


def pytest_report_header() -> str:
    """Which Slurm this is about."""
    try:
        return f"slurm: {installed_release()}"
    except ManagerUnavailable:
        return "slurm: none yet"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin the longest files first; leave out what no Slurm is needed for, if that is wanted."""
    if config.getoption("--only-slurm"):
        left_out = [item for item in items if _REAL.isdisjoint(getattr(item, "fixturenames", ()))]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(_name(item), len(place)))


def _name(item: pytest.Item) -> str:
    """The item's file, below this folder."""
    return str(item.path.relative_to(Path(__file__).parent).with_suffix(""))


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
def comes_true() -> Callable[..., None]:
    """Wait for a condition, with a deadline."""

    def wait(condition: Callable[[], object], seconds: float = 60.0, what: str = "") -> None:
        deadline = monotonic() + seconds
        while not condition():
            assert monotonic() < deadline, f"not within {seconds} s: {what or condition}"
            sleep(0.05)

    return wait


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
