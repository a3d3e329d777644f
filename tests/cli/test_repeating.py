"""Flags of `resubmit`: what they change in a job that was submitted before."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.cli.commands.resubmit import RESUBMIT
from psij_parsl.cli.job_flags import JOB_FLAGS
from psij_parsl.cli.quick_parser import parse
from psij_parsl.cli.repeating import changed_fields
from psij_parsl.errors import InvalidRequest
from psij_parsl.job import Job
from psij_parsl.jobs.attempt import Attempt, inherited_by
from psij_parsl.jobs.file_settings import FileSettings
from psij_parsl.jobs.job_environment import environment_text
from psij_parsl.jobs.record import JobRecord
from psij_parsl.platforms.registry import platform


def again(job: Job, flags: str) -> Job:
    """The job that these flags make of that one."""
    invocation = parse(RESUBMIT, ["last", *shlex.split(flags)])
    assert invocation is not None
    attempt = Attempt(JobRecord("0123456789", "slurm", "/jobs/0123456789"), job, (), {})
    return attempt.with_(**changed_fields(invocation.texts, attempt)).job


@pytest.mark.parametrize(
    ("was", "flags", "becomes"),
    [
        ({"wall_time_min": 7}, "-t x2", {"wall_time_min": 14}),
        ({"wall_time_min": 7}, "-t x1.5", {"wall_time_min": 11}),
        ({"wall_time_min": 10}, "-t X.3", {"wall_time_min": 3}),
        ({"wall_time_min": None}, "-t 2h", {"wall_time_min": 120}),
        ({"memory_per_node": 100}, "--mem x1.5", {"memory_per_node": 150}),
        ({"memory_per_core": 100}, "--mem-per-cpu x2", {"memory_per_core": 200}),
        ({"memory_per_node": 100}, "--mem-per-cpu 10M", {"memory_per_node": None, "memory_per_core": 10}),
        ({"gpus_per_rank": 2}, "--gpus-per-node 1", {"gpus_per_rank": 0, "gpus_per_node": 1}),
        (
            {"gpus_per_node": 2, "gpu_kind": "a100"},
            "-g 1",
            {"gpus_per_rank": 1, "gpus_per_node": None, "gpu_kind": ""},
        ),
        ({"num_nodes": 2, "ranks_per_node": 4}, "-N x2", {"num_nodes": 4, "ranks_per_node": 4}),
        ({"num_nodes": 2, "ranks_per_node": 4}, "-n 16", {"num_nodes": 2, "ranks_per_node": 8, "ranks": None}),
        ({"num_nodes": 2, "ranks_per_node": 4}, "-n 7", {"num_nodes": 2, "ranks": 7}),
        ({"num_nodes": 2, "ranks": 7}, "-n 8", {"num_nodes": 2, "ranks_per_node": 4, "ranks": None}),
        ({"num_nodes": 2, "ranks": 7}, "--ntasks-per-node 3", {"num_nodes": 2, "ranks_per_node": 3, "ranks": None}),
        ({"num_nodes": None, "ranks": 8}, "-n x2", {"num_nodes": None, "ranks": 16}),
        ({}, "-n 2", {"ranks_per_node": 2, "job_mode": "mpi"}),
        ({"job_mode": "serial"}, "-n 2", {"ranks_per_node": 2, "job_mode": "serial"}),
        ({"command": ["/bin/bash", f"/s/scripts/{'a' * 32}.sh"]}, "-n 2", {"job_mode": "script"}),
        ({"queue": "a"}, "-q x2", {"queue": "x2"}),
        ({"array": range(5)}, "--array 1-2%1", {"array": (1, 2), "array_limit": 1}),
        ({"implied": ["wall_time_min", "queue"]}, "-t 20", {"implied": ("queue",), "wall_time_min": 20}),
        (
            {"implied": ["wall_time_min", "num_nodes"], "option_lines": ["#SBATCH -t 5 --qos=a", "#SBATCH -N 2"]},
            "-t 20",
            {"option_lines": ("#SBATCH --qos=a", "#SBATCH -N 2"), "implied": ("num_nodes",), "wall_time_min": 20},
        ),
        (
            {"implied": ["num_nodes", "ranks_per_node"], "option_lines": ["#SBATCH -N 2 --ntasks-per-node=2 -x n1"]},
            "-N 4 -X qos=b",
            {"option_lines": ("#SBATCH -x n1",), "implied": (), "num_nodes": 4, "parameters": {"qos": "b"}},
        ),
        ({"option_lines": ["#SBATCH --qos=a"]}, "-X qos=b", {"option_lines": (), "parameters": {"qos": "b"}}),
        ({"parameters": {"a": "1", "b": "2"}}, "-X b= -X c=3", {"parameters": {"a": "1", "c": "3"}}),
        ({"environment": {"A": "1"}}, "--env B=2", {"environment": {"A": "1", "B": "2"}}),
        ({"after": ["1"]}, "-d afterany:2", {"after": ("afterany:2",)}),
        ({"directory": "/d", "stdout": "a"}, "-o b -D /e", {"stdout": Path("/e/b"), "directory": Path("/e")}),
        ({"directory": "/d", "stdout": "a"}, "-e b", {"stdout": Path("/d/a"), "stderr": Path("/d/b")}),
        (
            {"directory": "/d", "stdout": "{name}", "name_patterns": True},
            "-e b{}",
            {"stdout": Path("/d/{name}"), "stderr": Path("/d/b{{}}"), "name_patterns": True},
        ),
        ({"directory": "/d", "stdout": "a{}"}, "-e %x", {"stdout": Path("/d/a{{}}"), "name_patterns": True}),
    ],
)
def test_flags_replace_multiply_or_add(was: dict[str, Any], flags: str, becomes: dict[str, Any]) -> None:
    before = Job(**{"command": ["true"], **was})
    after = again(before, flags)
    assert {name: getattr(after, name) for name in becomes} == becomes
    untouched = ("command", "inherit_environment", "setup", "launcher")
    assert [getattr(after, name) for name in untouched] == [getattr(before, name) for name in untouched]


@pytest.mark.parametrize(
    ("was", "flags", "said"),
    [
        ({"memory_per_core": 10}, "--mem x2", "--mem x2: job 0123456789 has nothing there that could be multiplied"),
        ({"wall_time_min": None}, "-t x2", "has nothing there that could be multiplied"),
        ({}, "-t x0", "it must be more than nothing"),
        ({"array": range(3)}, "--array x2", "'x2' is neither an index nor a range"),
        ({"num_nodes": 4}, "-n 3", "3 ranks are too few for 4 nodes"),
    ],
)
def test_what_cannot_be_is_said(was: dict[str, Any], flags: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        again(Job(**{"command": ["true"], **was}), flags)


def test_every_flag_of_a_job_but_its_place_and_its_script_is_one_of_resubmit() -> None:
    missing = {flag.name for flag in JOB_FLAGS} - {flag.name for flag in RESUBMIT.flags}
    assert missing == {"site", "platform", "config", "wrap", "directives", "ignore_directives"}


@pytest.mark.parametrize("name", ["local", "slurm", "pbspro", "htcondor"])
def test_the_inherited_environment_is_read_from_where_the_job_has_it(name: str, tmp_path: Path) -> None:
    environ = {
        "A": "it's",
        "B": "one\nexport C='d' \"e\"\n",
        "EMPTY": "",
        "BYTES": "\udcff",
        "PATH": "/bin",
        "D": "\\\n",
    }
    scheduler = platform(name).scheduler_class(home=tmp_path)
    settings = FileSettings(
        template=platform(name).template_class,
        node_settings=("TMPDIR", "A*", *scheduler.node_env),
        stopgaps=scheduler.stopgaps,
        site="here",
    )
    client = {**environ, "LC_ALL": "C.UTF-8"}
    text = environment_text(settings, Job(command=["true"]), environ, client)
    (tmp_path / "environment").write_text(text, errors="surrogateescape")
    found = inherited_by(tmp_path)
    assert found is not None
    assert found.items() >= environ.items()
    assert environment_text(settings, Job(command=["true"]), found, client) == text
