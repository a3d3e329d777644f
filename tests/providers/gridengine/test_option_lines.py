"""The options of Grid Engine's qsub, as scripts have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from psij_parsl.errors import InvalidRequest
from psij_parsl.providers.gridengine.directives import TABLE
from tests.parsl.helpers import PARSL_IS_UNTIDY
from tests.providers.option_lines import Asked, OptionLines, meaning


class TestOptionLines(OptionLines):
    platform = "gridengine"
    #: On several nodes the environment's rule would decide. The name in the script ends with the tag.
    fields = {
        "parameters": {"node_pe": "smp", "gpu_resource": "gpu"},
        "cpus_per_rank": 8,
        "gpus_per_rank": 8,
        "memory_per_node": 15_999,
        "wall_time_min": 95,
        "queue": "debug",
        "project": "chem",
        "array": (0, 1, 2, 3),
        "after": ["afterany:12"],
        "hold": True,
    }
    words = {
        "num_nodes": 1,
        "ranks_per_node": 1,
        "cpus_per_rank": 8,
        "gpus_per_node": 8,
        "memory_per_core": 2000,
        "wall_time_min": 95,
        "queue": "debug",
        "project": "chem",
        "array": "1-4",
        "after": ("afterany:12",),
        "hold": True,
        "join": True,
        "shell": "/bin/bash",
        "directory": "/",
    }
    no_option = frozenset(
        (
            "node_pe",
            "slots_per_node",
            "pe_slots_per_node",
            "gpus_per_node",
            "memory_resource",
            "gpu_resource",
            "gpus_counted_by",
        )
    )
    samples = {
        "pe": "mpi",
        "resources": (
            ["exclusive", "arch=lx-amd64", "mem_free=4G"],
            ("exclusive=TRUE", "arch=lx-amd64", "mem_free=4G"),
        ),
        "reserve": ("yes", "yes"),
        "rerunnable": ("no", "no"),
        "priority": "-100",
        "max_running": (2, "2"),
        "mail_events": "ae",
        "mail_user": "me@lab.org",
    }
    bits = (
        "smp ",
        "-pe smp 2 ",
        "-pe mpi 4-8 ",
        "openmp*",
        " 4-8",
        "TRUE",
        "INFINITY",
        "1:0:",
        "4g",
        "set linear:1",
        "$TASK_ID",
        "h:/x",
        "010",
        "#",
    )
    #: How the environment places slots on nodes, the script does not say.
    asked_with = {"pe": "mpi", "node_pe": "smp", "gpu_resource": "gpu", "gpus_counted_by": "node"}
    answers = {
        "number of nodes left": "must be told the number of nodes",
        "wall time left": {"wall_time_min": None},
        "uneven ranks": {"num_nodes": None},
        "GPUs of a node": {"num_nodes": None},
        "GPUs of a kind": "cannot ask for GPUs of one kind (gpu_kind='a100')",
        "memory of a node": {"memory_per_core": 2048},
        "all memory": "cannot ask for all the memory of a node (memory_per_node=0)",
        "memory of a core": {"memory_per_core": 1024, "cpus_per_rank": 4},
        "memory of a thread's core": "cannot ask for hardware threads per core (threads_per_core=2)",
        "memory of a GPU": {"memory_per_core": 2048},
        "array limit": {"array": "1-10", "array_limit": 4},
        "begin": {"begin": "2027-01-02T03:04:05"},
    }
    scripts = {
        "gpu.sh": Asked(
            {
                "name": "train_unet",
                "gpus_per_node": 2,
                "wall_time_min": 2160,
                "memory_per_core": 12_288,
                "exclusive": True,
                "queue": "gpu.q@@a100",
                "project": "vision",
                "stdout": "logs/{name}.{id}.log",
                "append": True,
                "join": True,
            },
            dropped=(11,),
            untranslatable=(7, 12),
        ),
        "mpi.csh": Asked(
            {
                "shell": "/bin/csh",
                "name": "lbm.3d",
                "wall_time_min": 1440,
                "signal_before_end": "USR1@600",
                "memory_per_core": 3072,
                "hosts": "node09",
            },
            dropped=(9, 10),
            untranslatable=(4, 7, 8, 11, 12, 13, 18, 20),
        ),
        "array.sh": Asked(
            {
                "array": "3-99:3",
                "array_limit": 10,
                "num_nodes": 1,
                "ranks_per_node": 1,
                "cpus_per_rank": 4,
                "gpus_per_node": 4,
                "memory_per_core": 1431,
                "wall_time_min": 90,
                "directory": "/scratch/u/run 7",
                "stdout": "~/out/{name}.o{array}.{index}",
                "stderr": "{user}-{host}/e.{array}.{index}",
                "append": True,
                "environment": {"MODEL": "v2", "SEED": None},
                "project": "bio-0042",
                "hold": True,
                "signal_before_end": "USR2@60",
                "begin": "2031-01-02T03:04:05",
            },
            dropped=(14,),
        ),
        "windows.sh": Asked(
            {
                "name": "win",
                "num_nodes": 1,
                "ranks_per_node": 1,
                "cpus_per_rank": 8,
                "wall_time_min": 60,
                "stdin": "in.txt",
            }
        ),
    }

    def script(self, parameters: Mapping[str, Any] | None = None, **fields: Any) -> str:
        """That of an array, which alone has `max_running`."""
        return super().script(parameters, **{"array": (0, 1), **fields})

    def test_the_name_in_a_script_of_ours_ends_with_the_tag(self) -> None:
        assert self.table.read(self.script(name="relax")).words["name"] == "relax.psij.JOB"


ONE = {"num_nodes": 1, "ranks_per_node": 1}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("-l h_rt=90", {"wall_time_min": 2}),
        ("-l h_rt=3600", {"wall_time_min": 60}),
        ("-l h_rt=1::1", {"wall_time_min": 61}),
        ("-l h_rt=2:30:00", {"wall_time_min": 150}),
        ("-l h_rt=:5:", {"wall_time_min": 5}),
        ("-l h_rt=INFINITY", {"wall_time_min": None}),
        ("-l h_rt=0:0:0", {"wall_time_min": None}),
        ("-l h_rt=0", {"wall_time_min": None}),
        ("-l h_rt=1:0:0,s_rt=0:50:0", {"wall_time_min": 60, "signal_before_end": "USR1@600"}),
        ("-l h_rt=1:0:0,s_rt=1:0:0", {"wall_time_min": 60}),
        ("-l h_rt=1:0:0,s_rt=INFINITY", {"wall_time_min": 60}),
        ("-l h_vmem=4G", {"memory_per_core": 4096}),
        ("-l h_vmem=4g", {"memory_per_core": 3815}),
        ("-l mem_free=512M", {"memory_per_core": 512}),
        ("-l mf=512m", {"memory_per_core": 489}),
        ("-l virtual_free=2048K", {"memory_per_core": 2}),
        ("-l mem=1048577", {"memory_per_core": 2}),
        ("-l h_vmem=1.5G", {"memory_per_core": 1536}),
        ("-l h_vmem=.5G", {"memory_per_core": 512}),
        ("-l h_vmem=6G,mem_free=4G", {"memory_per_core": 6144}),
        ("-l mem_free=4G -l h_vmem=INFINITY", {"memory_per_core": 4096}),
        ("-l h_vmem=INFINITY", {}),
        ("-pe smp 4 -l h_vmem=4G", {**ONE, "cpus_per_rank": 4, "memory_per_core": 4096}),
        ("-pe openmp 4", {**ONE, "cpus_per_rank": 4}),
        ("-pe OpenMP_node 4", {**ONE, "cpus_per_rank": 4}),
        ("-pe threaded 16-16", {**ONE, "cpus_per_rank": 16}),
        ("-pe pthreads 2", {**ONE, "cpus_per_rank": 2}),
        ("-pe mpi 16 -pe smp 4", {**ONE, "cpus_per_rank": 4}),
        ("-l gpu=2", {"gpus_per_node": 2}),
        ("-l gpu=0", {}),
        ("-pe smp 4 -l ngpus=1", {**ONE, "cpus_per_rank": 4, "gpus_per_node": 4}),
        ("-l exclusive", {"exclusive": True}),
        ("-l excl=true", {"exclusive": True}),
        ("-l exclusive=0", {"exclusive": False}),
        ("-l hostname=node07", {"hosts": "node07"}),
        ("-l h=node07", {"hosts": "node07"}),
        ("-l q=long.q", {"queue": "long.q"}),
        ("-q long.q,short.q", {"queue": "long.q,short.q"}),
        ("-P chem -A other", {"project": "chem"}),
        ("-A other", {"project": "other"}),
        ("-ar 12", {"reservation": "12"}),
        ("-t 7", {"array": "7"}),
        ("-t 1-10:2 -tc 3", {"array": "1-10:2", "array_limit": 3}),
        ("-t 1-2 -o x.$JOB_ID", {"array": "1-2", "stdout": "x.{array}", "append": True}),
        ("-o x.$JOB_ID.$TASK_ID", {"stdout": "x.{id}.$TASK_ID", "append": True}),
        ("-o node1:/logs/", {"stdout": "/logs/{name}.o{id}", "append": True}),
        ("-e a{b}", {"stderr": "a{{b}}", "append": True}),
        ("-o x -e y -j yes", {"stdout": "x", "append": True, "join": True}),
        ("-o x -e y -j n", {"stdout": "x", "stderr": "y", "append": True, "join": False}),
        ("-hold_jid 1,2.3", {"after": ("afterany:1", "afterany:2.3")}),
        ("-hold_jid 1 -hold_jid 2", {"after": ("afterany:1", "afterany:2")}),
        ("-v A=1,B -v C=2", {"environment": {"A": "1", "B": None, "C": "2"}}),
        ("-S host:/bin/zsh", {"shell": "/bin/zsh"}),
        ("-a 203112312359", {"begin": "2031-12-31T23:59:00"}),
        ("-notify", {"signal_before_end": "USR2@60"}),
        ("-b n -shell y -w e -now no -sync y -hard -cwd -V -terse", {}),
        ("-N x # -N y", {"name": "x"}),
        ("-N it's", {"name": "its"}),
        ("-N 'a#b'", {"name": "a"}),
        ("-wd 'C:\\new dir'", {"directory": "C:\\new dir"}),
    ],
)
def test_what_an_option_means(said: str, words: dict[str, Any]) -> None:
    reading = TABLE.read(f"#!/bin/sh\n#$ {said}\n")
    assert meaning(reading) == words


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("-pe mpi 16", "parallel environment mpi"),
        ("-pe openmpi 16", "parallel environment openmpi"),
        ("-pe openmpi 32", "say -N, or -n"),
        ("-pe smp 2 -pe mpi 4", "parallel environment mpi"),
        ("-pe openmp-mpi 16", "parallel environment openmp-mpi"),
        ("-pe openmp* 16", "parallel environment openmp*"),
        ("-pe smp 4-8", "range"),
        ("-pe smp -8", "range"),
        ("-pe smp 4,8", "range"),
        ("-pe smp 0", "above 0"),
        ("-pe smp", "lacks its value"),
        ("-pe mpi 16 -l gpu=1", "GPUs for each slot"),
        ("-pe smp 4-8 -l gpu=1", "GPUs for each slot"),
        ("-l gpu", "how many"),
        ("-l gpu=two", "above 0"),
        ("-l s_rt=600", "h_rt does not say"),
        ("-l h_rt=INFINITY,s_rt=600", "h_rt does not say"),
        ("-notify -l h_rt=600,s_rt=60", "second signal"),
        ("-l h_rt=2:30", "seconds or H:M:S"),
        ("-l h_rt=0100", "seconds or H:M:S"),
        ("-l h_rt", "seconds or H:M:S"),
        ("-l h_vmem=4GB", "amount of memory"),
        ("-l h_vmem=010G", "amount of memory"),
        ("-l h_cpu=600", "no equivalent"),
        ("-l infiniband", "no equivalent"),
        ("-l exclusive=maybe", "TRUE or FALSE"),
        ("-l arch=lx-*", "no equivalent"),
        ("-l h=node*", "pattern"),
        ("-t 0-3", "N-M"),
        ("-t 1,3", "N-M"),
        ("-tc 0", "above 0"),
        ("-hold_jid_ad 12", "whole arrays"),
        ("-o a:/x,b:/y", "several hosts"),
        ("-j maybe", "y or n"),
        ("-a 1200", "MMDDhhmm"),
        ("-a 13011200", "date"),
        ("-soft -l gpu=1", "must be met"),
        ("-clear", "options before it"),
        ("-now y", "at once"),
        ("-b y", "program in place"),
        ("-shell n", "without a shell"),
        ("-w v", "submits nothing"),
        ("-masterq a.q", "no equivalent"),
        ("-binding linear:4", "no equivalent"),
        ("-binding set linear:4", "no equivalent"),
        ("-jsv /x", "no equivalent"),
        ("-par 4", "no equivalent"),
        ("-verify", "psij-run render"),
        ("-m", "lacks its value"),
        ("-C #%", "option lines begin"),
        ("-@ more", "#$ lines"),
        ("-Nname", "no option of qsub"),
        ("-rou cpu", "no option of qsub"),
        ("-N x word", "no option of qsub"),
    ],
)
def test_what_has_no_equivalent_is_named_with_its_line_and_the_reason(said: str, why: str) -> None:
    found = TABLE.read(f"#!/bin/sh\n\n#$ {said}\n").untranslatable()
    assert {one.line for one, _ in found} == {3}
    assert any(why in reason for _, reason in found), found


def test_lines_count_anywhere_if_a_blank_and_an_option_follow() -> None:
    text = "#!/bin/sh\n #$ -N a\n##$ -N b\n#$-N c\n#$ hello -N d\n#$\nset -e\n#$\t -N e\n"
    assert [(one.line, one.said) for one in TABLE.read(text).directives] == [(8, "-N e")]


def test_gpus_of_slots_that_nobody_can_place_are_no_number() -> None:
    assert TABLE.read("#$ -l gpu=1,h_vmem=2G\n#$ -pe mpi 16\n").words == {"memory_per_core": 2048}


class TestParsl:
    pytestmark = [*PARSL_IS_UNTIDY]

    def test_scheduler_options_set_the_parameters(self) -> None:
        from psij_parsl.providers import GridEngineProvider

        text = "#$ -l mem_free=4G,exclusive -l gpu=1\n#$ -pe mpi 16\n-R y -r n -m b,e\n#$ -l q=x,s_rt=600"
        given = GridEngineProvider(scheduler_options=f"{text}\n#$ -P chem")
        assert (given.queue, given.project) == (None, "chem")
        assert GridEngineProvider(scheduler_options="#$ -q long.q").queue == "long.q"
        assert {
            name: given.parameters[name] for name in ("resources", "pe", "reserve", "rerunnable", "mail_events")
        } == {
            "resources": ("mem_free=4G", "exclusive=TRUE", "gpu=1", "qname=x", "s_rt=600"),
            "pe": "mpi",
            "reserve": "yes",
            "rerunnable": "no",
            "mail_events": "be",
        }

    def test_a_second_queue_is_refused(self) -> None:
        from psij_parsl.providers import GridEngineProvider

        with pytest.raises(InvalidRequest, match=r"the queue long\.q, and must not be for a second one"):
            GridEngineProvider(scheduler_options="#$ -q long.q -l q=x")

    @pytest.mark.parametrize("said", ["#$ -pe mpi", ["-pe=mpi"], "-pe mpi 4"])
    def test_the_number_of_slots_is_the_blocks_own(self, said: Any) -> None:
        from psij_parsl.providers import GridEngineProvider

        assert GridEngineProvider(scheduler_options=said).parameters["pe"] == "mpi"

    @pytest.mark.parametrize(
        ("said", "hint"),
        [
            ("-V", "environment"),
            ("-v A=1", "worker_init"),
            ("-t 1-9", "max_blocks"),
            ("-h", "never start"),
            ("-N x", "names the block"),
            ("-o x", "block's folder"),
            ("-e x", "block's folder"),
            ("-j y", "block's folder"),
            ("-cwd", "starts where"),
            ("-wd /x", "starts where"),
            ("-hold_jid 7", "waits for no other job"),
            ("-l h_rt=60", "wall_time_min"),
            ("-sync y", "psij-run wait"),
            ("-b y", "what runs"),
            ("-binding linear:2", "platform show"),
            ("-C x", "#$"),
            ("-soft", "must be met"),
            ("-pe", "lacks its value"),
            ("#$-l gpu=1", "and a blank"),
            ("-rou cpu", "no option of qsub"),
        ],
    )
    def test_others_are_refused_with_a_way(self, said: str, hint: str) -> None:
        from psij_parsl.providers import GridEngineProvider

        with pytest.raises(InvalidRequest, match="scheduler_options (says|has the line)") as caught:
            GridEngineProvider(scheduler_options=said)
        assert hint in caught.value.hint
