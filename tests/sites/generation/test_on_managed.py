"""`site generate` on real managers that an ordinary user asks: the file as it stands passes its check and its test."""

from __future__ import annotations

import json
import tempfile
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


_QUOTAS = """{
   name         at_a_time
   enabled      TRUE
   limit        users {*} queues all.q to slots=24,ngpus=6
   limit        users !root queues short.q to s=16
}
"""


@pytest.mark.parametrize("environment", ["mpi", "two"])
@pytest.mark.usefixtures("here")
def test_grid_engine_with_one_environment_for_several_nodes_and_quotas(
    environment: str, gridengine_alone: Remote
) -> None:
    """By the rules `$fill_up` and 2; a quota may have a resource's short name, and exceptions alone."""
    names = " ".join(gridengine_alone.do("admin", ["qconf", "-spl"]).split())
    try:
        for queue in ("all.q", "short.q"):
            gridengine_alone.do("admin", ["qconf", "-rattr", "queue", "pe_list", f"smp {environment}", queue])
        with tempfile.NamedTemporaryFile("w", dir="/tmp") as quotas:  # the administrator is another user
            quotas.write(_QUOTAS)
            quotas.flush()
            Path(quotas.name).chmod(0o644)
            gridengine_alone.do("admin", ["qconf", "-Arqs", quotas.name])
        document = generated("gridengine")
        assert acceptance() == {
            **_USUAL,
            "environment": "SKIPPED",
            "mpi": {"mpi": "SKIPPED", "two": "PASSED"}[environment],
        }  # it asks for GPUs, which are counted by the slot: two of them are no multiple of eight slots
        flags = ("--config", "./mine.toml", "-N", "2", "--ntasks-per-node", "2", "-q", "all.q", "-t", "5")
        done = psij("run", *flags, "--", "sh", "-c", 'cat "$PSIJ_NODEFILE"')
        assert (done.returncode, len(set(done.stdout.split()))) == (0, 2), done.stdout + done.stderr
    finally:
        for queue in ("all.q", "short.q"):
            gridengine_alone.do("admin", ["qconf", "-rattr", "queue", "pe_list", names, queue])
        gridengine_alone.do("admin", ["qconf", "-drqs", "at_a_time"], False)
    parameters = {"gpu_resource": "ngpus", "node_pe": "smp", "pe": environment}
    assert document["parameters"] == {**parameters, "pe_slots_per_node": {"mpi": 8, "two": 2}[environment]}
    limits = {
        name: (queue["max_nodes"], queue["max_cores"], queue.get("max_gpus"))
        for name, queue in document["queues"].items()
    }
    whole = environment == "mpi"  # so that a job takes 8 slots on each node
    assert limits == {"all.q": (3 if whole else 4, 24, 6), "short.q": (2 if whole else 4, 16, None)}


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
