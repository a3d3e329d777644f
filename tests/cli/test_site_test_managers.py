"""`psij-run site test` on a real Grid Engine, HTCondor and OAR, with the site files that are shipped for them."""

from __future__ import annotations

import json

from tests.cli.helpers import psij
from tests.clusters.managed import Remote

_CHECKS = ("hold", "node", "spool", "mpi", "binding", "cancel")


def passed_and_skipped(*args: str, only: tuple[str, ...] = _CHECKS) -> tuple[set[str], set[str]]:
    """The names of the checks that passed, and of those that were skipped; none failed."""
    done = psij("site", "test", *args, "--yes", "--json", "--only", ",".join(only), "--timeout", "2m")
    assert done.returncode == 0, done.stdout + done.stderr
    checks = json.loads(done.stdout)["checks"]
    assert psij("list", "--json").stdout.strip() == "[]"
    passed = {check["check"] for check in checks if check["state"] == "PASSED"}
    return passed, {check["check"] for check in checks} - passed


def test_grid_engine(gridengine: Remote) -> None:
    alone = ("hold", "node", "spool", "cancel")
    assert passed_and_skipped("gridengine", only=alone) == (set(alone), set())


def test_grid_engine_with_a_parallel_environment(gridengine: Remote) -> None:
    two_on_a_host = ("mpi", "binding")
    assert passed_and_skipped("gridengine", "-X", "pe=two", only=two_on_a_host) == (set(two_on_a_host), set())


def test_htcondor_runs_jobs_on_one_host(htcondor: Remote) -> None:
    assert passed_and_skipped("htcondor") == (set(_CHECKS) - {"mpi"}, {"mpi"})


def test_oar_whose_nodes_are_reached_by_oarsh(oar: Remote) -> None:
    assert passed_and_skipped("oar") == (set(_CHECKS), set())
