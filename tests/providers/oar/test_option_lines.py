"""The options of oarsub, as scripts have them."""

from __future__ import annotations

from typing import Any

import pytest

from psij_parsl.errors import InvalidRequest
from psij_parsl.providers.oar.directives import TABLE
from psij_parsl.providers.oar.provider import OARProvider
from tests.providers.option_lines import Asked, OptionLines, meaning


class TestOptionLines(OptionLines):
    platform = "oar"
    #: The script says how many cores of each node, and OAR's indices are from 1.
    words = {
        "num_nodes": 2,
        "ranks_per_node": 8,
        "cpus_per_rank": 1,
        "wall_time_min": 95,
        "queue": "debug",
        "project": "chem",
        "array": "1-4",
        "hold": True,
    }
    #: They say how `-l` is written, or what `-p` asks of memory.
    no_option = frozenset(("exclusive", "core_property", "gpu_property", "gpus_per_node", "memory_property"))
    samples = {
        "properties": "cluster='a' AND memnode>64000",
        "types": "besteffort",
        "checkpoint": (300, "300"),
        "notify": "mail:me@lab.org",
    }
    bits = ("{a='b'}", "/nodes=2", "/core=4", ",walltime=1:30", "=ALL", "+", "inner=3", "%jobid%", "cluster=1")
    asked_with = {"memory_property": "memnode"}
    answers = {
        "number of nodes left": "must be told the number of nodes",
        "wall time left": {"wall_time_min": None},
        "uneven ranks": {"num_nodes": 2, "ranks_per_node": 3},
        "GPUs of a node": {"num_nodes": 2, "gpus_per_node": 2},
        "GPUs of a kind": "cannot ask for GPUs of one kind (gpu_kind='a100')",
        "memory of a node": {"constraint": "memnode >= 2048"},
        "all memory": {"num_nodes": 1, "exclusive": True},
        "memory of a core": {"constraint": "memnode >= 4096"},
        "memory of a thread's core": "cannot ask for hardware threads per core (threads_per_core=2)",
        "memory of a GPU": {"constraint": "memnode >= 2048", "gpus_per_node": 2},
        "array limit": "cannot ask for a limit to how many elements of an array run at a time (array_limit=4)",
        "begin": "cannot ask for a time before which a job does not start (begin='2027-01-02T03:04:05')",
    }
    scripts = {
        "gpu.sh": Asked(
            {
                "name": "train unet",
                "num_nodes": 1,
                "gpus_per_node": 2,
                "wall_time_min": 720,
                "constraint": "(cluster='rome' AND gpu_mem >= 40000) AND (gpu_model='A100')",
                "queue": "production",
                "project": "vision-2",
                "stdout": "logs/{name}.{id}.out",
                "stderr": "logs/{{best}}.{id}.err",
                "signal_script_before_end": "USR1@600",
            },
            dropped=(12,),
            untranslatable=(9,),
        ),
        "mpi.csh": Asked(
            {
                "num_nodes": 4,
                "ranks_per_node": 16,
                "cpus_per_rank": 1,
                "wall_time_min": 150,
                "directory": "/scratch/u/run 7",
                "after": ("afterany:1234", "afterany:1240"),
                "hold": True,
                "queue": "long",
            },
            dropped=(11,),
            untranslatable=(13,),
        ),
        "array.sh": Asked(
            {"array": "1-20", "ranks": 8, "cpus_per_rank": 1, "wall_time_min": 46},
            dropped=(6,),
            untranslatable=(4, 5, 7),
        ),
        "moldable.pl": Asked({"name": "ocean"}, untranslatable=(2, 3)),
    }

    def test_the_name_is_read_back_with_our_tag(self) -> None:
        name = self.table.read(self.script(name="relax")).words["name"]
        assert name.startswith("relax.psij:")

    def test_the_ways_of_writing_a_size_are_read_back(self) -> None:
        whole = self.table.read(self.script({"exclusive": True}, num_nodes=3)).words
        assert (whole["num_nodes"], whole["exclusive"]) == (3, True)
        shared = self.table.read(self.script(num_nodes=2, gpus_per_rank=2, ranks_per_node=2, cpus_per_rank=6)).words
        assert (shared["gpus_per_node"], shared["ranks_per_node"]) == (4, 12)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("-l nodes=2", {"num_nodes": 2, "exclusive": True}),
        (
            "-l /nodes=2/core=4,walltime=3",
            {"num_nodes": 2, "ranks_per_node": 4, "cpus_per_rank": 1, "wall_time_min": 180},
        ),
        ("-l host=2/gpu=1", {"num_nodes": 2, "gpus_per_node": 1}),
        ("-l gpu=2", {"gpus": 2}),
        ("-l core=8", {"ranks": 8, "cpus_per_rank": 1}),
        ("-l /nodes=1/cpu=2/core=4", {"num_nodes": 1, "ranks_per_node": 8, "cpus_per_rank": 1}),
        ("-l /network_address=1/resource_id=4", {"num_nodes": 1, "ranks_per_node": 4, "cpus_per_rank": 1}),
        (
            "-l {cputype='x' or a like 'b%'}/nodes=1",
            {"constraint": "cputype='x' or a like 'b%'", "num_nodes": 1, "exclusive": True},
        ),
        ("-l {memnode > 1000}", {"constraint": "memnode > 1000"}),
        ("-l / nodes = 1 , walltime = 0:120:0", {"num_nodes": 1, "exclusive": True, "wall_time_min": 120}),
        ("-l walltime=1:30", {"wall_time_min": 90}),
        ("--resource/nodes=1", {"num_nodes": 1, "exclusive": True}),
        ("-qlong", {"queue": "long"}),
        ("--queue long", {"queue": "long"}),
        ('-n it\'s "a" #name', {"name": 'it\'s "a" #name'}),
        ("--array 1", {"array": "1"}),
        ("--array10", {"array": "1-10"}),
        ("-a 12", {"after": ("afterany:12",)}),
        ("--checkpoint 90", {"signal_script_before_end": "USR2@90"}),
        ("--signal 15", {}),
        ("-t allow_classic_ssh", {}),
        ("--queue a=b", {"queue": "a=b"}),
    ],
)
def test_what_an_option_means(said: str, words: dict[str, Any]) -> None:
    reading = TABLE.read(f"#!/bin/sh\n#OAR {said}\n")
    assert meaning(reading) == words


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("-l /nodes=2+/nodes=1/gpu=1", "several kinds"),
        ("-l {a='1'}/nodes=1+{a='2'}/nodes=2,walltime=1", "several kinds"),
        ("-l /nodes=ALL", "as many as there are"),
        ("-l /nodes=BEST/core=1", "as many as there are"),
        ("-l /switch=1/nodes=2", "switch=1"),
        ("-l /cluster=2/nodes=1", "several clusters"),
        ("-l /cluster=1", "sockets or clusters"),
        ("-l /nodes=1/cpu=1", "sockets"),
        ("-l /core=2/nodes=1", "order"),
        ("-l /nodes=0", "above 0"),
        ("-l nodes", "must be levels"),
        ("-l nodes=1,walltime=1h", "must have a wall time"),
        ("-l nodes=1,walltime=::", "length of time"),
        ("-t deploy", "install systems"),
        ("-t inner=702", "inside another job"),
        ("-t token:x=1", "the type token:x"),
        ("-a 12,+5", "within some time"),
        ("-a x", "above 0"),
        ("--name=x", "takes no =, say `--name x`"),
        ("--array=20", "takes no =, say `--array 20`"),
        ("--after 12", "command line alone"),
        ("-r now", "command line alone"),
        ("-J", "command line alone"),
        ("--json", "command line alone"),
        ("-S", "command line alone"),
        ("-v", "command line alone"),
        ("--signal USR1", "above 0"),
        ("--signal 999", "number of a signal"),
        ("--array 0-3", "above 0"),
        ("--array-param-file p.txt", "no equivalent"),
        ("-I", "command line alone"),
        ("--resubmit 3", "command line alone"),
        ("-q", "lacks its value"),
        ("--no-such-thing 1", "no option of oarsub"),
        ("word", "no option"),
    ],
)
def test_what_has_no_equivalent_is_named_with_its_line_and_the_reason(said: str, why: str) -> None:
    found = TABLE.read(f"#!/bin/sh\n\n#OAR {said}\n").untranslatable()
    assert {one.line for one, _ in found} == {3}
    assert any(why in reason for _, reason in found), found
    assert all(one.said in said for one, _ in found)


