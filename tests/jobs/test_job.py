"""The job's specification: what it fills in, what it refuses, and how it is stored and shown."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psij_parsl import Job
from psij_parsl.errors import InvalidRequest
from psij_parsl.job_texts import JobFields

TEXT = st.text(st.characters(exclude_characters="\0"), max_size=10)
JOB = st.builds(
    Job,
    command=st.lists(TEXT, min_size=1).filter(lambda words: bool(words[0])),
    num_nodes=st.integers(1, 9),
    ranks_per_node=st.integers(1, 9),
    gpus_per_rank=st.integers(0, 3),
    memory_per_node=st.none() | st.integers(1, 99),
    wall_time_min=st.integers(1, 9999),
    queue=st.none() | TEXT,
    project=st.none() | TEXT,
    name=TEXT,
    directory=st.none() | st.just(Path("/tmp/x y")),
    inherit_environment=st.booleans(),
    environment=st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9]{3}_", fullmatch=True), TEXT, max_size=3),
    stdin=st.none() | st.just(Path("in")),
    stdout=st.none() | st.just(Path("/o ut")),
    array=st.lists(st.integers(0, 50), unique=True).map(tuple),
    after=st.lists(st.text(st.characters(exclude_characters="\0,:?"), min_size=1, max_size=10)).map(tuple),
    hold=st.booleans(),
    setup=TEXT,
    parameters=st.dictionaries(TEXT, TEXT | st.integers() | st.booleans() | st.lists(TEXT), max_size=3),
)


@given(job=JOB)
def test_a_job_goes_through_json_unchanged(job: Job) -> None:
    assert Job.from_dict(json.loads(json.dumps(job.to_dict()))) == job


def test_paths_are_absolute_where_the_job_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = Job(command=["true"], directory=Path("a/../b"), stdout=Path("out"), stdin=Path("/etc/hosts"))
    assert job.directory == tmp_path / "b"
    assert job.stdout == tmp_path / "b" / "out"
    assert job.stdin == Path("/etc/hosts")
    assert Job(command=["true"]).directory == tmp_path


@pytest.mark.parametrize(
    ("fields", "mode"),
    [
        ({}, "script"),
        ({"ranks_per_node": 2}, "mpi"),
        ({"num_nodes": 2}, "mpi"),
        ({"num_nodes": 2, "job_mode": "serial"}, "serial"),
    ],
)
def test_more_than_one_rank_is_an_mpi_run_unless_said_otherwise(fields: dict[str, Any], mode: str) -> None:
    assert Job(command=["true"], **fields).job_mode == mode


def test_the_shape_is_counted() -> None:
    job = Job(command=["true"], num_nodes=3, ranks_per_node=4, cpus_per_rank=5, gpus_per_rank=2)
    assert (job.num_ranks, job.cores_per_node, job.gpus_on_node) == (12, 20, 8)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"command": "echo hi"}, "must be a list of words"),
        ({"command": []}, "no command"),
        ({"command": [""]}, "no command"),
        ({"command": ["sleep", 5]}, "5 in the command is no text but a int"),
        ({"command": ["sleep", None]}, "None in the command"),
        ({"command": ["echo", b"x"]}, "in the command is no text"),
        ({"command": ["echo", "a\0b"]}, "NUL character in the argument"),
        ({"num_nodes": 0}, "num_nodes must be a whole number of at least 1, not 0"),
        ({"num_nodes": True}, "num_nodes must be a whole number"),
        ({"wall_time_min": 1.5}, "wall_time_min must be a whole number"),
        ({"ranks_per_node": "2x"}, "ranks_per_node must be a whole number above 0, not '2x'"),
        ({"ranks_per_node": b"2"}, "ranks_per_node must be a whole number"),
        ({"cpus_per_rank": 2.0}, "cpus_per_rank must be a whole number, not 2.0"),
        ({"wall_time_min": "soon"}, "wall_time_min must be a duration such as .*, not 'soon'"),
        ({"wall_time_min": "1:30"}, r"wall_time_min='1:30': it could be hours and minutes \(1:30:00\)"),
        ({"wall_time_min": timedelta(0)}, "wall_time_min must be longer than nothing"),
        ({"memory_per_node": "4 Q"}, "memory_per_node must be a memory size above 0"),
        ({"hold": "perhaps"}, "hold must be yes or no, not 'perhaps'"),
        ({"inherit_environment": 2}, "inherit_environment must be yes or no"),
        ({"stdout": True}, "stdout=True: it is no path"),
        ({"directory": ""}, "directory='': it is empty"),
        ({"command": None}, "must be a list of words, not None"),
        ({"job_mode": 7}, "unknown job mode 7"),
        ({"environment": ["A=1"]}, r"environment=\['A=1'\] is no mapping"),
        ({"nme": "x"}, "Job has no field 'nme' .did you mean 'name'"),
        ({"environment": {"A": None}}, "the environment variable 'A' is None"),
        ({"environment": {1: "x"}}, "the environment variable 1 is 'x'"),
        ({"gpus_per_rank": -1}, "gpus_per_rank must be a whole number of at least 0"),
        ({"memory_per_core": 0}, "memory_per_core must be a whole number"),
        ({"job_mode": "mpy"}, "unknown job mode 'mpy'"),
        ({"environment": {"a b": "x"}}, "'a b' cannot be the name of an environment variable"),
        ({"environment": {"é": "x"}}, "cannot be the name"),
        ({"environment": {"": "x"}}, "cannot be the name"),
        ({"environment": {"A": "x\0"}}, "NUL character in the environment variable A"),
        ({"directory": "/a\0b"}, "NUL character in the directory"),
        ({"stdout": "a\0b"}, "NUL character in the stdout"),
        ({"array": (1, 1)}, "array indices must be different"),
        ({"array": (-1,)}, "not negative"),
        ({"array": ("1",)}, "array indices must be"),
        ({"array": (True,)}, "array indices must be"),
        ({"after": 7}, "after=7: it is no list"),
        ({"after": ""}, "'' in after is no id"),
        ({"after": [7]}, "7 in after is no id"),
        ({"array": []}, r"array=\[\]: it has no element"),
        ({"array": range(0)}, r"array=range\(0, 0\) has no element"),
        ({"array": "3-0"}, "array 3-0: the range '3-0' is empty"),
        ({"array": "all"}, "array all: 'all' is neither an index nor a range"),
        ({"array": 3}, "array=3: it is no list"),
        ({"array": [True]}, "array indices must be"),
        ({"setup": "a\0b"}, "NUL character in the setup"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(fields: dict[str, Any], rule: str) -> None:
    with pytest.raises(InvalidRequest, match=rule) as caught:
        Job(**{"command": ["true"], **fields})
    assert caught.value.hint


def test_a_job_without_a_command_is_refused() -> None:
    for make in (lambda: Job(name="x"), lambda: Job.from_dict({"name": "x"})):  # type: ignore[call-arg]
        with pytest.raises(InvalidRequest, match=r"no command to run .*in Python command=\['hostname'\]"):
            make()


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("wall_time_min", "90", 90),
        ("wall_time_min", "1h30m", 90),
        ("wall_time_min", "1:30:00", 90),
        ("wall_time_min", "2-12", 3600),
        ("wall_time_min", timedelta(seconds=61), 2),
        ("memory_per_node", "4G", 4096),
        ("memory_per_node", "512", 512),
        ("num_nodes", "2", 2),
        ("gpus_per_rank", "0", 0),
        ("array", "0-3,12", (0, 1, 2, 3, 12)),
        ("array", range(3), (0, 1, 2)),
        ("array", [3, 1], (3, 1)),
        ("after", "12, afterany:13:14", ("12", "afterany:13", "afterany:14")),
        ("after", {"12"}, ("12",)),
        ("hold", "yes", True),
        ("inherit_environment", "no", False),
        ("stdout", "~/out", Path.home() / "out"),
        ("stdout", Path("/x/~"), Path("/x/~")),
        ("environment", {"N": 3, "P": Path("/x")}, {"N": "3", "P": "/x"}),
    ],
)
def test_texts_are_read_as_the_flags_read_them(name: str, given: Any, value: Any) -> None:
    job = Job(**{"command": ["true"], name: given})
    assert getattr(job, name) == value
    assert type(getattr(job, name)) is type(value) or isinstance(value, Path)
    assert Job.from_dict(json.loads(json.dumps(job.to_dict()))) == job


class Counted:
    """A whole number of another library, as numpy's are."""

    def __index__(self) -> int:
        return 4


