"""The options of Cobalt's qsub, as scripts have them."""

from __future__ import annotations

from typing import Any

import pytest

from psij_parsl.platforms.directives.passed_on import options_passed_on
from psij_parsl.providers.cobalt.directives import TABLE
from tests.providers.option_lines import Asked, OptionLines, meaning


class TestOptionLines(OptionLines):
    platform = "cobalt"
    fields = {
        "name": "relax",
        "num_nodes": 2,
        "ranks_per_node": 4,
        "wall_time_min": 95,
        "queue": "debug",
        "project": "chem",
        "hold": True,
    }
    words = {
        "name": "relax",
        "num_nodes": 2,
        "ranks": 8,
        "wall_time_min": 95,
        "queue": "debug",
        "project": "chem",
        "hold": True,
        "environment": {"PSIJ_JOB_TAG": "psij.JOB"},
    }
    samples = {
        "attrs": ("mcdram=flat:location=1-4:ssh", ("mcdram=flat", "location=1-4", "ssh")),
        "notify": "a@b.org:c@d.org",
    }
    bits = ("script", "c16", "A=1:B=2", "$jobid", "mcdram=flat:", "location=1-4", "1:2:3:4", "\n#COBALT ")
    answers = {
        "number of nodes left": "must be told the number of nodes",
        "wall time left": "takes no job without a wall time",
        "uneven ranks": {"num_nodes": 2, "ranks": 5},
        "GPUs of a node": "cannot ask for GPUs (gpus_per_node=2)",
        "GPUs of a kind": "cannot ask for GPUs (gpus_per_node=2)",
        "memory of a node": "cannot ask for memory (memory_per_node=2048 MB)",
        "all memory": {"num_nodes": 1},  # a node has no other jobs
        "memory of a core": "cannot ask for memory for each core (memory_per_core=1024 MB)",
        "memory of a thread's core": "cannot ask for memory for each core (memory_per_core=1024 MB)",
        "memory of a GPU": "cannot ask for GPUs (gpus_per_node=2), memory for each GPU (memory_per_gpu=1024 MB)",
        "array limit": "cannot ask for job arrays",
        "begin": "cannot ask for a time before which a job does not start (begin='2027-01-02T03:04:05')",
    }
    scripts = {
        "ensemble.sh": Asked(
            {
                "num_nodes": 128,
                "wall_time_min": 180,
                "ranks": 8192,
                "queue": "default",
                "project": "lattice",
                "stdout": "runs/{id}.output",
                "stderr": "runs/{id}.error",
                "name": "hmc",
            },
            dropped=(6,),
            untranslatable=(4,),
        ),
        "chain.csh": Asked(
            {
                "num_nodes": 1,
                "wall_time_min": 45,
                "hold": True,
                "after": ("afterok:1041", "afterok:1042"),
                "environment": {"MODEL": "v2", "URL": "http://host:80", "EMPTY": "", "SEED": "7"},
                "directory": "/projects/lab/run",
                "stdin": "in.txt",
                "stdout": "out.{id}",
                "stderr": "all.error",
                "hosts": "1001-1004",
            },
            dropped=(6,),
            untranslatable=(6,),
        ),
        "windows.sh": Asked({"num_nodes": 2, "project": "viz", "wall_time_min": None}, untranslatable=(3, 4)),
        "bare.sh": Asked({}),
    }


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("-n8", {"num_nodes": 8}),
        ("--nodecount 8 --proccount=64", {"num_nodes": 8, "ranks": 64}),
        ("-t 90", {"wall_time_min": 90}),
        ("-t 2:30", {"wall_time_min": 150}),
        ("-t 1:30:01", {"wall_time_min": 91}),
        ("-t 1:2:30:00", {"wall_time_min": 1590}),
        ("-t 0", {"wall_time_min": None}),
        ("--attrs location=1-4,7", {"hosts": "1-4,7"}),
        ("--env A=B:C=x\\=1\\:y\\=2:D=", {"environment": {"A": "B", "C": "x=1:y=2", "D": ""}}),
        ("--en A=1 --env B=a:b", {"environment": {"A": "1", "B": "a:b"}}),
        ("-o $jobid.out -e ${jobid}/{x}", {"stdout": "{id}.out", "stderr": "{id}/{{x}}"}),
        ("-o a -O b", {"stdout": "a", "stderr": "b.error"}),
        ("-O b -o a -e c", {"stdout": "a", "stderr": "c"}),
        ("--dependencies 12:13", {"after": ("afterok:12", "afterok:13")}),
        ("--dependencies none", {"after": ()}),
        ("--jobname 'x'", {"name": "'x'"}),  # quotes are letters
        ("--mode script -vd", {}),
    ],
)
def test_what_an_option_means(said: str, words: dict[str, Any]) -> None:
    reading = TABLE.read(f"#!/bin/sh\n#COBALT {said}\n")
    assert (meaning(reading), reading.dropped()) == (words, [])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("-n 2-4", "whole number"),
        ("-t soon", "length of time"),
        ("--mode c16", "no other mode than script"),
        ("--attrs mcdram=flat", "no equivalent"),
        ("--attrs enable_ssh", "no equivalent"),
        ("--env A", "NAME=VALUE"),
        ("--env A=$COBALT_JOBID", "the job's id"),
        ("--jobname $jobid-x", "the job's id"),
        ("--dependencies 12:x", "ids of jobs"),
        ("--dependencies afterok:12", "ids of jobs"),
        ("-I", "no terminal"),
        ("-u 077", "umask"),
        ("--kernel x", "no equivalent"),
        ("--geometry 4x4x4x4x2", "no equivalent"),
        ("--disable_preboot", "no equivalent"),
        ("--not_before 10:00", "no option of qsub"),
        ("--jobname 'two words'", "no option"),
        ("-n", "lacks its value"),
        ("word", "no option"),
        ("-q a # -q b", "no option"),
    ],
)
def test_what_has_no_equivalent_is_named_with_its_line_and_the_reason(said: str, why: str) -> None:
    found = TABLE.read(f"#!/bin/sh\n#COBALT {said}\n").untranslatable()
    assert {one.line for one, _ in found} == {2}
    assert any(why in reason for _, reason in found), found


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("#!/bin/sh\n#COBALT -n1\n#COBALT   -t 5\n", [2, 3]),
        ("#!/bin/sh\n\n#COBALT -n1\n", []),
        ("#!/bin/sh\n# mine\n#COBALT -n1\n", []),
        ("#!/bin/sh\n#COBALT -n1\n#COBALT\n#COBALT -t 5\n", [2]),
        ("#!/bin/sh\n#COBALT -n1\n#COBALT\t-t 5\n", [2]),
        ("#!/bin/sh\n #COBALT -n1\n", []),
        ("#!/bin/sh\n#cobalt -n1\n", []),
        ("#COBALT -n1\n", []),
        ("", []),
    ],
)
def test_the_lines_right_below_the_first_one_count(text: str, lines: list[int]) -> None:
    assert [one.line for one in TABLE.read(text).directives] == lines


def test_hosts_among_the_attributes_are_seen() -> None:
    assert options_passed_on(TABLE, {"attrs": "mcdram=flat:location=1-4"}) == {"hosts": "--attrs location=1-4"}
