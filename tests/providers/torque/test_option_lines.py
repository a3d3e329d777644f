"""The options of Torque's qsub, as scripts have them."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from psij_parsl.providers.torque.directives import TABLE
from tests.providers.option_lines import Asked, OptionLines, meaning


class TestOptionLines(OptionLines):
    platform = "torque"
    #: Torque gives each rank one core, where nothing but its nodes and cores is asked for.
    words: ClassVar = {
        **{word: value for word, value in OptionLines.words.items() if word != "cpus_per_rank"},
        "ranks_per_node": 8,
        "cpus_per_rank": 1,
    }
    no_option = frozenset(("ppn", "gpus", "features", "slots"))  # parts of nodes, and of -t
    samples = {
        "resources": (["pmem=2gb", "naccesspolicy=singlejob"], ("pmem=2gb", "naccesspolicy=singlejob")),
        "rerunnable": (False, "no"),
        "priority": "-10",
        "group_list": "chem",
        "mail_events": "ae",
        "mail_user": "me@lab.org",
    }
    bits = (
        *("nodes=", "procs=", "ncpus=", ":ppn=", ":gpus=", "+", "naccesspolicy=", "depend=", "afterokarray:", "x="),
        *("$PBS_JOBID", "$PBS_O_WORKDIR/", "-l nodes=1#", "#", "\\", "1:00:00", "4gb", "oe", "eo", "[]", "0"),
    )
    answers: ClassVar = {
        "number of nodes left": "must be told the number of nodes",
        "wall time left": {"wall_time_min": None},
        "uneven ranks": {"num_nodes": 2, "ranks_per_node": 3},
        "GPUs of a node": {"num_nodes": 2, "gpus_per_node": 2},
        "GPUs of a kind": "cannot ask for GPUs of one kind (gpu_kind='a100')",
        "memory of a node": {"memory": 4096},  # of the whole job
        "all memory": "cannot ask for all the memory of a node (memory_per_node=0)",
        "memory of a core": {"memory": 4096, "ranks_per_node": 4},
        "memory of a thread's core": {"memory": 4096, "ranks_per_node": 8},
        "memory of a GPU": {"memory": 2048, "gpus_per_node": 2},
        "array limit": {"array": "0-9", "array_limit": 4},
        "begin": {"begin": "2027-01-02T03:04:05"},
    }
    scripts = {
        "dynamics.sh": Asked(
            {
                "name": "dynamics",
                "num_nodes": 4,
                "ranks_per_node": 16,
                "cpus_per_rank": 1,
                "wall_time_min": 2880,
                "memory_per_rank": 3072,
                "exclusive": True,
                "queue": "batch",
                "project": "chem",
                "join": True,
                "stdout": "dynamics.log",
            },
            dropped=(9, 10),
            untranslatable=(11,),
        ),
        "gpus.sh": Asked(
            {
                "num_nodes": 1,
                "ranks_per_node": 8,
                "cpus_per_rank": 1,
                "gpus_per_node": 2,
                "memory": 32768,
                "wall_time_min": 120,
                "directory": "/home/u/train",
                "exclusive": True,
                "stdout": "logs/{id}.OU",
                "stderr": "logs/{id}.err",
            },
            dropped=(8,),
            untranslatable=(9,),
        ),
        "array.csh": Asked(
            {
                "shell": "/bin/tcsh",
                "name": "scan",
                "array": "1-20,31,40-49",
                "array_limit": 5,
                "ranks": 12,
                "cpus_per_rank": 1,
                "after": ("afterok:812[].head", "afterok:813[].head", "afterany:900.head"),
                "stdout": "out/{name}.{index}",
                "environment": {"MODEL": None, "LEVELS": "3"},
            },
            dropped=(11, 12),
        ),
        "fat.sh": Asked({"wall_time_min": 30}, untranslatable=(3, 4, 5, 6, 7, 8)),
        "windows.sh": Asked(
            {"name": "one", "num_nodes": 1, "ranks_per_node": 1, "cpus_per_rank": 4, "wall_time_min": 90}
        ),
    }


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("-l nodes=3", {"num_nodes": 3, "ranks_per_node": 1, "cpus_per_rank": 1}),
        ("-l nodes=1:ppn=2+1:ppn=2", {"num_nodes": 2, "ranks_per_node": 2, "cpus_per_rank": 1}),
        ("-l nodes=3#shared", {"num_nodes": 3, "ranks_per_node": 1, "cpus_per_rank": 1}),
        ("-l nodes=1#excl", {"num_nodes": 1, "ranks_per_node": 1, "cpus_per_rank": 1, "exclusive": True}),
        *(
            (
                f"-l nodes=1:ppn=4:gpus=2:{mode}",
                {"num_nodes": 1, "ranks_per_node": 4, "cpus_per_rank": 1, "gpus_per_node": 2},
            )
            for mode in ("exclusive_process", "Exclusive_Thread:reseterr", "default", "shared", "exclusive")
        ),
        ("-l procs=8", {"ranks": 8, "cpus_per_rank": 1}),
        ("-l walltime=1:00:00:00", {"wall_time_min": 1440}),
        ("-l walltime=2:03:04:05", {"wall_time_min": 3065}),
        ("-l walltime=60 -l walltime=120", {"wall_time_min": 2}),
        ("-v A=1 -v B=2", {"environment": {"B": "2"}}),
        ("-N run#7 #8", {"name": "run#7"}),
        ("-l naccesspolicy=shared", {"exclusive": False}),
        ("-l naccesspolicy=SINGLEJOB", {"exclusive": True}),
        ("-l qos=high,advres=maint", {"qos": "high", "reservation": "maint"}),
        ("-E", {"exclusive": True}),
        ("-w /scratch/u", {"directory": "/scratch/u"}),
        ("-t 7", {"array": "7"}),
        ("-t 0-9,20%3", {"array": "0-9,20", "array_limit": 3}),
        ("-W depend=afterstartarray:1[].s", {"after": ("after:1[].s",)}),
        ("-W depend=afternotokarray:1[]:2[]", {"after": ("afternotok:1[]", "afternotok:2[]")}),
        ("-W depend=afteranyarray:1[],after:2", {"after": ("afterany:1[]", "after:2")}),
        ("-o head:/home/u/$PBS_JOBID", {"stdout": "/home/u/{id}"}),
        ("-e ${PBS_JOBNAME}.e${PBS_ARRAYID}", {"stderr": "{name}.e{index}"}),
        ("-o $PBS_O_WORKDIR/a/x.log", {"stdout": "a/x.log"}),
        ("-o ${PBS_O_WORKDIR}/x.$PBS_JOBID", {"stdout": "x.{id}"}),
        ("-o localhost:${PBS_O_WORKDIR}/x", {"stdout": "x"}),
        ("-o $PBS_O_WORKDIR/", {"stdout": "./{id}.OU"}),
        ("-e head:$HOME/x -o ${HOME}/y", {"stderr": "~/x", "stdout": "~/y"}),
        ("-b 30 -i", {}),
    ],
)
def test_what_an_option_means(said: str, words: dict[str, Any]) -> None:
    reading = TABLE.read(f"#!/bin/sh\n#PBS {said}\n")
    assert meaning(reading) == words


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("-l nodes=2:ppn=4:bigmem", "bigmem"),
        ("-l nodes=2:ppn=4:exclusive_process:gpus=1", "exclusive_process"),
        ("-l nodes=2:ppn=4:gpus=1:prohibited", "prohibited"),
        ("-l nodes=2#bigmem", "#bigmem"),
        ("-l nodes=node01:ppn=4", "names a host"),
        ("-l nodes=1:ppn=4+2:ppn=8", "nodes that differ"),
        ("-l procs=8,nodes=2", "beside nodes"),
        ("-l procs=8,ncpus=2", "beside nodes or ncpus"),
        ("-l nodes=2,ncpus=2", "beside select or nodes"),
        ("-l procs=8:gpus=1", "whole number"),
        ("-l gpus=2", "say -g"),
        ("-l naccesspolicy=singleuser", "some jobs alone"),
        ("-l select=2", "no equivalent"),
        ("-l vmem=4gb", "no equivalent"),
        ("-l walltime=1:1:00:00:00", "length of time"),
        ("-t all", "indices"),
        ("-W depend=afterokarray:1[][3]", "some elements"),
        ("-W depend=synccount:2", "synccount"),
        ("-W depend=on:2", "the dependency on"),
        ("-W x=QOS:high", "no equivalent"),
        ("-W PARTITION:west", "no equivalent"),
        ("-q batch@other", "another server"),
        ("-o $SCRATCH/out", "variable"),
        ("-o $HOMES/out", "variable"),
        ("-o $PBS_O_WORKDIR", "variable"),
        ("-F 'a b'", "after the script's name"),
        ("-L tasks=2", "no equivalent"),
        ("-f", "no equivalent"),
        ("-D /root", "no equivalent"),
        ("-P other:group", "another's"),
        ("-x", "no terminal"),
        ("-R oe", "no option of qsub"),
    ],
)
def test_what_has_no_equivalent_is_named_with_its_line_and_the_reason(said: str, why: str) -> None:
    found = TABLE.read(f"#!/bin/sh\n\n#PBS {said}\n").untranslatable()
    assert {one.line for one, _ in found} == {3}
    assert any(why in reason for _, reason in found), found


def test_a_backslash_joins_a_line_with_the_next() -> None:
    text = "#!/bin/sh\n#PBS -l nodes=2:ppn=4 \\\n#PBS -l walltime=60 \\\n -N x\n#PBS -h\ntrue \\\n#PBS -q no\n"
    assert [(one.line, one.said) for one in TABLE.read(text).directives] == [
        (2, "-l nodes=2:ppn=4"),
        (2, "-l walltime=60"),
        (2, "-N x"),
        (5, "-h"),
    ]
