"""`site generate` on real managers that an ordinary user asks: the file as it stands passes its check and its test."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.cli.helpers import psij
from tests.clusters.managed import Remote


def generated(platform: str) -> dict[str, Any]:
    """The document; the file passes the check and the test, and jobs with all cores of a node and with a GPU run by it."""
    done = psij("site", "generate", "--platform", platform, "-o", "mine.toml")
    assert (done.returncode, done.stdout) == (0, "mine.toml\n"), done.stderr
    done = psij("site", "check", "./mine.toml")
    assert done.returncode == 0, done.stdout
    document = tomllib.loads(Path("mine.toml").read_text())
    (node,) = document["nodes"].values()
    asked = [["-c", str(node["cpus"])], *([["-g", "1"]] if node.get("gpus") else [])]
    for flags in asked:
        done = psij("run", "--config", "./mine.toml", *flags, "-t", "5", "--", "echo", "it ran")
        assert (done.returncode, done.stdout) == (0, "it ran\n"), done.stderr
    return document


def acceptance() -> dict[str, str]:
    """The state of each check of the file, as it stands, in its test; checks that are the same in several places once."""
    done = psij("site", "test", "./mine.toml", "--yes", "--json", "--timeout", "9m")
    assert done.returncode == 0, done.stdout + done.stderr
    assert psij("list", "--json").stdout.strip() == "[]"
    return {check["check"]: check["state"] for check in json.loads(done.stdout)["checks"]}


_USUAL = {
    **dict.fromkeys(("file", "hold", "node", "spool", "environment", "mpi", "binding", "gpu", "cancel"), "PASSED"),
    "walltime": "SKIPPED",
}


@pytest.mark.usefixtures("here")
def test_grid_engine(gridengine: Remote) -> None:
    document = generated("gridengine")
    assert acceptance() == {
        **_USUAL,
        "environment": "SKIPPED",
        "mpi": "SKIPPED",
    }  # which parallel environment is not known
    assert document["nodes"]["gpu"]["cpus"] == 8
    assert document["nodes"]["gpu"]["gpus"] == 2
    assert document["parameters"] == {"gpu_resource": "ngpus", "node_pe": "smp"}
    assert list(document["queues"]) == ["all.q", "short.q"]


@pytest.mark.usefixtures("here")
def test_oar(oar: Remote) -> None:
    assert generated("oar")["nodes"] == {"cpu": {"source": "manager", "count": 2, "cpus": 8}}
    assert acceptance() == {**_USUAL, "gpu": "SKIPPED"}


@pytest.mark.usefixtures("here")
def test_htcondor(htcondor: Remote) -> None:
    assert generated("htcondor")["nodes"] == {
        "gpu": {"source": "manager", "count": 1, "cpus": 8, "memory": 16000, "gpus": 2}
    }
    assert acceptance() == {**_USUAL, "environment": "SKIPPED", "mpi": "SKIPPED"}  # it runs jobs on one host
