"""The options of flux batch, as scripts have them."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.directives.passed_on import options_passed_on
from psij_parsl.providers.flux.directives import TABLE
from tests.parsl.helpers import PARSL_IS_UNTIDY
from tests.providers.option_lines import Asked, OptionLines, meaning


class TestOptionLines(OptionLines):
    platform = "flux"
    fields = {
        "name": "relax",
        "num_nodes": 2,
        "ranks_per_node": 4,
        "cpus_per_rank": 2,
        "gpus_per_rank": 1,
        "wall_time_min": 95,
        "queue": "debug",
        "project": "chem",
        "after": ("afterok:f2Cfhn1", "afterany:f3Dg"),
        "hold": True,
    }
    words = {
        "name": "relax.psij:JOB",
        "num_nodes": 2,
        "ranks": 8,
        "cpus_per_rank": 2,
        "gpus_per_rank": 1,
        "wall_time_min": 95,
        "queue": "debug",
        "project": "chem",
        "after": ("afterok:f2Cfhn1", "afterany:f3Dg"),
        "hold": True,
    }
    samples = {
        "exclusive": (True, True),
        "urgency": (20, "20"),
        "requires": "gpu&(big|hbm)",
        "attributes": (["system.project=chem"], "system.project=chem"),
        "shell_options": (["mpibind=off"], "mpibind=off"),
    }
    bits = (
        "hosts:",
        "afterok:",
        "USR1@",
        "-*",
        "{{id}}",
        "system.",
        '"""',
        "'''",
        "1.5h",
        "+1h",
        "8am",
        "\n# flux:",
        "|",
    )
    answers = {
        "number of nodes left": {"num_nodes": None, "ranks": 5},
        "wall time left": {"wall_time_min": None},
        "uneven ranks": {"num_nodes": 2, "ranks": 5},
        "GPUs of a node": {"num_nodes": 2, "ranks": 4, "gpus_per_rank": 1},
        "GPUs of a kind": "cannot ask for GPUs of one kind (gpu_kind='a100')",
        "memory of a node": "cannot ask for memory (memory_per_node=2048 MB)",
        "all memory": {"num_nodes": 1, "exclusive": True},
        "memory of a core": "cannot ask for memory for each core (memory_per_core=1024 MB)",
        "memory of a thread's core": "cannot ask for memory for each core (memory_per_core=1024 MB)",
        "memory of a GPU": "cannot ask for memory for each GPU (memory_per_gpu=1024 MB)",
        "array limit": "cannot ask for job arrays",
        "begin": {"begin": "2027-01-02T03:04:05"},
    }
    scripts = {
        "gpu.sh": Asked(
            {
                "name": "train",
                "num_nodes": 2,
                "ranks": 8,
                "cpus_per_rank": 6,
                "gpus_per_rank": 1,
                "wall_time_min": 90,
                "queue": "pbatch",
                "project": "mlteam",
                "stdout": "logs/{name}-{id}.out",
                "stderr": "logs/{id} {{x}}.err",
            },
            dropped=(18,),
            untranslatable=(12, 17),
        ),
        "chain.csh": Asked(
            {
                "num_nodes": 4,
                "exclusive": True,
                "inherit_environment": False,
                "environment": {"PATH": None, "OMP_NUM_THREADS": "4"},
                "after": ("afterok:ƒ2Cfhn1", "afterany:f3Dg"),
                "constraint": "hosts:tuo[11-14] -host:tuo13 hbm|big rack7",
                "signal_before_end": "USR2@180",
                "begin": "2026-12-01T08:30:00",
                "directory": "/scratch/u/run 7",
                "wall_time_min": None,
            },
            untranslatable=(4, 12, 14),
        ),
        "windows.sh": Asked({"exclusive": True, "num_nodes": 1, "ranks": 4, "wall_time_min": 30, "gpus_per_rank": 1}),
        "sweep.lua": Asked(
            {
                "ranks": 16,
                "cpus_per_rank": 2,
                "wall_time_min": 60,
                "queue": "debug",
                "hold": True,
                "stdin": "params.txt",
                "name": "sweep",
            },
            dropped=(6,),
            untranslatable=(5,),
        ),
    }


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("-N2", {"num_nodes": 2, "exclusive": True}),
        ("-N 2 --nslots 3", {"num_nodes": 2, "ranks": 3}),
        ("--ntasks=4 --cores-per-task=2 --gpus-per-task=1", {"ranks": 4, "cpus_per_rank": 2, "gpus_per_rank": 1}),
        ("-t 90", {"wall_time_min": 90}),
        ("-t 1.5", {"wall_time_min": 2}),
        ("-t 90s", {"wall_time_min": 2}),
        ("-t 1.1h", {"wall_time_min": 66}),
        ("-t 2d", {"wall_time_min": 2880}),
        ("-t 100ms", {"wall_time_min": 1}),
        ("-t 0", {"wall_time_min": None}),
        ("-t inf", {"wall_time_min": None}),
        ("-S system.duration=3600", {"wall_time_min": 60}),
        ("-S bank=x", {"project": "x"}),
        ("-S bank=x -B y", {"project": "x"}),
        ("-q y -S queue=x -q z", {"queue": "x"}),
        ("-S duration=60 -t 5 -S duration=120", {"wall_time_min": 2}),
        ("-S cwd=/x --cwd=/y", {"directory": "/x"}),
        ("--setattr=attributes.system.queue=x", {"queue": "x"}),
        ("--setattr=.system.cwd=/x", {"directory": "/x"}),
        ("-B chem", {"project": "chem"}),
        ("--requires=gpu,big", {"constraint": "gpu,big"}),
        ("--requires='not hosts:a,b'", {"exclude_hosts": "a,b"}),
        ("--requires='hosts:a' --requires=hosts:b", {"constraint": "hosts:a hosts:b"}),
        ("--requires=gpu --requires=-host:a --requires=-hosts:b", {"constraint": "gpu", "exclude_hosts": "a,b"}),
        ("--requires='a or b' --requires=-host:c", {"constraint": "a or b -host:c"}),
        ("--requires='a|b' --requires=-host:c", {"constraint": "a|b -host:c"}),
        ("--requires=color --requires=-host:c", {"constraint": "color", "exclude_hosts": "c"}),
        ("--requires='hosts:a|gpu'", {"constraint": "hosts:a|gpu"}),
        ("--env=A=1=2 --env=B", {"environment": {"A": "1=2", "B": None}}),
        ("--env=A=1 --env-remove='*'", {"inherit_environment": False}),
        ("--env-remove='*' --env='*'", {"inherit_environment": True}),
        ("--env=A=1 --env=A", {"environment": {"A": "1"}}),
        ("--dependency=afternotok:ƒ3.x", {"after": ("afternotok:ƒ3.x",)}),
        ("--begin-time=now", {"begin": "+0"}),
        ("--begin-time=+1.5h", {"begin": "+5400"}),
        ("--begin-time='2026-12-01 16:05:07'", {"begin": "2026-12-01T16:05:07"}),
        ("--begin-time='2026-12-01 12am'", {"begin": "2026-12-01T00:00:00"}),
        ("--signal=@2m", {"signal_before_end": "USR1@120"}),
        ("--signal=12", {"signal_before_end": "USR2@60"}),
        ("--output=a{b}-{{id.f58}}-{{node.name}}", {"stdout": "a{{b}}-{id}-{host}"}),
        ("--job-name='''it's'''", {"name": "it's"}),
        ("--job-name=a\\ b", {"name": "a b"}),
        ("--job-name=x # --job-name=y", {"name": "x"}),
        ("--urgency=0", {"hold": True}),
        ("-u --quiet -vv --wait", {}),
    ],
)
def test_what_an_option_means(said: str, words: dict[str, Any]) -> None:
    reading = TABLE.read(f"#!/bin/sh\n# flux: {said}\n")
    assert (meaning(reading), reading.dropped()) == (words, [])


