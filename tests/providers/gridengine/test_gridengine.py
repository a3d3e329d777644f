"""Grid Engine's scripts and what is refused, without a Grid Engine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, Job
from psij_parsl.errors import InvalidRequest, Rejected
from psij_parsl.jobs.job_environment import inherited
from psij_parsl.providers.gridengine.scheduler import GridEngineScheduler
from psij_parsl.system.commands import Output

Put = Callable[[str, str], Path]


@pytest.fixture
def executor() -> BatchSchedulerExecutor:
    return BatchSchedulerExecutor("gridengine")


def options(executor: BatchSchedulerExecutor, **fields: Any) -> list[str]:
    """The option lines of a script, without those that every script has."""
    text = executor.render(Job(command=["true"], **fields))
    lines = [line.removeprefix("#$ ") for line in text.splitlines() if line.startswith("#$ ")]
    return [line for line in lines if line.split()[0] not in ("-N", "-S", "-wd", "-j", "-o")]


# ---- what is asked for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "parameters", "expected"),
    [
        ({}, {}, []),
        ({"num_nodes": 2}, {"pe": "mpi"}, ["-pe mpi 2"]),
        ({"num_nodes": 2, "ranks_per_node": 4, "cpus_per_rank": 2}, {"pe": "mpi"}, ["-pe mpi 16"]),
        ({"num_nodes": 2, "ranks_per_node": 4}, {"pe": "mpi", "slots_per_node": 24}, ["-pe mpi 48"]),
        ({"num_nodes": 2, "ranks_per_node": 4}, {"pe": "mpi", "pe_slots_per_node": 8}, ["-pe mpi 16"]),
        ({"ranks_per_node": 4}, {"pe": "mpi", "node_pe": "smp", "pe_slots_per_node": 8}, ["-pe smp 4"]),
        ({"ranks_per_node": 4}, {"pe": "mpi", "node_pe": "smp"}, ["-pe smp 4"]),
        ({"num_nodes": 2, "ranks_per_node": 4}, {"pe": "mpi", "node_pe": "smp"}, ["-pe mpi 8"]),
        ({"ranks_per_node": 4, "memory_per_node": 1000}, {"pe": "smp"}, ["-pe smp 4", "-l h_vmem=250M"]),
        ({"memory_per_node": 1000}, {"memory_resource": "mem_free"}, ["-l mem_free=1000M"]),
        ({"ranks_per_node": 2, "gpus_per_rank": 1}, {"pe": "smp", "gpu_resource": "gpu"}, ["-pe smp 2", "-l gpu=1"]),
        (
            {"num_nodes": 2, "ranks_per_node": 4, "gpus_per_rank": 1},
            {"pe": "mpi", "gpu_resource": "gpu", "gpus_counted_by": "job"},
            ["-pe mpi 8", "-l gpu=8"],
        ),
        (
            {"num_nodes": 2, "cpus_per_rank": 8},
            {"pe": "mpi", "gpu_resource": "gpu", "gpus_counted_by": "node", "gpus_per_node": 2},
            ["-pe mpi 16", "-l gpu=2"],
        ),
        (
            {"queue": "long.q@@big", "project": "chem"},
            {"resources": ["arch=lx-amd64", "exclusive=true"], "reserve": "yes", "rerunnable": "no"},
            ["-l arch=lx-amd64", "-l exclusive=true", "-q long.q@@big", "-P chem", "-R y", "-r n"],
        ),
        ({"array": range(0, 21, 5)}, {"max_running": 2}, ["-t 1-21:5", "-tc 2"]),
        ({"array": (0, 1, 7)}, {}, ["-t 1-8"]),
    ],
)
def test_a_request_becomes_options_by_the_slot(
    executor: BatchSchedulerExecutor, fields: Mapping[str, Any], parameters: Mapping[str, Any], expected: list[str]
) -> None:
    found = options(executor, wall_time_min=90, job_mode="script", parameters=dict(parameters), **fields)
    assert "-l h_rt=1:30:00" in found
    assert [line for line in found if "h_rt" not in line] == expected


@pytest.mark.parametrize(
    ("fields", "parameters", "says"),
    [
        ({"num_nodes": 2}, {}, "more than one slot only in a parallel environment"),
        ({"cpus_per_rank": 2}, {}, "more than one slot only in a parallel environment"),
        (
            {"num_nodes": 2, "ranks_per_node": 4},
            {"pe": "two", "pe_slots_per_node": 2},
            "has 2 slots on each of several nodes",
        ),
        ({"num_nodes": 2}, {"node_pe": "smp"}, "more than one slot only in a parallel environment"),
        ({"gpus_per_rank": 1}, {}, "no resource for GPUs"),
        ({"cpus_per_rank": 8, "gpus_per_rank": 1}, {"pe": "smp", "gpu_resource": "gpu"}, "no multiple of its slots"),
        ({"project": "a,b"}, {}, "must not hold"),
        ({}, {"resources": ["h_rt=1:0:0"]}, "must not say h_rt: say -t"),
        ({"memory_per_node": 900}, {"resources": ["arch=x", "h_vmem=4G"]}, "asked for h_vmem by --mem"),
        (
            {"memory_per_node": 900},
            {"resources": ["mf=4G"], "memory_resource": "mem_free"},
            "asked for mem_free by --mem",
        ),
        ({"gpus_per_rank": 1}, {"resources": ["gpu=2"], "gpu_resource": "gpu"}, "asked for gpu by the number"),
        ({"gpus_per_rank": 1}, {"resources": ["k80=2"], "gpu_resource": "k80"}, "asked for k80 by the number"),
        ({"queue": "a.q"}, {"resources": ["q=b.q"]}, "asked for the queue a.q"),
        ({}, {"resources": ["a b=1"]}, "plain characters"),
        ({"queue": "a b"}, {}, "plain word"),
    ],
)
def test_what_grid_engine_cannot_be_asked_for_is_refused_with_a_way(
    executor: BatchSchedulerExecutor, fields: Mapping[str, Any], parameters: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        executor.render(Job(command=["true"], job_mode="script", parameters=dict(parameters), **fields))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("fields", "parameters", "resources"),
    [
        ({}, {"gpu_resource": "gpu"}, ["h_vmem=4G", "gpu=2", "q=b.q"]),
        ({"memory_per_node": 900}, {}, ["mem_free=4G"]),
        ({"gpus_per_rank": 1, "queue": "a.q"}, {"gpu_resource": "gpu"}, ["gpu_type=k80", "hostname=n1"]),
    ],
)
def test_a_resource_that_no_other_line_asks_for_is_asked_for(
    executor: BatchSchedulerExecutor, fields: Mapping[str, Any], parameters: Mapping[str, Any], resources: list[str]
) -> None:
    found = options(executor, parameters={**parameters, "resources": resources}, **fields)
    assert [line for line in found if line.removeprefix("-l ") in resources] == [f"-l {said}" for said in resources]


def test_the_name_ends_with_the_tag_and_is_a_plain_word(executor: BatchSchedulerExecutor) -> None:
    text = executor.render(Job(command=["true"], name="1: it's é"))
    assert "#$ -N job_1_it_s.psij.JOB\n" in text


def test_a_folder_that_an_option_cannot_name_has_no_log(tmp_path: Path) -> None:
    for name in ("a,b", "a:b", "a b"):
        executor = BatchSchedulerExecutor("gridengine", spool=tmp_path / name)
        assert "#$ -o /dev/null\n" in executor.render(Job(command=["true"]))


# ---- on the node -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "good"),
    [
        ("node01 2 all.q@node01 UNDEFINED\nnode02 2 all.q@node02 UNDEFINED\n", True),
        ("node01 1 all.q@node01 <NULL>\nnode01 1 short.q@node01 <NULL>\nnode02 2 all.q@node02 <NULL>\n", True),
        ("node01 4 all.q@node01 UNDEFINED\n", False),
        ("node01 3 all.q@node01 UNDEFINED\nnode02 1 all.q@node02 UNDEFINED\n", False),
        ("node01 2 all.q@a UNDEFINED\nnode02 1 all.q@b UNDEFINED\nnode03 1 all.q@c UNDEFINED\n", False),
    ],
)
def test_a_job_with_other_nodes_than_it_asked_for_ends_before_its_command(
    tmp_path: Path, hosts: str, good: bool
) -> None:
    (tmp_path / "pe").write_text(hosts)
    executor = BatchSchedulerExecutor("gridengine", home=tmp_path / "state")
    job = Job(
        command=["cat", "/dev/null"], num_nodes=2, ranks_per_node=2, job_mode="script", parameters={"pe": "mpi"}
    )
    text = executor.render(job)
    begin, end = text.index("psij_nodes() {"), text.index("psij_after() {")
    script = 'psij_end() { echo "end $*"; exit "$1"; }\n' + text[begin:end] + 'psij_nodes; cat "$PSIJ_NODEFILE"'
    environ = {**os.environ, "PE_HOSTFILE": str(tmp_path / "pe"), "PSIJ_NODEFILE": str(tmp_path / "nodes")}
    environ |= {"psij_folder": str(tmp_path), "psij_native": "7"}
    done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == ((0, "node01\nnode02\n") if good else (125, "end 125 nodes\n"))
    assert (tmp_path / "starts").read_text() == "7\n"


# ---- ids and commands --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stdout", "ids", "alone"),
    [
        ("123\n", ["123"], True),
        ("123.1-10:1\n", ["123"], True),
        ("Welcome to head7.\nDown on 2026.11\n123\nBalance 5.5; 2 jobs left\n", ["123"], False),
        ('Your job 123 ("a.psij.x") has been submitted\n', ["123"], True),
        ('Your job-array 123.1-3:1 ("a") has been submitted\n', ["123"], True),
        ("5\n123\n", ["5", "123"], False),
        ("warning: no suitable queues\n", [], False),
    ],
)
def test_the_id_stands_alone_on_its_line(stdout: str, ids: list[str], alone: bool) -> None:
    scheduler = GridEngineScheduler()
    assert scheduler.job_ids(stdout) == ids
    assert bool(ids) == bool(scheduler.job_id(stdout))
    assert not ids or scheduler.says_only(stdout, ids[0]) == alone


def test_tasks_are_counted_from_one() -> None:
    scheduler = GridEngineScheduler()
    assert scheduler.element("12", 0) == "12.1"
    assert scheduler.whole(scheduler.element("12", 6)) == scheduler.whole("12") == "12"
    assert scheduler.unknown_ids(Output(("qdel",), 1, 'job "4" task "9" does not exist\n', "")) == {"4.9"}


def test_one_cluster_has_one_key_inside_and_outside_of_its_jobs() -> None:
    outside = {"SGE_ROOT": "/opt/sge", "SGE_QMASTER_PORT": "6444"}
    inside = {"SGE_ROOT": "/opt/sge", "SGE_CELL": "default", "SGE_ARCH": "lx-amd64"}
    scheduler = GridEngineScheduler()
    assert scheduler.cluster(outside) == scheduler.cluster(inside) != scheduler.cluster({**inside, "SGE_CELL": "two"})


def test_of_names_that_look_alike_only_grid_engines_own_stay_behind() -> None:
    """PE_ENV is Cray's, and anybody may have a JOB_FOLDER."""
    outside = {"PE_ENV": "GNU", "JOB_FOLDER": "/x", "SGE_ROOT": "/opt/sge", "JOB_ID": "1", "PE": "mpi", "QUEUE": "q"}
    kept = inherited(GridEngineScheduler.drop_env, outside)
    assert set(kept) == {"PE_ENV", "JOB_FOLDER", "SGE_ROOT"}


def test_a_qsub_of_another_manager_is_not_used(put: Put) -> None:
    for name in ("qstat", "qdel", "qacct"):
        put(name, "exit 0")
    put("qsub", 'case $1 in --version) echo "pbs_version = 23.06.06" ;; *) echo submitted >&2; exit 9 ;; esac')
    with pytest.raises(Rejected, match="is PBS Pro's, not Grid Engine's"):
        BatchSchedulerExecutor("gridengine").submit(Job(command=["true"]))


def test_the_wall_time_of_a_running_job_is_not_changed(executor: BatchSchedulerExecutor) -> None:
    """`qalter -l` replaces all requests of a job, so that it would lose its memory and its GPUs."""
    assert executor.scheduler.extend_argv("1", 60) is None