@pytest.mark.parametrize(
    ("typed", "words", "why"),
    [
        ("--name=x", {"name": "x"}, ""),
        ("--array=20", {"array": "1-20"}, ""),
        ("--queue=long", {"queue": "long"}, ""),
        ("--after 12", {"after": ("afterany:12",)}, ""),
        ("-S", {}, ""),
        ("-J", {}, ""),
        ("-r now", {}, "reservation"),
        ("-I", {}, "terminal"),
        ("--resubmit 3", {}, "again"),
    ],
)
def test_what_is_typed_may_be_more_than_what_a_script_has(typed: str, words: dict[str, Any], why: str) -> None:
    reading = TABLE.reading([(1, typed)])
    assert reading.words == words
    found = [reason for one, reason in reading.untranslatable() if "after" not in one.words]
    assert why in found[0] if why else not found, found


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("#OAR -q a\n#OAR -q b\n", [2]),
        ("# a comment\n#OAR -q a\necho\n#OAR -n b\n", [2, 4]),
        ("echo\n#OAR -q a\n", []),
        ("\n#OAR -q a\n", []),
        ("\n#OAR --name=x\n", []),
    ],
)
def test_lines_below_the_first_count_if_it_is_a_comment(text: str, lines: list[int]) -> None:
    assert [one.line for one in TABLE.read(text).directives] == lines


def test_parsl_s_scheduler_options_are_parameters() -> None:
    provider = OARProvider(
        scheduler_options="#OAR -p cluster='a'\n#OAR --type=besteffort\n#OAR -t inner=3\n#OAR -q x"
    )
    assert provider.parameters["properties"] == "cluster='a'"
    assert [*provider.parameters["types"]] == ["besteffort", "inner=3"]
    for said, instead in {
        "-l nodes=2": "num_nodes",
        "-O x": "folder",
        "-r now": "turn",
        "-t idempotent": "-t",
    }.items():
        with pytest.raises(InvalidRequest) as caught:
            OARProvider(scheduler_options=f"#OAR {said}")
        assert instead in caught.value.hint