def test_a_time_without_a_date_is_todays() -> None:
    assert TABLE.read("# flux: --begin-time=3pm").words == {"begin": f"{date.today()}T15:00:00"}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("-N 2-4", "whole number"),
        ("-n 0", "whole number"),
        ("-t 1:30", "length of time"),
        ("-t soon", "length of time"),
        ("--output=none", "in Flux itself"),
        ("--error={{tmpdir}}/err", "{{tmpdir}}, which only Flux"),
        ("--requires=rank:0", "ranks of a Flux instance"),
        ("--env=^rules", "from a file"),
        ("--env-file=rules", "say --env"),
        ("--env='LD_*'", "by a pattern"),
        ("--env=-LD_*", "by a pattern"),
        ("--env-remove=/^LD/", "by a pattern"),
        ("--env-remove=LD_PRELOAD", "takes a variable away"),
        ("--env=-FOO", "takes a variable away"),
        ("--env='PATH=$PATH:/x'", "made of others"),
        ("--env='R={{rank}}'", "made of others"),
        ("--env='a b=1'", "NAME=VALUE"),
        ("--dependency=singleton", "singleton"),
        ("--dependency=afterexcept:f1", "afterexcept"),
        ("--dependency=begin-time:1700000000", "begin-time"),
        ("--dependency='afterok:f1?x=y'", "must be afterok:ID"),
        ("--begin-time='tomorrow noon'", "only Flux knows"),
        ("--begin-time=2026-12-01", "only Flux knows"),
        ("--begin-time=13pm", "only Flux knows"),
        ("--signal=TERM@60", "SIGTERM on to no program"),
        ("--signal=NO@60", "SIGNAL@TIME"),
        ("--signal=USR1@soon", "length of time"),
        ("--setattr=system.x=1", "no equivalent"),
        ("--setattr=^system=file.json", "no equivalent"),
        ("-o cpu-affinity=off", "no equivalent"),
        ("--conf=resource.exclude=0", "no equivalent"),
        ("--cc=0-3", "--array"),
        ("--rlimit=core=16", "ulimit"),
        ("--dry-run", "psij-run render"),
        ("--wrap", "by the job itself"),
        ("--nod=2", "no option of flux batch"),
        ("--requires=a&b", "no option of flux batch"),  # a shell's signs part words
        ("-n", "lacks its value"),
        ("--job-name='x", "cannot be split"),
        ('--conf="""', "not closed"),
        ("word", "no option"),
    ],
)
def test_what_has_no_equivalent_is_named_with_its_line_and_the_reason(said: str, why: str) -> None:
    found = TABLE.read(f"#!/bin/sh\n\n# flux: {said}\n").untranslatable()
    assert {one.line for one, _ in found} == {3}
    assert any(why in reason for _, reason in found), found


