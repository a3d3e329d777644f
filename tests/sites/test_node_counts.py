"""How many nodes of a type there are, against the nodes that a job asks for; and the greatest index of an array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from psij_parsl import Job, site
from psij_parsl.api import Machine
from psij_parsl.sites.matching import matches
from tests.cli.helpers import psij_here

_MACHINE = """platform = "slurm"
[nodes.cpu]
count = 3
cpus = 16
memory = "32 GB"
[nodes.big]
count = 2
cpus = 16
memory = "64 GB"
parameters = { constraint = "big" }
[nodes.gpu]
count = 1
cpus = 8
gpus = 2
memory = "16 GB"
[nodes.many]
cpus = 8
[queues.batch]
node = ["cpu", "big", "gpu"]
strict = true
array_max_index = 2000
[queues.gpu]
node = "gpu"
[queues.open]
node = ["gpu", "many"]
strict = true
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    path = tmp_path / "machine.toml"
    path.write_text(_MACHINE)
    return site(file=path)


def told(machine: Machine, **asked: Any) -> list[tuple[str, str]]:
    """The level and the text of each finding."""
    completion = machine.completion({"command": ["app"], "queue": "batch", "wall_time_min": 10, **asked})
    findings = [*completion.findings, *machine.check(Job(**completion.fields))]
    return [(finding.level, finding.text) for finding in findings]


@pytest.mark.parametrize(
    ("nodes", "asked", "text"),
    [
        (6, {}, ""),
        (7, {}, "there are 6 cpu and big and gpu nodes, and the job asks for 7"),
        (1, {"gpus_per_rank": 1}, ""),
        (2, {"gpus_per_rank": 1}, "there is 1 gpu node, and the job asks for 2"),
        (2, {"parameters": {"gres": "gpu:1"}}, "there is 1 gpu node, and the job asks for 2"),
        (5, {"cpus_per_rank": 16}, ""),
        (6, {"cpus_per_rank": 16}, "there are 5 cpu and big nodes, and the job asks for 6"),
        (3, {"memory_per_node": 60000}, "there are 2 big nodes, and the job asks for 3"),
        (3, {"parameters": {"constraint": "big"}}, "there are 2 big nodes, and the job asks for 3"),
    ],
)
def test_all_nodes_count_on_which_a_job_can_run(machine: Machine, nodes: int, asked: Any, text: str) -> None:
    expected = [("refuse", f"queue batch: {text}")] if text else []
    assert told(machine, num_nodes=nodes, **asked) == expected


def test_a_type_without_a_count_sets_no_limit(machine: Machine) -> None:
    assert told(machine, queue="open", num_nodes=50) == []
    assert [level for level, _ in told(machine, queue="open", num_nodes=2, gpus_per_rank=1)] == ["refuse"]


def test_a_queue_that_is_not_strict_only_warns(machine: Machine) -> None:
    assert told(machine, queue="gpu", num_nodes=2) == [
        ("warn", "queue gpu: there is 1 gpu node, and the job asks for 2")
    ]


def test_match_knows_it_and_nothing_is_said_twice(machine: Machine, tmp_path: Path) -> None:
    found = {match.queue.name: match for match in matches(machine, {"num_nodes": 2, "gpus_per_rank": 1})}
    assert not any(match.fits for match in found.values())
    path = tmp_path / "machine.toml"
    path.write_text(_MACHINE.replace("strict = true\n", "strict = true\nmax_nodes = 4\n", 1))
    done = psij_here("site", "match", "--site", str(path), "-N", "9", "--json")
    assert done.stdout.count("4 nodes") == 1
    assert "cpu and big and gpu nodes" not in done.stdout
    refused = psij_here("submit", "--site", str(path), "-q", "auto", "-N", "2", "-g", "1", "--", "true")
    assert refused.returncode == 2
    assert "    batch: there is 1 gpu node, and the job asks for 2" in refused.stderr
    shown = psij_here("site", "queues", str(path)).stdout
    assert [line.split()[:2] for line in shown.splitlines() if line.startswith(("cpu ", "gpu "))][-2:] == [
        ["cpu", "3"],
        ["gpu", "1"],
    ]


@pytest.mark.parametrize("nodes", [(1, ""), (2, "there is 1 node, and the job asks for 2")])
def test_nodes_without_a_name(tmp_path: Path, nodes: tuple[int, str]) -> None:
    path = tmp_path / "one.toml"
    path.write_text('platform = "slurm"\n[node]\ncount = 1\ncpus = 4\n')
    number, text = nodes
    assert [said for _, said in told(site(file=path), queue=None, num_nodes=number)] == (
        [f"one: {text}"] if text else []
    )


@pytest.mark.parametrize(("array", "fits"), [(range(2001), True), ([2001], False), ([5, 3000], False)])
def test_the_greatest_index_of_an_array(machine: Machine, array: Any, fits: bool) -> None:
    found = told(machine, array=tuple(array))
    assert (found == []) is fits
    if not fits:
        assert found == [
            ("refuse", f"queue batch takes indices of job arrays up to 2000, and this one has {max(array)}")
        ]


@pytest.mark.parametrize("constraint", ['"{}"', '["{}"]'])
@pytest.mark.parametrize(("asked", "has"), [((2, None), "a"), ((50, None), "b"), ((2, "b"), "b")])
def test_a_job_is_for_the_type_that_has_as_many_nodes(tmp_path: Path, constraint: str, asked: Any, has: str) -> None:
    types = "".join(
        f"[nodes.{name}]\ncount = {count}\ncpus = 8\nparameters.constraint = {constraint.format(name)}\n"
        for name, count in (("a", 2), ("b", 100))
    )
    path = tmp_path / "two.toml"
    path.write_text(f'platform = "slurm"\n{types}[queues.q]\nnode = ["a", "b"]\nstrict = true\n')
    nodes, said = asked
    machine = site(file=path)
    wanted = {"queue": "q", "num_nodes": nodes, "parameters": {"constraint": said} if said else {}}
    completion = machine.completion({"command": ["app"], "wall_time_min": 10, **wanted})
    job = Job(**completion.fields)
    assert (job.node_type, [*machine.check(job)]) == (has, [])
    assert f"--constraint={has}\n" in machine.executor().render(job)
    assert told(machine, queue="q", num_nodes=101)


def test_a_soft_finding_hides_no_nodes_and_a_hard_one_no_count(tmp_path: Path) -> None:
    path = tmp_path / "threads.toml"
    path.write_text(
        'platform = "slurm"\n[node]\ncount = 4\ncpus = 128\nthreads_per_core = 2\n[queues.q]\nstrict = true\n'
    )
    machine = site(file=path)
    asked = {"queue": "q", "ranks_per_node": 100, "threads_per_core": 2}
    assert [level for level, _ in told(machine, num_nodes=4, **asked)] == ["warn"]
    assert [level for level, _ in told(machine, num_nodes=5, **asked)] == ["warn", "refuse"]
    assert [level for level, _ in told(machine, queue="q", num_nodes=5, ranks_per_node=200)] == ["refuse", "refuse"]
