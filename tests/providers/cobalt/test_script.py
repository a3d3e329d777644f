"""Cobalt's option lines, and the nodes of its jobs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, Job
from psij_parsl.errors import InvalidRequest


@pytest.fixture
def executor(tmp_path: Path) -> BatchSchedulerExecutor:
    return BatchSchedulerExecutor("cobalt", home=tmp_path / "state")


def options(text: str) -> list[str]:
    """The words that qsub takes from a script: of the lines right below the first one."""
    words: list[str] = []
    for line in text.splitlines()[1:]:
        if not line.startswith("#COBALT "):
            break
        words += line.removeprefix("#COBALT ").split()
    return words


def test_all_options_stand_right_below_the_first_line(executor: BatchSchedulerExecutor) -> None:
    job = Job(
        command=["true"],
        name="a name",
        num_nodes=2,
        ranks_per_node=3,
        wall_time_min=90,
        queue="default",
        project="chem",
        parameters={"attrs": "mcdram=flat:filesystems=home,eagle", "notify": "a@b.org"},
    )
    text = executor.render(job)
    words = options(text)
    pairs = dict(zip(words[::2], words[1::2], strict=True))
    assert text.count("#COBALT") == len([line for line in text.splitlines() if line.startswith("#COBALT ")])
    assert {name: pairs[name] for name in ("-n", "--proccount", "-t", "-q", "-A", "-M", "--attrs", "--jobname")} == {
        "-n": "2",
        "--proccount": "6",
        "-t": "1:30:00",
        "-q": "default",
        "-A": "chem",
        "-M": "a@b.org",
        "--attrs": "mcdram=flat:filesystems=home,eagle",
        "--jobname": "a_name",
    }
    assert pairs["-o"] == pairs["-e"] == pairs["--debuglog"]
    assert pairs["-o"].endswith("/manager.log")
    assert pairs["--env"].startswith("PSIJ_JOB_TAG=psij.")


def test_a_held_job_says_so(executor: BatchSchedulerExecutor) -> None:
    assert "--held" in options(executor.render(Job(command=["true"], hold=True)))


def test_a_folder_that_an_option_cannot_name_costs_the_managers_log(tmp_path: Path) -> None:
    executor = BatchSchedulerExecutor("cobalt", home=tmp_path / "my state")
    words = options(executor.render(Job(command=["true"])))
    assert words[words.index("--debuglog") + 1] == "/dev/null"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"memory_per_node": 100}, "memory"),
        ({"gpus_per_rank": 1}, "GPUs"),
        ({"array": (0, 1)}, "job arrays"),
        ({"hold": True, "after": ["12"]}, "held one waits"),
        ({"parameters": {"attrs": "a b"}}, "attributes"),
        ({"parameters": {"attrs": "a=1=2"}}, "attributes"),
        ({"parameters": {"notify": "a@b.org -q vip"}}, "addresses"),
        ({"queue": "a b"}, "plain word"),
    ],
)
def test_what_cobalt_cannot_be_asked_for_is_refused(
    executor: BatchSchedulerExecutor, fields: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        executor.render(Job(command=["true"], **fields))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("environ", "nodes"),
    [
        ({"COBALT_PARTNAME": "1001-1003,1030"}, ["nid01001", "nid01002", "nid01003", "nid01030"]),
        ({"COBALT_PARTNAME": "7"}, ["nid00007"]),
        ({"COBALT_PARTNAME": "1001", "COBALT_NODEFILE": "{folder}/nodes"}, ["cc002", "cc001"]),
        ({"COBALT_PARTNAME": "1001", "COBALT_NODEFILE": "{folder}/gone"}, ["nid01001"]),  # as Blue Gene's is
    ],
)
def test_the_nodes_are_in_a_file_or_numbers_of_crays(
    executor: BatchSchedulerExecutor, tmp_path: Path, environ: Mapping[str, str], nodes: list[str]
) -> None:
    (tmp_path / "nodes").write_text("cc002\ncc001\n")
    text = executor.render(Job(command=["true"]))
    begin = text.index("psij_nodes() {")
    function = text[begin : text.index("\n}\n", begin) + 3]
    given = {name: value.format(folder=tmp_path) for name, value in environ.items()}
    subprocess.run(
        ["bash", "-c", f"{function}psij_nodes"],
        env={"PATH": os.environ["PATH"], "PSIJ_NODEFILE": str(tmp_path / "listed"), **given},
        check=True,
    )
    assert (tmp_path / "listed").read_text().split() == nodes


def test_a_parsl_block_takes_attributes_mail_queue_and_project(executor: BatchSchedulerExecutor) -> None:
    from psij_parsl.providers.cobalt.provider import CobaltProvider

    lines = "#COBALT --attrs mcdram=flat:location=1-4 -q vip\n#COBALT --attrs=numa=quad -A chem\n-M a@b.org"
    made = CobaltProvider(wall_time_min=30, scheduler_options=lines)
    assert (made.queue, made.project) == ("vip", "chem")
    words = options(executor.render(Job(command=["true"], parameters=made.parameters)))
    assert words[words.index("--attrs") + 1] == "mcdram=flat:location=1-4:numa=quad"
    assert words[words.index("-M") + 1] == "a@b.org"


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("-n 4", "num_nodes"),
        ("-t 10", "wall_time_min"),
        ("-o x", "block's folder"),
        ("-O x", "folder"),
        ("--debuglog x", "reads it"),
        ("--env A=1", "worker_init"),
        ("--held", "never start"),
        ("--dependencies 12", "waits for no other job"),
        ("--mode script", "runs once"),
        ("--mode c16", "lists the parameters"),
        ("-I", "no terminal"),
        ("--kernel x", "lists the parameters"),
        ("--no_such x", "no option of qsub"),
    ],
)
def test_a_parsl_block_takes_no_other_option(said: str, instead: str) -> None:
    from psij_parsl.providers.cobalt.provider import CobaltProvider

    with pytest.raises(InvalidRequest, match="which a block cannot be asked for") as caught:
        CobaltProvider(wall_time_min=30, scheduler_options=f"#COBALT {said}")
    assert instead in caught.value.hint
