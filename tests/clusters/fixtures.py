"""The clusters as pytest fixtures; a root conftest.py has `pytest_plugins = ["tests.clusters.fixtures"]`.

A cluster starts when the first test asks for it, and ends with the session. Where a host cannot run one, its
tests are skipped with the reason; in CI they are errors, for there nobody reads why a test was skipped.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests import unseen
from tests.clusters import modules
from tests.clusters.hosts import ClusterError
from tests.clusters.managed import NAME, PLACE, Remote
from tests.clusters.modules import ModuleSystem
from tests.clusters.packages import ManagerUnavailable
from tests.clusters.slurm import SlurmCluster, client_variables, install
from tests.clusters.slurm_conf import SlurmSettings
from tests.clusters.slurm_controller import LoneController, lone_controller


@pytest.fixture(scope="session")
def slurm_accounting() -> Iterator[SlurmCluster]:
    """Slurm with accounting: sacct remembers every job; accounts and QOS are enforced."""
    yield from _running(SlurmSettings(accounting=True))


@pytest.fixture(scope="session")
def slurm_plain() -> Iterator[SlurmCluster]:
    """Slurm without accounting: what squeue has forgotten, nobody knows."""
    yield from _running(SlurmSettings(accounting=False))


@pytest.fixture(params=["accounting", "plain"])
def slurm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """Each kind of Slurm, as the one that Slurm's commands talk to; the test may leave it in any state."""
    cluster: SlurmCluster = request.getfixturevalue(f"slurm_{request.param}")
    _talk_to(cluster, monkeypatch)
    yield cluster
    _leave_as_found(cluster)


@pytest.fixture
def slurm_controller() -> Callable[..., AbstractContextManager[LoneController]]:
    """Makes a slurmctld alone, of a cluster's name and its lines of nodes and partitions."""
    try:
        install(accounting=False)
    except ManagerUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    return lone_controller


@pytest.fixture(scope="module")
def forgetful() -> Iterator[SlurmCluster]:
    """A Slurm without accounting that forgets a job two seconds after its end."""
    yield from _running(SlurmSettings(accounting=False, nodes=1, min_job_age=2))


@pytest.fixture(scope="module")
def _two_types() -> Iterator[SlurmCluster]:
    yield from _running(SlurmSettings(name="twotypes", cpu_nodes=1))


@pytest.fixture
def slurm_two_types(_two_types: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """A Slurm with accounting whose last node has no GPUs, but twice the CPUs and memory, and a partition of its own."""
    _talk_to(_two_types, monkeypatch)
    yield _two_types
    _leave_as_found(_two_types)


@pytest.fixture(scope="module")
def _pair_of_slurms() -> Iterator[tuple[SlurmCluster, SlurmCluster]]:
    for one in _running(SlurmSettings(name="one", nodes=2)):
        for two in _running(SlurmSettings(name="two", nodes=2), beside=one):
            yield one, two


@pytest.fixture
def two_slurms(
    _pair_of_slurms: tuple[SlurmCluster, SlurmCluster], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[SlurmCluster, SlurmCluster]]:
    """The clusters "one" and "two" of one accounting; commands talk to "one", and with `-M two` to "two"."""
    one, two = _pair_of_slurms
    _talk_to(one, monkeypatch)
    yield one, two
    _leave_as_found(one, two)


@pytest.fixture(params=["environment-modules", "lmod"])
def module_command(request: pytest.FixtureRequest) -> ModuleSystem:
    """Each real `module` command, installed: where its files are."""
    try:
        modules.install()
    except ManagerUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    return modules.module_system(request.param)


@contextmanager
def _managed(name: str, monkeypatch: pytest.MonkeyPatch, alone: bool = False) -> Iterator[Remote]:
    """The manager that `managed.py` has started for this run, and its commands on PATH."""
    if os.environ.get(NAME) != name:
        pytest.skip(f"run by `python -m tests.clusters.managed {name} -- pytest -m {name}`")
    manager = Remote(Path(os.environ[PLACE]))
    for variable, value in unseen.environment_with(name).items():
        monkeypatch.setenv(variable, value)
    with (manager.place / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield manager
        if alone:
            manager.do("heal")


def _fixture(name: str, alone: bool) -> Callable[..., Iterator[Remote]]:
    @pytest.fixture(name=f"{name}_alone" if alone else name)
    def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
        with _managed(name, monkeypatch, alone) as remote:
            yield remote

    return manager


# A real manager that other tests use at the same time, so it must stay as it is; and the same for one test alone, which may
# leave it in any state.
gridengine, gridengine_alone = _fixture("gridengine", False), _fixture("gridengine", True)
htcondor, htcondor_alone = _fixture("htcondor", False), _fixture("htcondor", True)
oar, oar_alone = _fixture("oar", False), _fixture("oar", True)


def _talk_to(cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in client_variables(os.environ):
        monkeypatch.delenv(name)
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)


def _running(settings: SlurmSettings, beside: SlurmCluster | None = None) -> Iterator[SlurmCluster]:
    cluster = SlurmCluster(settings, beside=beside)
    try:
        cluster.start()
    except ManagerUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    yield cluster
    cluster.stop()


def _leave_as_found(*clusters: SlurmCluster) -> None:
    """Heal and empty them; a later one may use the first one's services."""
    try:
        for cluster in clusters:
            cluster.heal()
            cluster.cancel_all()
            cluster.wait_idle()
    except ClusterError:
        # The test that did it is told; the next one gets new clusters.
        for cluster in reversed(clusters):
            cluster.stop()
        for cluster in clusters:
            cluster.start()
        raise
