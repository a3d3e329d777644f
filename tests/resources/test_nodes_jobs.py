"""NodeResources inside real jobs: of Slurm on several nodes with GPUs, and of the local manager."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, Job
from psij_parsl.errors import Rejected, Unavailable
from psij_parsl.platforms import registry
from psij_parsl.resources import Allocation, Node, NodeResources
from psij_parsl.system.commands import Output
from psij_parsl.testing.tools import PATIENCE_S
from tests.clusters.slurm import SlurmCluster

LOOK = """
import json, sys
from psij_parsl import Resources
from psij_parsl.errors import Error
from psij_parsl.resources import NodeResources

def tried(call):
    try:
        return call()
    except Error as error:
        return [type(error).__name__, error.message]

nodes = NodeResources.discover()
wanted = Resources(num_nodes=2, ranks_per_node=RANKS, gpus_per_rank=GPUS)
held = nodes.assign(wanted) if len(nodes.idle()) > 1 else None
other = NodeResources.discover()
answer = {
    "nodes": nodes.idle(), "allocation": [nodes.allocation.platform, nodes.allocation.id],
    "held": held and held.nodes, "left": nodes.time_left(),
    "fit": other.fit(Resources()),
}
"""


def ask(text: str, path: Path, *, ranks: int = 2, gpus: int = 0) -> list[str]:
    """A command for a job that runs that code, after LOOK, and leaves `answer` in a file."""
    look = LOOK.replace("GPUS", str(gpus)).replace("RANKS", str(ranks))
    code = f"{look}\n{text}\nopen(sys.argv[1], 'w').write(json.dumps(answer))"
    return [sys.executable, "-c", code, str(path)]


def answer(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture
def cluster(slurm_plain: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> SlurmCluster:
    for name, value in slurm_plain.env.items():
        monkeypatch.setenv(name, value)
    return slurm_plain


def slurm_job(cluster: SlurmCluster, command: list[str], *options: str) -> None:
    """Run it in a job, and wait for its end."""
    folder = Path(os.environ["PSIJ_PARSL_HOME"]).parent
    script, out = folder / "job.sh", folder / "job.out"
    script.write_text('#!/bin/bash\nexec "$@"\n')
    try:
        cluster.run("sbatch", "--wait", "--time=5", f"--output={out}", *options, str(script), *command)
    finally:
        if out.exists():
            print(out.read_text())


def test_a_slurm_job_on_two_nodes_with_gpus(cluster: SlurmCluster, tmp_path: Path) -> None:
    command = ask("", tmp_path / "a", gpus=1)
    slurm_job(cluster, command, "-N2", "--ntasks-per-node=2", "-c3", "--gpus-per-node=2")
    found = answer(tmp_path / "a")
    assert [(name, len(cpus), gpus) for name, cpus, gpus, _, _ in found["held"]] == [
        ("node01", 2, ["0", "1"]),
        ("node02", 2, ["0", "1"]),
    ]
    assert found["fit"] == 8  # another object of the same allocation sees what the first one holds
    assert 200 < found["left"] <= 300  # asked of Slurm, whose environment does not say on 22.05
    assert found["allocation"][0] == "slurm"


def test_a_slurm_job_with_unequal_nodes(cluster: SlurmCluster, tmp_path: Path) -> None:
    slurm_job(cluster, ask("", tmp_path / "a", ranks=1), "-N2", "-n5", "--nodelist=node03,node04")
    found = answer(tmp_path / "a")
    assert {name: len(cpus) for name, cpus, *_ in found["nodes"]} == {"node03": 3, "node04": 0}  # beside one of each


SHRINK = """
held.free()
answer["before"] = tried(lambda: nodes.release_nodes(["node01"]))
nodes.extend_walltime(3)
answer["left"] = nodes.time_left()
answer["released"] = tried(lambda: nodes.release_nodes(1))
answer["fit"] = [each.fit(Resources(ranks_per_node=2)) for each in (nodes, other, NodeResources.discover())]
answer["more"] = tried(lambda: nodes.request_nodes(1))
import subprocess
line = ["squeue", "-h", "-j", nodes.allocation.id, "-o", "%N"]
answer["squeue"] = subprocess.run(line, capture_output=True, text=True).stdout.split()
"""


def test_a_running_slurm_job_shrinks_and_its_time_is_cut(cluster: SlurmCluster, tmp_path: Path) -> None:
    slurm_job(cluster, ask(SHRINK, tmp_path / "a"), "-N3", "--ntasks-per-node=2")
    found = answer(tmp_path / "a")
    assert found["before"] == ["InvalidRequest", "node01 cannot be given back: the job's script runs there"]
    assert found["released"] == ["node03"]
    assert found["squeue"] == ["node[01-02]"]
    assert found["fit"] == [2, 2, 2]  # nobody uses the third node any longer
    assert found["more"] == ["Unsupported", "this platform cannot add nodes to a running job"]
    assert 100 < found["left"] <= 180


def test_a_job_of_the_local_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSIJ_LOCAL_CORES_TOTAL", "4")
    executor = BatchSchedulerExecutor("local")
    job = executor.submit(Job(command=ask("", tmp_path / "a"), cpus_per_rank=3, wall_time_min=7))
    assert job.wait(PATIENCE_S).state.name == "COMPLETED", job.status()
    found = answer(tmp_path / "a")
    assert found["allocation"] == ["local", job.native_id]
    assert [len(cpus) for _, cpus, _, _, _ in found["nodes"]] == [3]
    assert 300 < found["left"] <= 420


# ---- when the manager says no --------------------------------------------------------------------------------------


def in_slurm(monkeypatch: pytest.MonkeyPatch, said: str) -> NodeResources:
    """Nodes of a Slurm that says no to every change, in words that it was heard to say."""

    def run(argv: list[str], **_: object) -> Output:
        return Output(tuple(argv), 1, "", said)

    scheduler = registry.platform("slurm").scheduler_class(run)
    monkeypatch.setattr("psij_parsl.resources.allocation_control.scheduler_of", lambda allocation: scheduler)
    return NodeResources(Allocation("slurm", "7", tuple(Node(f"n{at}", (0, 1)) for at in range(3))))


def test_a_wall_time_that_may_not_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = in_slurm(monkeypatch, "Access/permission denied for job 7\n")
    with pytest.raises(Rejected, match="Access/permission denied") as refused:
        nodes.extend_walltime(60)
    assert refused.value.limit == "permission"
    assert "you can only lower" in refused.value.hint
    assert nodes.time_left() is None  # asked, and not told


def test_nodes_that_could_not_be_given_back_stay_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = in_slurm(monkeypatch, "Job update not available right now, the DB index is being set, try again in a bit")
    with pytest.raises(Unavailable, match="DB index") as refused:
        nodes.release_nodes(2)
    assert "still recording" in refused.value.hint
    assert len(nodes.idle()) == 3