@pytest.mark.parametrize(
    ("text", "lines", "misplaced", "why"),
    [
        ("# flux: -N1\n# a comment\n\n# flux: -n2\n", [2, 5], [], ""),
        ("# flux: -N1\n#a comment\n# flux: -n2\n", [2, 4], [], ""),
        ("// flux: -N1\n/* */\n// flux: -n2\n", [2], [4], "stands below line 3"),
        (
            "# flux:-N1\n  # flux: -n2\n",
            [2],
            [3],
            "as line 2 does, with '# flux:'",
        ),  # blanks before it: another beginning
        ("# flux: -N1\n:\n# flux: -n2\n", [2], [4], "stands below line 3"),
        ("# flux: -N1\n#flux: -n2\n", [2], [3], "as line 2 does, with '# flux:'"),
        ("# flux: -N1\n# FLUX: -n2\n# flux: -c1\n", [2, 4], [3], "as line 2 does"),
        ("echo\n# FLUX: -N1\n", [3], [], ""),
        ("# x flux: -N1\n# influx: -N1\n#flux -N1\n", [], [], ""),
        ("## flux: -N1\n#flux: -t 5\n## flux: -n2\n", [2, 4], [3], "as line 2 does, with '## flux:'"),
        ("# flux: # -N1\n# flux:\n# flux: -n2\n", [4], [], ""),
    ],
)
def test_the_lines_that_begin_as_the_first_one_count_up_to_one_that_does_not(
    text: str, lines: list[int], misplaced: list[int], why: str
) -> None:
    reading = TABLE.read(f"#!/bin/sh\n{text}")
    assert [one.line for one in reading.directives if one.option] == lines
    found = [one for one in reading.directives if one.option is None]
    assert [one.line for one in found if why in one.fault] == misplaced
    assert [one.said for one in found] == [
        f"#!/bin/sh\n{text}".split("\n")[number - 1].strip() for number in misplaced
    ]


