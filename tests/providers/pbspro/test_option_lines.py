"""The options of PBS's qsub, as scripts have them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from psij_parsl.providers.pbspro.directives import TABLE
from tests.providers.option_lines import Asked, OptionLines


class TestOptionLines(OptionLines):
    platform = "pbspro"
    no_option = frozenset(
        ("exclusive", "ncpus", "ngpus", "chunk", "charge_to")
    )  # parts of select and place; -P or -A
    samples = {
        "place": "pack:excl",
        "resources": (["pmem=2gb", "software=x"], ("pmem=2gb", "software=x")),
        "filesystems": "home:eagle",
        "rerunnable": (True, "yes"),
        "priority": "-10",
        "group_list": "chem@head,phys@other",
        "mail_events": "ae",
        "mail_user": "me@lab.org",
    }
    bits = (
        *("select=", "nodes=", "place=", "ncpus=", "mpiprocs=", ":ppn=", ":mem=", "+", "scatter", "pack", "exclhost"),
        *(
            "-l select=2:",
            "-v A=1",
            "\\",
            "#",
            "depend=",
            "afterok:",
            "^array_index^",
            "1:00:00",
            "4gb",
            "oe",
            "eo",
            "[]",
            "0",
        ),
    )
    #: Each host has the ranks of the one that has most of them; without a number of hosts each rank is a chunk.
    answers = {
        "number of nodes left": {"num_nodes": None, "ranks": 5, "cpus_per_rank": 1},
        "wall time left": {"wall_time_min": None},
        "uneven ranks": {"num_nodes": 2, "ranks_per_node": 3},
        "GPUs of a node": {"num_nodes": 2, "gpus_per_node": 2},
        "GPUs of a kind": "cannot ask for GPUs of one kind (gpu_kind='a100')",
        "memory of a node": {"memory_per_node": 2048},
        "all memory": "cannot ask for all the memory of a node (memory_per_node=0)",
        "memory of a core": {"memory_per_node": 4096, "cpus_per_rank": 4},
        "memory of a thread's core": {"memory_per_node": 4096, "cpus_per_rank": 8},
        "memory of a GPU": {"memory_per_node": 2048, "gpus_per_node": 2},
        "array limit": {"array": "0-9", "array_limit": 4},
        "begin": {"begin": "2027-01-02T03:04:05"},
    }
    scripts = {
        "machine.sh": Asked(
            {"name": "potentials", "wall_time_min": 30, "queue": "prod", "project": "Materials"},
            untranslatable=(3, 6),
        ),
        "ocean.sh": Asked(
            {
                "name": "ocean_2km",
                "project": "climate",
                "queue": "normal",
                "num_nodes": 8,
                "ranks_per_node": 16,
                "cpus_per_rank": 2,
                "memory_per_node": 122880,
                "exclusive": True,
                "wall_time_min": 2160,
                "join": True,
                "stdout": "/scratch/u/ocean.log",
                "environment": {"YEAR": "1999", "TZ": None, "OMP_NUM_THREADS": "2"},
            },
            dropped=(10, 11),
            untranslatable=(12,),
        ),
        "older.sh": Asked(
            {
                "num_nodes": 2,
                "ranks_per_node": 4,
                "cpus_per_rank": 1,
                "wall_time_min": 60,
                "name": "both_ways",
                "shell": "/bin/bash",
                "hold": True,
                "stderr": "errors/{index}.txt",
            },
            untranslatable=(11,),
        ),
        "sweep.sh": Asked(
            {
                "name": "sweep",
                "array": "1-99:2",
                "array_limit": 8,
                "after": ("afterok:4711.pbs01", "afterok:4712.pbs01", "afterany:4713.pbs01"),
                "ranks": 6,
                "cpus_per_rank": 2,
                "gpus": 2,
                "memory": 20480,
                "wall_time_min": 46,
                "stdout": "logs/{id}.OU",
                "stderr": "logs/{index}.err",
                "begin": "2028-12-31T23:30:00",
            },
            untranslatable=(8, 9),
        ),
        "alone.csh": Asked(
            {
                "name": "protein",
                "num_nodes": 1,
                "ranks_per_node": 1,
                "cpus_per_rank": 1,
                "memory": 2048,
                "memory_per_rank": 1500,
                "wall_time_min": 720,
            },
            dropped=(8,),
        ),
        "parts.sh": Asked({}, untranslatable=(2, 4, 5)),
        "windows.sh": Asked(
            {
                "name": "train",
                "num_nodes": 1,
                "ranks_per_node": 1,
                "cpus_per_rank": 16,
                "gpus_per_node": 2,
                "memory_per_node": 65536,
                "wall_time_min": 120,
            }
        ),
    }


def shape(**words: int) -> dict[str, int]:
    return {"cpus_per_rank": 1, **words}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("-l select=4", shape(ranks=4)),
        ("-l select=ncpus=8", shape(num_nodes=1, ranks_per_node=1, cpus_per_rank=8)),
        ("-l select=1:ncpus=8:mpiprocs=4", shape(num_nodes=1, ranks_per_node=4, cpus_per_rank=2)),
        ("-l select=3:NCPUS=8:MPIPROCS=4", shape(ranks=12, cpus_per_rank=2)),
        ("-l select=3:ncpus=8 -l place=free:excl", shape(ranks=3, cpus_per_rank=8, exclusive=True)),
        ("-l select=3:ncpus=8 -l place=vscatter", shape(ranks=3, cpus_per_rank=8)),
        ("-l select=3 -l place=scatter", shape(num_nodes=3, ranks_per_node=1)),
        ("-l select=3 -l place=excl:scatter", shape(num_nodes=3, ranks_per_node=1, exclusive=True)),
        ("-l select=3 -l place=exclhost", shape(num_nodes=3, ranks_per_node=1, exclusive=True)),
        ("-l select=3 -l place=shared", shape(ranks=3, exclusive=False)),
        (
            "-l select=3:ngpus=1:mem=1gb -l place=scatter",
            shape(num_nodes=3, ranks_per_node=1, gpus_per_node=1, memory_per_node=1024),
        ),
        ("-l select=3:ngpus=1:mem=1gb", shape(ranks=3, gpus=3, memory=3072)),
        (
            "-l select=3:ngpus=1:mem=1gb -l place=pack:exclhost",
            shape(num_nodes=1, ranks_per_node=3, gpus_per_node=3, memory_per_node=3072, exclusive=True),
        ),
        ("-l select=1:ncpus=2+2:ncpus=2", shape(ranks=3, cpus_per_rank=2)),
        ("-l select=2:ngpus=0", shape(ranks=2)),
        ("-l nodes=3", shape(num_nodes=3, ranks_per_node=1)),
        ("-l nodes=1:ppn=4+1:ppn=4", shape(num_nodes=2, ranks_per_node=4)),
        ("-l nodes=2:ppn=4:gpus=2", shape(num_nodes=2, ranks_per_node=4, gpus_per_node=2)),
        ("-l nodes=2:ppn=4#excl", shape(num_nodes=2, ranks_per_node=4, exclusive=True)),
        ("-l nodes=2#shared", shape(num_nodes=2, ranks_per_node=1)),
        ("-l ncpus=8,mem=4gb", shape(num_nodes=1, ranks_per_node=1, cpus_per_rank=8, memory=4096)),
        ("-l ncpus=8,mpiprocs=4,ngpus=1", shape(num_nodes=1, ranks_per_node=4, cpus_per_rank=2, gpus_per_node=1)),
        ("-l mem=1048576", {"memory": 1}),
        ("-l mem=1048577b", {"memory": 2}),
        ("-l mem=3000kb", {"memory": 3}),
        ("-l walltime=90", {"wall_time_min": 2}),
        ("-l walltime=2:30", {"wall_time_min": 3}),
        ("-l Walltime=1:00:01", {"wall_time_min": 61}),
        ("-l walltime=60,walltime=120 -l walltime=180", {"wall_time_min": 1}),
        ("-l select=2 -l select=1:ncpus=4+1:ncpus=8", shape(ranks=2)),
        ("-l mem=1gb -l mem=lots", {"memory": 1024}),
        ("-l walltime=UNLIMITED", {"wall_time_min": None}),
        ("-a 2330", {"begin": "23:30:00"}),
        ("-a 202812312330.15", {"begin": "2028-12-31T23:30:15"}),
        ("-J 0-9", {"array": "0-9"}),
        ("-J 0-20:5%2", {"array": "0-20:5", "array_limit": 2}),
        ("-J 0-9 -W max_run_subjobs=3", {"array": "0-9", "array_limit": 3}),
        ("-W depend=afternotok:1,umask=022", {"after": ("afternotok:1",)}),
        ('-W "depend = after:1.s, umask = 022"', {"after": ("after:1.s",)}),
        ("-o out.txt", {"stdout": "out.txt"}),
        ("-o head:/home/u/{x}", {"stdout": "/home/u/{{x}}"}),
        ("-o $PBS_JOBID.out", {"stdout": "$PBS_JOBID.out"}),
        ("-e logs/", {"stderr": "logs/{id}.ER"}),
        ("-j n -e e.txt", {"join": False, "stderr": "e.txt"}),
        ("-j oe -o o.txt -e e.txt", {"join": True, "stdout": "o.txt"}),
        ("-j eo -o o.txt -e e.txt", {"join": True, "stdout": "e.txt"}),
        ("-joe", {"join": True}),
        ("""-v A=1,B,"C='1,2'" """, {"environment": {"A": "1", "B": None, "C": "1,2"}}),
        (
            "-v OMP_NUM_THREADS=3 -l select=1:ompthreads=2",
            shape(num_nodes=1, ranks_per_node=1) | {"environment": {"OMP_NUM_THREADS": "3"}},
        ),
        ("-v A=1,B -v C=2", {"environment": {"C": "2"}}),
        ("-P chem -P phys", {"project": "phys"}),
        ("-N x # -N y", {"name": "x"}),
        ("-N run#7 -h # it's", {"name": "run#7", "hold": True}),
        ("-N 'a #b' #-h", {"name": "a #b"}),
        ("-zh -k oe", {"hold": True}),
        ("-W block=true", {}),
    ],
)
def test_what_an_option_means(said: str, words: dict[str, Any]) -> None:
    reading = TABLE.read(f"#!/bin/sh\n#PBS {said}\n")
    left = [
        one.said
        for one, _ in reading.untranslatable()
        if not {"umask", "depend"} & {*re.findall(r"[a-z]+", one.said)}
    ]
    assert (reading.words, left) == (words, [])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("-l select=1:ncpus=4+1:ncpus=8", "chunks that differ"),
        ("-l nodes=1:ppn=4+1:ppn=8", "nodes that differ"),
        ("-l select=2:system=polaris", "system=polaris"),
        ("-l select=2:host=node01", "host=node01"),
        ("-l select=2:ncpus", "name=value"),
        ("-l select=two", "whole number"),
        ("-l select=2:ncpus=8:mpiprocs=3", "no whole number"),
        ("-l select=2:mpiprocs=4", "no whole number"),
        ("-l select=2:ncpus=8:mpiprocs=0", "no rank"),
        ("-l mpiprocs=4", "no whole number"),
        ("-l ncpus=8,mpiprocs=3", "no whole number"),
        ("-l select=1:ncpus=8 -l ncpus=8", "beside select"),
        ("-l select=1:ncpus=8 -l nodes=2", "beside select"),
        ("-l nodes=2#bigmem", "#bigmem"),
        ("-l walltime=1:00:00:00", "length of time"),
        ("-l select=1:ncpus=4+1:ncpus=8 -l select=2", "chunks that differ"),
        ("-l nodes=node01+node02", "names a host"),
        ("-l nodes=bigmem:ppn=4", "a property"),
        ("-l nodes=2:ppn=4:bigmem", "bigmem"),
        ("-l place=scatter:group=switch", "one group"),
        ("-l place=wide", "placement"),
        ("-l walltime=1-00:00:00", "H:M:S"),
        ("-l walltime=soon", "length of time"),
        ("-l walltime", "length of time"),
        ("-l mem=lots", "amount of memory"),
        ("-l mem=100mw", "amount of memory"),
        ("-l vmem=4gb", "no equivalent"),
        ("-l filesystems=home", "no equivalent"),
        ("-J 5-", "indices"),
        ("-J 1-9%0", "above 0"),
        ("-W depend=before:1", "before"),
        ("-W depend=on:2", "the dependency on"),
        ("-W depend=runone:1", "runone"),
        ("-W depend=afterokarray:1[]", "afterokarray"),
        ("-W depend=afterok", "KIND:ID"),
        ("-W depend=afterok:1::2", "KIND:ID"),
        ("-W interactive=true", "no terminal"),
        ("-W umask=022", "umask 027"),
        ("-W other=1", "no equivalent"),
        ("-q workq@other", "another server"),
        ("-q @other", "another server"),
        ("-S /bin/sh@a,/bin/bash@b", "for each host"),
        ("-o host:out.txt", "home directory"),
        ("-j both", "oe, eo or n"),
        ("-v A=1,2", "names of variables"),
        ("-a 2575", "hour"),
        ("-a 12:00", "hhmm"),
        ("-t 1-3", "no option of qsub"),
        ("-I", "no terminal"),
        ("-X", "no terminal"),
        ("-G", "no terminal"),
        ("-C PRE", "begin with #PBS"),
        ("-u other", "another's"),
        ("--version", "ask qsub"),
        ("-- /bin/true", "no option"),
        ("-N 'x", "cannot be split"),
        ("-N x\\ y 'z", "cannot be split"),
        ("word", "no option"),
    ],
)
def test_what_has_no_equivalent_is_named_with_its_line_and_the_reason(said: str, why: str) -> None:
    found = TABLE.read(f"#!/bin/sh\n\n#PBS {said}\n").untranslatable()
    assert {one.line for one, _ in found} == {3}
    assert any(why in reason for _, reason in found), found


def test_only_the_lines_before_the_first_command_count() -> None:
    text = "#!/bin/sh\n  #PBS -N a\n##PBS -N b\n#PBSX\n#SBATCH -J c\n\n# hello\n#PBS -N d\nset -e\n#PBS -N e\n"
    assert [(one.line, one.said) for one in TABLE.read(text).directives] == [(8, "-N d")]


def test_a_line_may_end_as_in_windows() -> None:
    assert TABLE.read("#!/bin/sh\r\n#PBS -N a\r\n\r\n#PBS -l select=1\r\ntrue\r\n#PBS -N b\r\n").words == {
        "name": "a",
        **shape(num_nodes=1, ranks_per_node=1),
    }


@pytest.mark.parametrize("end", ["\\\n", "\\  \n", "\\\r\n", "\\\n#PBS ", "\\\n \\\n"])
def test_a_backslash_joins_a_line_with_the_next(end: str) -> None:
    text = f"#!/bin/sh\n#PBS -N x {end}-l select=2:\\\nncpus=4\n#PBS -h\n  true \\\n#PBS -q no\n"
    said = [(one.line, one.said) for one in TABLE.read(text).directives]
    assert said == [(2, "-N x"), (2, "-l select=2:ncpus=4"), (2 + text.partition("#PBS -h")[0].count("\n") - 1, "-h")]


def test_the_last_line_may_end_in_a_backslash() -> None:
    assert TABLE.read("#PBS -N x\\").words == {"name": "x"}


def test_of_parameters_too_the_first_counts() -> None:
    text = "#PBS -l place=pack -l pmem=1gb -l software=a\n#PBS -l place=scatter,pmem=2gb -l software=b\n"
    assert TABLE.read(text).parameters() == {"place": "pack", "resources": ("pmem=1gb", "software=a", "software=b")}


def test_a_refused_option_takes_no_other_with_it() -> None:
    reading = TABLE.read("#PBS -l select=2:ncpus=3:mpiprocs=2,walltime=60 -N x\n")
    assert reading.words == {"wall_time_min": 1, "name": "x"}
    assert [one.said for one, _ in reading.untranslatable()] == ["-l select=2:ncpus=3:mpiprocs=2"]
