"""What real managers say to the option lines of shipped sites: to those of Slurm's machines, a slurmctld of their shape.

Its slurm.conf is made from the site file, so that each typical job must fit, and one beyond the limits must not.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from psij_parsl.api import Machine, site
from psij_parsl.platforms.registry import platform
from tests.clusters.managed import Remote
from tests.clusters.slurm_controller import LoneController
from tests.sites.site_slurm_conf import Partition, node_and_partition_lines, partitions
from tests.sites.typical_jobs import CONFIGS, MACHINES, PROJECT, completed_job, machine, option_lines, typical_jobs

__all__ = ["machine"]

GOLDEN = Path(__file__).parents[1] / "golden"

Controllers = Callable[..., AbstractContextManager[LoneController]]
ON_SLURM = [
    name
    for name in MACHINES
    if re.search('^platform = "slurm"', (CONFIGS / f"{name}.toml").read_text(), re.MULTILINE)
]
#: What Slurm says to jobs beyond the limits.
_NODES, _TIME, _NODE = "Node count specification invalid|node limit", "time limit", "Requested node configuration"


def script(machine: Machine, ask: str) -> str:
    """The option lines of a job, whatever its site says to it."""
    job, _ = completed_job(machine, ask)
    return "\n".join(["#!/bin/bash", *option_lines(machine.executor().render(job)), "true", ""])


def beyond(machine: Machine, partition: Partition) -> Iterator[tuple[str, str]]:
    """Jobs of each of the partition's queues that it has no room for, and what Slurm says to them."""
    types = partition.node_types(machine)
    for queue in partition.queues:
        ask = f"-q {queue.name} -A {PROJECT}"
        if partition.max_nodes is not None:
            yield f"{ask} -N {partition.max_nodes + 1} -t 5", _NODES
        if partition.max_time_min is not None:
            yield f"{ask} -N {queue.min_nodes} -t {partition.max_time_min + 60}", _TIME
        gpus = max(len(node_type.hardware.gpus) for node_type in types)
        if gpus and not queue.gpus_implied:
            yield f"{ask} -N {queue.min_nodes} -g {gpus + 1} -t 5", _NODE
        memory = [node_type.hardware.memory for node_type in types]
        if None not in memory and "memory_per_node" not in machine.forbidden:
            yield f"{ask} -N {queue.min_nodes} --mem {max(filter(None, memory)) + 1}M -t 5", _NODE


@pytest.mark.slow
@pytest.mark.parametrize("machine", ON_SLURM, indirect=True)
def test_slurm_takes_typical_jobs_and_none_beyond_the_limits(machine: Machine, slurm_controller: Controllers) -> None:
    with slurm_controller(machine.name, list(node_and_partition_lines(machine))) as controller:
        for queue in machine.queues.values():
            if "reservation" in queue.required:
                what = f"reservation=mine partition={queue.rendered} nodecnt=1 starttime=now duration=60 users=root"
                controller.run("scontrol", "create", *what.split())
        for typical in typical_jobs(machine):
            assert controller.test_only(script(machine, typical.ask)) == "", typical.ask
        for partition in partitions(machine).values():
            for ask, expected in beyond(machine, partition):
                assert re.search(expected, controller.test_only(script(machine, f"{ask} -- ./app"))), ask


@pytest.mark.slow
@pytest.mark.every_slurm
def test_slurm_takes_the_generic_sites_job(slurm_controller: Controllers) -> None:
    golden = option_lines((GOLDEN / "slurm.sh").read_text())
    assert "#SBATCH --gpus-per-node=4" in golden
    few = "More processors requested than permitted"
    for nodes, cpus, gpus, expected in ((2, 8, 4, "^$"), (1, 8, 4, few), (2, 7, 4, few), (2, 8, 3, _NODE)):
        lines = [
            f"NodeName=node-[1-{nodes}] CPUs={cpus} RealMemory=4096 Gres=gpu:{gpus} State=CLOUD",
            f"PartitionName=batch Nodes=node-[1-{nodes}] MaxTime=90 State=UP",
        ]
        with slurm_controller("any", lines) as controller:
            said = controller.test_only("\n".join(["#!/bin/bash", *golden, "true", ""]))
        assert re.search(expected, said), (nodes, cpus, gpus, said)


@pytest.mark.slow
def test_grid_engine_takes_the_generic_sites_job(gridengine: Remote, tmp_path: Path) -> None:
    machine, path = site("gridengine"), tmp_path / "script.sh"

    def answer(queue: str, pe: str, *options: str) -> str:
        ask = f"-N 2 -n 8 -c 2 --mem 4G -t 90 -q {queue} -X pe={pe} -- true"
        job, findings = completed_job(machine, ask)
        assert not findings
        path.write_text(machine.executor().render(job))
        return _said("qsub", *options, str(path), cwd=tmp_path)

    shown = answer("all.q", "mpi", "-verify")
    for said in ("h_rt=1:30:00,h_vmem=512M", r"hard_queue_list: +all\.q", "parallel environment: +mpi range: 16"):
        assert re.search(said, shown), shown
    assert "found suitable queue" in answer("all.q", "mpi", "-w", "v")
    assert "no suitable queues" in answer("short.q", "mpi", "-w", "v")  # its jobs have a minute
    assert "does not exist" in answer("all.q", "mpx", "-w", "v")


@pytest.mark.slow
def test_htcondor_takes_the_generic_sites_job(htcondor: Remote, tmp_path: Path) -> None:
    machine, path, ad = site("htcondor"), tmp_path / "script.sh", tmp_path / "ad"
    job, findings = completed_job(machine, "-n 8 -c 2 -g 1 --mem 4G -t 90 -A chem -- true")
    assert not findings
    path.write_text(machine.executor().render(job))
    program, *words = platform("htcondor").scheduler_class().submit_argv(path)
    said = _said(program, "-dry-run", str(ad), "-", *words, cwd=tmp_path)
    assert "ERROR" not in said, said
    values = dict(re.findall(r"^(\w+) ?= ?(.*)$", ad.read_text(), re.MULTILINE))
    expected = {
        "RequestCpus": "16",
        "RequestMemory": "4096",
        "RequestGPUs": "8",
        "AllowedJobDuration": "5400",
        "AcctGroup": '"chem"',
    }
    assert {name: values.get(name) for name in expected} == expected
    wrong = ["universe = nowhere" if word == "request_cpus = 16" else word for word in words]
    assert "ERROR" in _said(program, "-dry-run", str(ad), "-", *wrong, cwd=tmp_path)


def _said(*argv: str, cwd: Path) -> str:
    done = subprocess.run(argv, cwd=cwd, input="", capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr
