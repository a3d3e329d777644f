"""`psij-run resources`: what an allocation has, who has what of it, and how much more fits."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable

import pytest

from psij_parsl.job_size import Resources
from psij_parsl.resources import NodeResources
from tests.cli.helpers import one_sentence_and_a_hint, psij, psij_here

JOB = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NODELIST": "n[1-3]",
    "SLURM_JOB_CPUS_PER_NODE": "8(x2),4",
    "SLURM_JOB_GPUS": "0,1",
    "SLURM_JOB_END_TIME": "9999999999",
}


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> NodeResources:
    """We are inside a job."""
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)
    return NodeResources.discover()


def test_show_draws_what_is_busy_and_who_has_it(job: NodeResources) -> None:
    held = job.assign(Resources(ranks_per_node=2, cpus_per_rank=3, gpus_per_rank=1))
    assert held is not None
    done = psij("resources", "show", PYTHONIOENCODING="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["job", "7"] in lines
    assert ["n3", "1", "░" * 12, "0/4", "░" * 12, "0/2"] in lines
    assert ["n1", "1", "█" * 9 + "░" * 3, "6/8", "█" * 12, "2/2"] in lines
    assert ["n2", "1", "░" * 12, "0/8", "░" * 12, "0/2"] in lines
    run = next(line for line in lines if line[:2] == [str(held.id), str(os.getpid())])
    assert run[-3:] == ["n1", "0-5", "0,1"]
    assert "#########..." in psij("resources", "show", PYTHONIOENCODING="ascii").stdout


def test_nodes_that_are_alike_share_a_line(job: NodeResources) -> None:
    lines = psij_here("resources", "show").stdout.splitlines()
    assert [line.split()[:2] for line in lines[-2:]] == [["n[1-2]", "2"], ["n3", "1"]]


def test_show_as_json_has_every_id(job: NodeResources, comes_true: Callable[..., None]) -> None:
    held = job.assign(Resources(num_nodes=3, ranks_per_node=4))
    assert held is not None
    waiter = threading.Thread(target=lambda: NodeResources.discover().wait_for(Resources(num_nodes=3), timeout=300))
    waiter.start()
    comes_true(lambda: len(job.holders()) == 2)
    data = json.loads(psij_here("resources", "show", "--json").stdout)
    assert (data["platform"], data["id"], data["hosts"]) == ("slurm", "7", "n[1-3]")
    assert data["time_left_s"] > 0
    assert data["nodes"][0]["busy"]["cpus"] == [0, 1, 2, 3]
    assert data["nodes"][2] == {
        "name": "n3",
        "idle": {"cpus": [], "gpus": ["0", "1"], "memory_mb": None, "real_ids": False},
        "busy": {"cpus": [0, 1, 2, 3], "gpus": [], "memory_mb": None, "real_ids": False},
    }
    first, second = data["holders"]
    assert (first["id"], first["pid"], len(first["nodes"])) == (held.id, str(os.getpid()), 3)
    assert second["nodes"] == []
    assert "waits" in psij_here("resources", "show").stdout
    held.free()
    waiter.join(30)


def test_detect_tells_what_the_environment_says(job: NodeResources) -> None:
    assert job.assign(Resources(), share=1) is not None  # it does not matter what is held
    rows = [line.split(maxsplit=2) for line in psij_here("resources", "detect").stdout.splitlines()]
    assert rows[-1] == ["n3", "1", "4, ids unknown  2: 0,1"]
    data = json.loads(psij_here("resources", "detect", "--json").stdout)
    assert (data["end"], len(data["nodes"]), data["nodes"][0]["gpus"]) == (9999999999.0, 3, ["0", "1"])


def test_a_job_that_cannot_be_read_is_told() -> None:
    done = psij_here("resources", "detect", PBS_JOBID="1", PBS_NODEFILE="/nonexistent")
    assert done.returncode == 3
    said, _ = one_sentence_and_a_hint(done)
    assert "PBS_NODEFILE" in said


@pytest.mark.parametrize(
    ("flags", "number"),
    [
        (["-n", "4"], 5),
        (["-n", "4", "-g", "0"], 5),
        (["-c", "2", "-g", "1"], 6),
        (["-N", "2", "-n", "16"], 1),
        (["-N", "3"], 4),
        (["--share", "2"], 6),
        (["--share", "1"], 3),
        (["-n", "12", "-c", "2"], 0),
    ],
)
def test_fit_tells_how_many_runs_fit_now(job: NodeResources, flags: list[str], number: int) -> None:
    done = psij_here("resources", "fit", *flags)
    if number:
        assert (done.returncode, done.stdout) == (0, f"{number}\n")
        assert json.loads(psij_here("resources", "fit", "--json", *flags).stdout)["fit"] == number
    else:
        assert done.returncode == 2  # never
        said, _ = one_sentence_and_a_hint(done)
        assert "the largest has 8" in said


def test_on_a_plain_host_it_is_the_host() -> None:
    data = json.loads(psij_here("resources", "detect", "--json").stdout)
    assert (data["platform"], data["id"], len(data["nodes"])) == ("host", "", 1)
