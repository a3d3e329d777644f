"""The options of sbatch, as scripts have them."""

from __future__ import annotations

from typing import Any

import pytest

from psij_parsl.providers.slurm.directives import TABLE
from tests.providers.option_lines import Asked, OptionLines, meaning


class TestOptionLines(OptionLines):
    platform = "slurm"
    no_option = frozenset(("queue_as", "directives"))
    beside = frozenset(("cluster",))
    samples = {
        "gpus_per_node": "a100:2",
        "gres": "gpu:2,craynetwork:1",
        "exclusive": (True, True),
        "qos": "high",
        "constraint": "gpu&hbm80g",
        "reservation": "maint",
        "nodelist": "node[01-04]",
        "exclude": "node09",
        "licenses": "scratch,matlab:2",
        "mail_type": "END,FAIL",
        "mail_user": "me@lab.org",
        "nice": (5, "5"),
        "requeue": (True, True),
    }
    bits = ("gpu:a100:", "now+", "afterok:", "B:USR1@", "ALL,", "NONE", "UNLIMITED", "1-12", "4G", "hetjob")
    answers = {
        "number of nodes left": {"num_nodes": None, "ranks": 5, "ranks_per_node": None},
        "wall time left": {"wall_time_min": None},
        "uneven ranks": {"num_nodes": 2, "ranks": 5, "ranks_per_node": None},
        "GPUs of a node": {"num_nodes": 2, "gpus_per_node": 2},
        "GPUs of a kind": {"gpus_per_node": 2, "gpu_kind": "a100"},
        "memory of a node": {"memory_per_node": 2048},
        "all memory": {"memory_per_node": 0},
        "memory of a core": {"memory_per_core": 1024, "memory_per_node": None, "cpus_per_rank": 4},
        "memory of a thread's core": {"memory_per_core": 1024, "cpus_per_rank": 4, "threads_per_core": 2},
        "memory of a GPU": {"memory_per_gpu": 1024, "memory_per_node": None},
        "array limit": {"array": "0-9", "array_limit": 4},
        "begin": {"begin": "2027-01-02T03:04:05"},
    }
    scripts = {
        "array.sh": Asked(
            {
                "name": "sweep",
                "array": "0-15:3,99",
                "array_limit": 4,
                "ranks": 2,
                "gpus_per_node": 2,
                "gpu_kind": "a100",
                "wall_time_min": 1440,
                "memory_per_core": 4096,
                "stdout": "logs/{name}-{array}_{index:4}.out",
                "stderr": "logs/100%-{id}.err",
                "project": "bio-0042",
                "queue": "gpu,gpu-long",
            },
            dropped=(11, 12),
        ),
        "hybrid.csh": Asked(
            {
                "name": "wrf",
                "num_nodes": 4,
                "ranks_per_node": 8,
                "cpus_per_rank": 8,
                "threads_per_core": 2,
                "exclusive": True,
                "memory_per_node": 0,
                "wall_time_min": 2941,
                "qos": "regular",
                "constraint": "cpu",
                "licenses": "scratch:1",
                "signal_script_before_end": "USR1@120",
                "append": True,
                "hold": True,
            },
            dropped=(13,),
            untranslatable=(14, 15, 16),
        ),
        "chain.sh": Asked(
            {
                "after": ("afterok:1234", "afterok:1235", "afterany:77"),
                "begin": "+7200",
                "inherit_environment": True,
                "environment": {"MODEL": "v2", "SEED": None},
                "ranks": 10,
                "num_nodes": 3,
                "wall_time_min": None,
                "directory": "/scratch/u/run 7",
            },
            untranslatable=(2, 8, 9),
        ),
        "windows.sh": Asked({"num_nodes": 1, "ranks_per_node": 4, "wall_time_min": 30, "gpus_per_rank": 1}),
    }


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("--gres=gpu", {"gpus_per_node": 1}),
        ("--gres=gpu:3", {"gpus_per_node": 3}),
        ("--gres=gpu:v100", {"gpus_per_node": 1, "gpu_kind": "v100"}),
        ("--gres=gres/gpu:v100:2", {"gpus_per_node": 2, "gpu_kind": "v100"}),
        ("-G h100:8", {"gpus": 8, "gpu_kind": "h100"}),
        ("--gpus-per-task=1", {"gpus_per_rank": 1}),
        ("-t 90", {"wall_time_min": 90}),
        ("-t 2:30", {"wall_time_min": 3}),
        ("-t 1-12", {"wall_time_min": 2160}),
        ("-t 1-12:30", {"wall_time_min": 2190}),
        ("-t 1-0:0:1", {"wall_time_min": 1441}),
        ("-t UNLIMITED", {"wall_time_min": None}),
        ("-N2 -n8", {"num_nodes": 2, "ranks": 8}),
        ("--nodes 2 --ntasks 8 --ntasks-per-node 4", {"num_nodes": 2, "ranks_per_node": 4}),
        ("-N 2 -n 5 --ntasks-per-node=4", {"num_nodes": 2, "ranks": 5}),
        ("--mem=4G", {"memory_per_node": 4096}),
        ("--mem=1500", {"memory_per_node": 1500}),
        ("--mem=2048K", {"memory_per_node": 2}),
        ("--export=NONE", {"inherit_environment": False}),
        ("--export=A,B=2", {"inherit_environment": False, "environment": {"A": None, "B": "2"}}),
        ("--hint=nomultithread", {"threads_per_core": 1}),
        ("--signal=TERM", {"signal_before_end": "TERM@60"}),
        ("--signal=SIGUSR2@300", {"signal_before_end": "USR2@300"}),
        ("-b 16:00", {"begin": "16:00:00"}),
        ("-b 2026-12-01", {"begin": "2026-12-01T00:00:00"}),
        ("--job-n='two words'", {"name": "two words"}),
        ("--jo=x", {"name": "x"}),
        ("-J x # -J y", {"name": "x"}),
        ("--nodes=2-2", {"num_nodes": 2}),
        ("--gpus-per-node=a100", {"gpus_per_node": 1, "gpu_kind": "a100"}),
        ("--gres=none", {}),
        ("--gres=gpu:0", {}),
        ("-t 00:00:00", {"wall_time_min": None}),
        ("-t 0-0", {"wall_time_min": None}),
        ("--export=all", {"inherit_environment": True}),
        ("--export=none", {"inherit_environment": False}),
        ("--export=all,A=1", {"inherit_environment": True, "environment": {"A": "1"}}),
        ("--export=A=1 --export=ALL", {"inherit_environment": True}),
        ("--gres=gpu:a100:2 --gres=gpu:4", {"gpus_per_node": 4}),
        ("-a 0-9%2 -a 0-5", {"array": "0-5"}),
        ("-o job.%J.out", {"stdout": "job.{id}.out"}),
        ("-o %x.%N.%t -e none", {"stdout": "{name}.{host}.0", "stderr": "/dev/null"}),
        ("--signal=b:usr1@90", {"signal_script_before_end": "USR1@90"}),
        ("--signal=10@90", {"signal_before_end": "USR1@90"}),
        ("-b 'now + 1hour'", {"begin": "+3600"}),
        ("--open-mode=a", {"append": True}),
        ("-N 2 \\", {"num_nodes": 2}),
        (r"-J 'a\'b'", {"name": "a'b"}),
    ],
)
def test_what_an_option_means(said: str, words: dict[str, Any]) -> None:
    reading = TABLE.read(f"#!/bin/sh\n#SBATCH {said}\n")
    assert meaning(reading) == words


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("-N 2-4", "range"),
        ("-N 1,3,5", "list"),
        ("--gres=craynetwork:1", "other managers"),
        ("--gres=gpu:2,craynetwork:1", "other managers"),
        ("--gres=gpu:a:1,gpu:b:1", "several kinds"),
        ("-d expand:3", "expand"),
        ("-d 3", "the dependency 3"),
        ("-d aftercorr:3", "by their ids there"),
        ("-d afterok:3?afterok:4", "by their ids there"),
        ("-d after:3+5", "by their ids there"),
        ("-d after:3+x", "must name jobs"),
        ("-b teatime", "words"),
        ("--exclusive=user", "same user"),
        ("--gres=gpu=2", "other managers"),
        ("--gres=gpu-a100:1", "other managers"),
        ("-d afterok", "must name jobs"),
        ("-d afterok:$JOBID", "ids of jobs"),
        ("-d afterok:12", "by their ids there"),
        ("--signal=foo@90", "SIGNAL"),
        ("-b 99:99", "a time that there is"),
        ("-o %b.txt", "%b"),
        ("-N " + "9" * 5000, "whole number"),
        ("--mem=" + "9" * 400, "amount of memory"),
        ("-c 3 --threads-per-core=2", "multiple"),
        ("--switches=2", "no equivalent"),
        ("-M other", "cluster"),
        ("hetjob", "one job for each part"),
        ("--no-such-thing=1", "no option of sbatch"),
        ("-t soon", "length of time"),
        ("--mem=lots", "amount of memory"),
        ("-n", "lacks its value"),
        ("-J 'x", "cannot be split"),
        ("word", "no option"),
    ],
)
def test_what_has_no_equivalent_is_named_with_its_line_and_the_reason(said: str, why: str) -> None:
    found = TABLE.read(f"#!/bin/sh\n\n#SBATCH {said}\n").untranslatable()
    assert {one.line for one, _ in found} == {3}
    assert any(why in reason for _, reason in found), found
    assert all(one.said in said for one, _ in found)


