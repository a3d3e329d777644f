"""The options of bsub, as scripts have them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, Job
from psij_parsl.errors import InvalidRequest
from psij_parsl.providers.lsf.directives import TABLE
from psij_parsl.providers.lsf.provider import LSFProvider
from tests.providers.option_lines import Asked, OptionLines, meaning


class TestOptionLines(OptionLines):
    platform = "lsf"
    no_option = frozenset(("nodes_option", "slots_per_node", "memory_for", "memory_unit", "charge_to"))
    words = {  # its slots, one for each core, are ranks to whoever reads the script; and indices are counted from 1
        "name": "relax",
        "num_nodes": 2,
        "ranks_per_node": 8,
        "wall_time_min": 95,
        "queue": "debug",
        "project": "chem",
        "array": "1-4",
        "hold": True,
        "gpus_per_node": 1,
    }
    parameters = {"gpus_per_node": 1}
    samples = {
        "requirements": (
            ["select[type==any]", "rusage[lic=1,lic2=2]"],
            ("span[ptile=1]", "select[type==any]", "rusage[lic=1,lic2=2]"),  # the slots of each node are one, too
        ),
        "gpus_per_node": 2,
        "gpu_options": "mode=shared:gmem=10G",
        "exclusive": (True, True),
        "reservation": "maint.7",
        "application": "gromacs",
        "rerunnable": (True, True),
        "requeue_codes": ([99, 100], ("99", "100")),
        "alloc_flags": (["gpumps", "smt4"], ("gpumps", "smt4")),
    }
    bits = (
        "span[",
        "-n 2 -R span[ptile=1] ",
        "-w done(1) ",
        "hosts=1",
        "ptile=",
        "rusage[mem=4GB",
        "/task",
        "num=2",
        "||",
        "done(",
        "&&",
        "{",
        "\\",
        "#BSUB -n 2",
    )
    #: It begins at a whole minute, and none before the time that was said. What `-M` and `rusage` are for, the site decides.
    asked_with = {"gpus_per_node": None}
    answers = {
        "number of nodes left": {"num_nodes": None, "ranks": 5},
        "wall time left": {"wall_time_min": None},
        "uneven ranks": {"num_nodes": 2, "ranks": 5},
        "GPUs of a node": {"num_nodes": 2, "gpus_per_node": 2},
        "GPUs of a kind": {"gpus_per_node": 2, "gpu_kind": "a100"},
        "memory of a node": {"num_nodes": 2},
        "all memory": "cannot ask for all the memory of a node (memory_per_node=0)",
        "memory of a core": {"num_nodes": 1, "ranks_per_node": 4},
        "memory of a thread's core": {"num_nodes": 1, "ranks_per_node": 8},
        "memory of a GPU": {"gpus_per_node": 2, "memory_per_node": 2048},
        "array limit": {"array": "1-10", "array_limit": 4},
        "begin": {"begin": "2027-01-02T03:05:00"},
    }
    scripts = {
        "mpi.sh": Asked(
            {
                "name": "storm",
                "project": "meteo-17",
                "queue": "long idle",
                "num_nodes": 3,
                "ranks": 40,
                "cpus_per_rank": 2,
                "memory_per_rank": 2048,
                "wall_time_min": 2190,
                "stdout": "storm.{id}.out",
                "append": True,
            },
            dropped=(10, 18),
        ),
        "gpu.sh": Asked(
            {
                "name": "train",
                "queue": "gpuv100",
                "num_nodes": 1,
                "ranks_per_node": 4,
                "gpus_per_node": 2,
                "gpu_kind": "TeslaV100",
                "wall_time_min": 1440,
                "stdout": "train.out",
                "stderr": "train.{id}.err",
                "append": False,
                "signal_before_end": "USR2@600",
                "after": ("afterok:4711", "afterany:4712[3]"),
            },
            dropped=(7, 12),
            untranslatable=(6, 7, 8),
        ),
        "array.csh": Asked(
            {
                "name": "sweep",
                "array": "1-100:3,250",
                "array_limit": 8,
                "stdout": "logs/{array}_{index}.log",
                "append": True,
                "wall_time_min": 90,
                "memory_per_node": 6000,
                "directory": "/scratch/me/sweep",
                "inherit_environment": True,
                "environment": {"MODEL": "v2", "SEED": None},
                "begin": "20:30:00",
                "exclusive": True,
                "hold": True,
            },
            dropped=(7, 13),
            untranslatable=(12, 14, 15),
        ),
        "launch_node.sh": Asked(
            {"name": "plasma", "num_nodes": 16, "wall_time_min": 105, "project": "fusion", "queue": "batch"},
            untranslatable=(6, 7),
        ),
        "windows.sh": Asked(
            {"num_nodes": 2, "ranks_per_node": 12, "memory_per_node": 65536, "wall_time_min": 30, "project": "chem"}
        ),
    }


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("-n 1", {"ranks": 1}),
        ("-n4", {"ranks": 4}),
        ('-n 8 -R "span[ ptile = 8 ]"', {"num_nodes": 1, "ranks_per_node": 8}),
        ("-n 3 -R span[ptile=4]", {"num_nodes": 1, "ranks_per_node": 3}),
        ("-n 5 -R span[ptile=4]", {"num_nodes": 2, "ranks": 5}),
        ("-n 6 -R span[hosts=-1]", {"ranks": 6}),
        ("-R span[hosts=1]", {"num_nodes": 1}),
        ("-n 2 -R affinity[core]", {"ranks": 2, "cpus_per_rank": 1}),
        ('-n 2 -R"span[hosts=1]affinity[core(4)]"', {"num_nodes": 1, "ranks_per_node": 2, "cpus_per_rank": 4}),
        ("-R rusage[mem=4GB]", {"memory_per_node": 4096}),
        ("-M 4G!", {"memory_per_node": 4096}),
        ("-R rusage[mem=4GB] -M 2GB", {"memory_per_node": 4096}),
        ("-n 9 -R rusage[mem=9GB/job]", {"ranks": 9, "memory": 9216}),
        (
            "-n 9 -R rusage[mem=9GB/host:ngpus_physical=1/task]",
            {"ranks": 9, "memory_per_node": 9216, "gpus_per_rank": 1},
        ),
        ("-R rusage[mem=500M,ngpus_excl_p=2]", {"memory_per_node": 500, "gpus_per_node": 2}),
        ("-R rusage[mem=1GB] -R rusage[ngpus_physical=2]", {"memory_per_node": 1024, "gpus_per_node": 2}),
        ("-gpu num=2", {"gpus_per_node": 2}),
        ("-n 4 -gpu num=2/host", {"ranks": 4, "gpus_per_node": 2}),
        ("-gpu mode=shared:num=1/task", {"gpus_per_rank": 1}),
        ("-gpu mode=shared:mps=no", {"gpus_per_node": 1}),
        ("-W 210", {"wall_time_min": 210}),
        ("-W 3:90", {"wall_time_min": 270}),
        ("-W 0", {"wall_time_min": None}),
        ("-W UNLIMITED", {"wall_time_min": None}),
        ("-J [1-4]", {"array": "1-4"}),
        ('-J "two words%2"', {"name": "two words%2"}),
        ("-J x[1-10]%2", {"name": "x", "array": "1-10", "array_limit": 2}),
        ("-o a.%J.%I", {"stdout": "a.{id}.0", "append": True}),
        ("-J x[1-2] -e a.%J.%I", {"name": "x", "array": "1-2", "stderr": "a.{array}.{index}", "append": True}),
        ("-oo {id}.%J", {"stdout": "{{id}}.{id}", "append": False}),
        ("-oo a -e b", {"stdout": "a", "stderr": "b", "append": True}),
        ("-is in.%J", {"stdin": "in.{id}"}),
        ("-w 12", {"after": ("afterok:12",)}),
        ("-w 'exit(1)&&started( 2 )'", {"after": ("afternotok:1", "after:2")}),
        ("-env none", {"inherit_environment": False}),
        ("-env \"A, B='1,2'\"", {"inherit_environment": False, "environment": {"A": None, "B": "1,2"}}),
        ("-wa SIGTERM -wt 1:30", {"signal_before_end": "TERM@5400"}),
        ("-b 8:05", {"begin": "08:05:00"}),
        ("-b 2031:12:24:20:00", {"begin": "2031-12-24T20:00:00"}),
        ("-G chem", {"project": "chem"}),
        ("-nnodes 4", {"num_nodes": 4}),
        ("-P a#b -q x #-H", {"project": "a#b", "queue": "x"}),
        ("-P it'self s' -K -ti -Zs", {"project": "itself s"}),
        ("-r -rn -Jd x -sp 4 -Q '1 2' -R order[ut]", {}),
    ],
)
def test_what_an_option_means(said: str, words: dict[str, Any]) -> None:
    reading = TABLE.read(f"#!/bin/sh\n#BSUB {said}\n")
    assert meaning(reading) == words


def unquoted(text: str) -> str:
    return re.sub("[\"']", "", text)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("-n 2,8", "between two"),
        ("-n many", "whole number"),
        ("-R span[hosts=2]", "span[hosts=1]"),
        ("-R span[hosts=1", "sections such as"),
        ('-R ""', "not empty"),
        ("-R span[ptile='!']", "only LSF"),
        ("-R span[block=4]", "only LSF"),
        ("-R select[mem>4000]", "properties"),
        ("-R type==any", "properties"),
        ("-R same[model]", "alike"),
        ("-R cu[maxcus=1]", "near each other"),
        ("-R {rusage[mem=1]}||{rusage[mem=2]}", "several things"),
        ("-R rusage[mem=1GB]||rusage[swp=1GB]", "several things"),
        ("-R rusage[mem=1GB||swp=1GB]", "several things"),
        ("-R rusage[mem=(4GB,2GB):duration=(1,2)]", "more than at another"),
        ("-R rusage[mem=4GB:duration=1h]", "part of the time"),
        ("-R rusage[scratch=10]", "resource of that site"),
        ("-R rusage[mem=4096]", "site's unit"),
        ("-R rusage[mem=4096/host]", "site's unit"),
        ("-R rusage[mem=4GB/core]", "/host, /task or /job"),
        ("-R rusage[mem=lots]", "amount of memory"),
        ("-R affinity[thread(2)]", "bound"),
        ("-R affinity[core(2,same=socket)]", "bound"),
        ("-M 4194304", "site's unit"),
        ("-gpu -", "default"),
        ("-gpu num=2/job", "/host or /task"),
        ("-gpu num=2:mps=yes", "mps=yes"),
        ("-gpu num=2:gmem=10G", "gmem=10G"),
        ("-gpu two", "options such as"),
        ("-W 60/hostA", "certain host"),
        ("-W soon", "[hour:]minute"),
        ("-W 1:2:3", "[hour:]minute"),
        ("-J x[a]", "INDICES"),
        ("-J x[1-2]%0", "above 0"),
        ("-w done(1)||done(2)", "condition"),
        ("-w !done(1)", "condition"),
        ("-w 'done(\"first\")'", "condition"),
        ("-w exit(1,>2)", "condition"),
        ("-w numdone(1,*)", "condition"),
        ("-b tomorrow", "hour:minute"),
        ("-b 25:00", "hour:minute"),
        ("-b 2030:2:30:8:00", "hour:minute"),
        ("-cwd /scratch/%U", "LSF puts together"),
        ("-env all,~HOME", "keeps a variable"),
        ("-env A='", "cannot be split"),
        ('-env "A=\'"', "closing quotes"),
        ("-wa USR1", "-wt only"),
        ("-wt 5", "-wa only"),
        ("-wa CHKPNT:x -wt 5", "only LSF"),
        ("-P a -G b", "beside the project"),
        ("-m 'a b'", "hosts by name"),
        ("-hostfile x", "hosts by name"),
        ("-app gromacs", "no equivalent"),
        ("-S 100", "no equivalent"),
        ("-Is", "no terminal"),
        ("-pack jobs", "in its script"),
        ("-zone thing", "no option of bsub"),
        ("-q", "lacks its value"),
        ("-J 'x", "cannot be split"),
    ],
)
def test_what_has_no_equivalent_is_named_with_its_line_and_the_reason(said: str, why: str) -> None:
    found = TABLE.read(f"#!/bin/sh\n\n#BSUB {said}\n").untranslatable()
    assert {one.line for one, _ in found} == {3}
    assert any(why in reason for _, reason in found), found
    assert all(unquoted(one.said.partition(" ")[2]) in unquoted(said) for one, _ in found), found


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ("-n 4 -R rusage[mem=4GB]", ["-R rusage[mem=4GB]"]),
        ("-n 4 -M 4GB", ["-M 4GB"]),
        ("-n 4 -R rusage[ngpus_physical=1] -M 4GB", ["-R rusage[ngpus_physical=1]", "-M 4GB"]),
        ("-n 2,4 -R rusage[mem=4GB]", ["-n 2,4", "-R rusage[mem=4GB]"]),
        ("-nnodes 2 -M 4GB", ["-M 4GB"]),
        ("-n 4 -R rusage[mem=4GB/task]", []),
    ],
)
def test_an_amount_that_a_site_gives_its_meaning_is_refused_for_more_than_one_slot(
    said: str, refused: list[str]
) -> None:
    reading = TABLE.read(f"#BSUB {said}")
    assert [one.said for one, _ in reading.untranslatable()] == refused
    assert not refused or "memory_per_node" not in reading.words


def test_a_limit_of_memory_that_is_refused_names_the_flag() -> None:
    [(_, why)] = TABLE.read("#BSUB -n 4 -M 5GB").untranslatable()
    assert "--mem" in why


@pytest.mark.parametrize(
    ("fields", "said", "why"),
    [
        ({"num_nodes": 2}, "span[hosts=1]", "must not be asked for others"),
        ({"ranks_per_node": 4}, "span[ptile=2]", "must not be asked for others"),
        ({"ranks_per_node": 4}, "span[block=4]", "must not be asked for others"),
        ({"memory_per_node": 900}, "rusage[mem=4GB]", "asked for memory by --mem"),
        ({"memory_per_node": 900}, "rusage[lic=1:mem=4GB]", "asked for memory by --mem"),
        ({"gpus_per_rank": 1}, "rusage[ngpus_physical=1]", "asked for GPUs"),
        ({"parameters": {"gpus_per_node": 1}}, "rusage[mem=1GB, ngpus_excl_p=1]", "asked for GPUs"),
    ],
)
def test_a_requirement_that_a_line_of_ours_says_otherwise_is_refused(
    fields: dict[str, Any], said: str, why: str
) -> None:
    job = Job(command=["true"], **{**fields, "parameters": {**fields.get("parameters", {}), "requirements": [said]}})
    with pytest.raises(InvalidRequest, match=why) as caught:
        BatchSchedulerExecutor("lsf").render(job)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("fields", "parameters", "said", "written"),
    [
        ({"ranks_per_node": 4}, {}, "span[ ptile = 4 ]", ["span[ptile=4]"]),
        ({"num_nodes": 2}, {"slots_per_node": 8}, "span[ptile=8]", ["span[ptile=8]"]),
        ({"ranks_per_node": 4}, {}, "span[hosts=1]", ["span[ptile=4]"]),
        ({"num_nodes": 2}, {"nodes_option": "nnodes"}, "span[ptile=1]", ["span[ptile=1]"]),
        ({"num_nodes": 2}, {"nodes_option": "nnodes"}, "span[hosts=1]", ["span[hosts=1]"]),
        ({}, {}, "rusage[mem=4GB]", ["span[ptile=1]", "rusage[mem=4GB]"]),
        ({}, {}, "rusage[ngpus_physical=1]", ["span[ptile=1]", "rusage[ngpus_physical=1]"]),
        (
            {"memory_per_node": 9},
            {"gpus_per_node": 1},
            "rusage[mems=4,swp=1]",
            ["span[ptile=1]", "rusage[mem=9MB]", "rusage[mems=4,swp=1]"],
        ),
        ({"memory_per_node": 9}, {}, "select[mem>4000]", ["span[ptile=1]", "rusage[mem=9MB]", "select[mem>4000]"]),
    ],
)
def test_a_requirement_without_such_a_line_is_written_and_no_span_twice(
    fields: dict[str, Any], parameters: dict[str, Any], said: str, written: list[str]
) -> None:
    job = Job(command=["true"], parameters={**parameters, "requirements": [said]}, **fields)
    script = BatchSchedulerExecutor("lsf").render(job)
    assert re.findall(r'^#BSUB -R "?([^"\n]*)', script, re.MULTILINE) == written


def test_lines_of_the_whole_script_count_and_a_backslash_joins_them() -> None:
    text = "#!/bin/sh\n#BSUB -n \\\n4 -H\nsleep 1\n\t#BSUB-J x\n# BSUB -n 9\n#bsub -n 8\n#BSUB -q a\\"
    assert [(one.line, one.said) for one in TABLE.read(text).directives] == [
        (2, "-n 4"),
        (2, "-H"),
        (5, "-J x"),
        (8, "-q a"),
    ]


def test_a_block_takes_what_it_took_and_what_has_a_parameter() -> None:
    said = [
        "#BSUB -q normal",
        '#BSUB -P chem -U maint -R "select[type==any] rusage[a=1,b=2]"',
        "#BSUB -app x",
        "-R order[ut]",
        '-alloc_flags "smt4 gpumps"',
        "-gpu num=2:mode=shared",
        "-r",
    ]
    provider = LSFProvider(scheduler_options="\n".join(said), cores_per_node=8)
    wanted = {
        "requirements": ("select[type==any]", "rusage[a=1,b=2]", "order[ut]"),
        "application": "x",
        "reservation": "maint",
        "alloc_flags": ("smt4", "gpumps"),
        "gpu_options": "mode=shared",
        "rerunnable": True,
    }
    assert {name: provider.parameters[name] for name in wanted} == wanted
    assert (provider.queue, provider.project, provider.gpus_per_node) == ("normal", "chem", 2)
    one = LSFProvider(scheduler_options="#BSUB -R rusage[a=1,b=2]", cores_per_node=8)
    assert one.parameters["requirements"] == ("rusage[a=1,b=2]",)


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("-K", "psij-run wait"),
        ("-o x", "block's folder"),
        ("-n 4", "num_nodes"),
        ("-W 5", "wall_time_min"),
        ("-M 4GB", "mem_per_node"),
        ("-H", "never start"),
        ("-J x[1-4]", "Parsl names"),
        ("-w done(1)", "waits for no other job"),
        ("-env none", "worker_init"),
        ("-G chem", "charge_to=group"),
        ("-Is", "no terminal"),
        ("-Jd x", "knows the job by it"),
        ("-m host", "hosts by name"),
        ("-zone", "known here"),
    ],
)
def test_what_a_block_cannot_be_asked_for_is_refused_with_a_hint(said: str, hint: str) -> None:
    with pytest.raises(InvalidRequest, match="scheduler_options says") as caught:
        LSFProvider(scheduler_options=f"#BSUB {said}", cores_per_node=8)
    assert hint in str(caught.value.hint)