def test_a_value_of_several_lines_is_one_text_without_their_common_indent() -> None:
    text = "#!/bin/sh\n# flux:  --job-name='''\n# flux:  # one\n# flux:    it\"s \"\"\"\n# flux:  '''\n# flux: -n2\n"
    reading = TABLE.read(text)
    assert reading.words == {"name": '# one\n  it"s """\n', "ranks": 2}
    assert [one.line for one in reading.directives] == [2, 6]


@pytest.mark.parametrize("between", ["\n", "# other\n", "#flux: '''\n"])
def test_a_value_of_several_lines_that_is_not_closed_is_an_error_where_it_begins(between: str) -> None:
    found = TABLE.read(f"#!/bin/sh\n# flux: --job-name='''\n# flux: x\n{between}# flux: -n2\n")
    assert next((one.line, "not closed" in why) for one, why in found.untranslatable()) == (2, True)


@pytest.mark.parametrize(
    ("said", "hold"),
    [("--urgency=hold --urgency=16", False), ("--urgency=16 --urgency=0", True), ("--urgency=16", False)],
)
def test_the_last_urgency_says_whether_it_is_held(said: str, hold: bool) -> None:
    assert TABLE.read(f"# flux: {said}\n").words == ({"hold": True} if hold else {})


def test_an_urgency_that_parameters_pass_on_holds_no_job() -> None:
    assert options_passed_on(TABLE, {"urgency": 20}) == {}


def test_attributes_that_parameters_pass_on_are_seen() -> None:
    asked = options_passed_on(
        TABLE, {"attributes": ["system.x=1", ".system.bank=chem"], "shell_options": ["pty"], "urgency": 20}
    )
    assert asked == {"project": "-S system.bank=chem"}


class TestParsl:
    pytestmark = [*PARSL_IS_UNTIDY]

    def test_scheduler_options_set_the_parameters(self) -> None:
        from psij_parsl.providers import FluxProvider

        lines = "# flux: --requires='gpu&big' -S system.a=1\n#flux: -o mpi=none -o pty\n--bank=chem --urgency=20"
        made = FluxProvider(scheduler_options=lines, cores_per_node=4)
        assert made.parameters == {
            "requires": "gpu&big",
            "attributes": "system.a=1",
            "shell_options": ("mpi=none", "pty"),
            "urgency": "20",
        }

    @pytest.mark.parametrize(
        "said",
        ["-N2", "--output=x", "--env=A=1", "--urgency=0", "--conf=x", "--wrap", "--dry-run", "--cc=0-3", "-t 5"],
    )
    def test_what_a_block_must_not_be_asked_for_is_refused(self, said: str) -> None:
        from psij_parsl.providers import FluxProvider

        with pytest.raises(InvalidRequest) as caught:
            FluxProvider(scheduler_options=f"# flux: {said}", cores_per_node=4)
        assert caught.value.hint