def test_whole_numbers_of_other_libraries_are_numbers() -> None:
    job = Job(command=["true"], num_nodes=Counted(), memory_per_node=Counted(), array=[Counted()])
    assert (job.num_nodes, job.memory_per_node, job.array) == (4, 4, (4,))


def test_each_field_has_a_type_for_those_who_pass_it() -> None:
    assert set(get_type_hints(JobFields)) == {item.name for item in fields(Job)}


def test_a_mode_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidRequest, match="did you mean 'serial'"):
        Job(command=["true"], job_mode="seriel")


def test_a_field_that_no_job_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidRequest, match="no field 'num_node'.*did you mean 'num_nodes'"):
        Job.from_dict({"command": ["true"], "num_node": 3})


def test_words_without_a_field_are_refused_with_the_field() -> None:
    with pytest.raises(InvalidRequest, match=r"\['true'\] has none .say Job\(command="):
        Job(["true"], name="x")  # type: ignore[call-arg]


def test_a_secret_value_is_not_shown_and_is_kept() -> None:
    job = Job(command=["run"], environment={"TOKEN": "hunter2"}, queue="debug")
    assert "hunter2" not in repr(job)
    assert "environment=<1 variables>" in repr(job)
    assert "queue='debug'" in repr(job)
    assert job.to_dict()["environment"] == {"TOKEN": "hunter2"}


def test_a_job_shows_a_name_of_its_own_or_its_commands() -> None:
    assert Job(command=["/usr/bin/python3", "x"]).display_name == "python3"
    assert Job(command=["/usr/bin/python3"], name="my run").display_name == "my run"
    assert Job(command=["echo", "a b"]).command_line == "echo 'a b'"


def test_a_changed_copy_is_checked_again() -> None:
    job = Job(command=["true"])
    assert job.with_(queue="debug").queue == "debug"
    assert job.queue is None
    with pytest.raises(InvalidRequest):
        job.with_(num_nodes=0)


def test_a_job_cannot_be_changed_by_its_callers_lists() -> None:
    words, environment = ["echo"], {"A": "1"}
    job = Job(command=words, environment=environment)
    words.append("more")
    environment["B"] = "2"
    assert (list(job.command), job.environment) == (["echo"], {"A": "1"})