def test_only_the_lines_before_the_first_command_count() -> None:
    text = "#!/bin/sh\n  #SBATCH -N 9\n##SBATCH -N 8\n#SBATCHX\n\n# hello\n#SBATCH -N 2\nset -e\n#SBATCH -N 7\n"
    assert [(one.line, one.said) for one in TABLE.read(text).directives] == [(4, "X"), (7, "-N 2")]


def test_lines_are_found_without_a_blank_behind_a_byte_order_mark_and_with_any_line_ends() -> None:
    text = "\ufeff#!/bin/sh\r#SBATCH--nodes=2\r#SBATCH-n8\rtrue\r"
    assert TABLE.read(text).words == {"num_nodes": 2, "ranks": 8}


def test_an_option_that_is_said_again_is_known_as_such() -> None:
    reading = TABLE.read("#SBATCH -d singleton -t 5\n#SBATCH -d afterok:7 --qos=a\n#SBATCH --qos=b\n")
    assert [one.said for one in reading.directives if one.superseded] == ["-d singleton", "--qos=a"]
    assert (reading.words["after"], reading.parameters()) == (("afterok:7",), {"qos": "b"})


def test_a_line_of_a_megabyte_is_named_and_costs_no_time() -> None:
    ((one, why),) = TABLE.read(f"#SBATCH -J x {'-N 2 ' * 200_000}").untranslatable()
    assert (one.line, "characters" in why) == (1, True)
