"""The commands of a description for condor_submit, as scripts and files have them."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psij_parsl import BatchSchedulerExecutor, Job
from psij_parsl.errors import InvalidRequest
from psij_parsl.platforms.directives.passed_on import options_passed_on
from psij_parsl.platforms.directives.reading import Reading
from psij_parsl.providers.htcondor.directives import TABLE
from psij_parsl.providers.htcondor.provider import HTCondorProvider
from psij_parsl.providers.htcondor.template import attribute
from tests.cli.helpers import psij
from tests.providers.option_lines import Asked, OptionLines

_ONE = {"num_nodes": 1, "ranks_per_node": 1}


class TestOptionLines(OptionLines):
    platform = "htcondor"
    #: HTCondor has no queues, and jobs of one host alone.
    fields = {
        "name": "relax",
        "ranks_per_node": 4,
        "cpus_per_rank": 2,
        "memory_per_node": 4000,
        "gpus_per_rank": 1,
        "wall_time_min": 95,
        "project": "chem",
        "array": (3, 5, 9),
        "hold": True,
    }
    words = {
        "name": "relax",
        "num_nodes": 1,
        "ranks_per_node": 1,
        "cpus_per_rank": 8,
        "memory_per_node": 4000,
        "gpus_per_node": 4,
        "wall_time_min": 95,
        "project": "chem",
        "array": "3,5,9",
        "hold": True,
    }
    samples = {
        "requirements": 'OpSysAndVer == "AlmaLinux9"',
        "request_disk": ("10G", "10240M"),
        "priority": "-5",
        "concurrency_limits": "matlab:2",
        "attributes": "JobFlavour=longlunch",
        "vacate_s": (30, "30"),
        "should_transfer_files": "IF_NEEDED",
    }
    no_option = frozenset(("concurrency_limit_default",))
    bits = (
        "=",
        " = ",
        "queue ",
        " in ",
        " from ",
        "$(Process)",
        "$(",
        "{",
        "4 GB",
        "2*3",
        '"A=1',
        "True",
        "+x=",
        "'",
    )
    answers = {
        "number of nodes left": {"num_nodes": 1, "cpus_per_rank": 5},
        "wall time left": {"wall_time_min": None},
        "uneven ranks": "runs jobs on one host, not 2",
        "GPUs of a node": "runs jobs on one host, not 2",
        "GPUs of a kind": "cannot ask for GPUs of one kind (gpu_kind='a100')",
        "memory of a node": "runs jobs on one host, not 2",
        "all memory": "cannot ask for all the memory of a node (memory_per_node=0)",
        "memory of a core": {"memory_per_node": 4096, "cpus_per_rank": 4},
        "memory of a thread's core": {"memory_per_node": 4096, "cpus_per_rank": 8},
        "memory of a GPU": {"memory_per_node": 2048, "gpus_per_node": 2},
        "array limit": {"array": "0-9", "array_limit": 4, "licenses": None},
        "begin": {"begin": "2027-01-02T03:04:05"},
    }
    scripts = {
        "gpu.sub": Asked(
            {
                "name": "unet",
                "num_nodes": 1,
                "ranks_per_node": 1,
                "cpus_per_rank": 4,
                "memory_per_node": 16384,
                "gpus_per_node": 1,
                "constraint": '(OpSysAndVer == "AlmaLinux9") && (Memory > 1000)',
                "project": "bio.train",
                "environment": {"HOME": None, "WANDB_KEY": None, "MODEL": "v2", "TEXT": 'it\'s "so"'},
                "command": ("train.sh", "--epochs", "10", "--name", "run 1"),
                "stdout": "out/{array}.0.txt",
                "stderr": "err.{{{array}}}",
                "wall_time_min": 240,
            },
            dropped=(8,),
            untranslatable=(10, 13, 14),
        ),
        "sweep.sub": Asked(
            {
                "directory": "/home/u/sweep",
                "stdin": "in.{index}",
                "command": ("sweep.sh",),
                "stdout": "out/out.{array}.{index}",
                "stderr": "out.{array}.err",
                "array": "0-49",
                "array_limit": 10,
                "num_nodes": 1,
                "ranks_per_node": 1,
                "cpus_per_rank": 1,
                "hold": True,
            },
            dropped=(8, 9, 10),
            untranslatable=(13, 14, 15, 16),
        ),
        "items.sub": Asked(
            {
                "command": ("/home/u/fold",),
                "num_nodes": 1,
                "ranks_per_node": 1,
                "array": "3,5,9",
                "licenses": "matlab:2",
                "wall_time_min": 61,
                "stdout": "{index}/out.{index}",
                "elements": {index: {"stderr": f"err.{place}"} for place, index in enumerate((3, 5, 9))},
            },
            untranslatable=(6, 8),
        ),
        "relax.csh": Asked(
            {
                "name": "relax",
                "num_nodes": 1,
                "ranks_per_node": 1,
                "cpus_per_rank": 8,
                "memory_per_node": 1536,
                "array": "7,11",
            },
            dropped=(8,),
        ),
        "parallel.sh": Asked(
            {"num_nodes": 1, "ranks_per_node": 1, "cpus_per_rank": 16, "environment": {"A": "1", "B": "two"}},
            untranslatable=(2, 3),
        ),
    }

    @given(
        st.lists(st.sampled_from([*bits, "\\", "\n", "#", "(", ")", "environment", "output"]) | st.text(max_size=4))
    )
    def test_no_description_is_beyond_reading(self, pieces: list[str]) -> None:
        assert isinstance(TABLE.read("".join(pieces)), Reading)

    def test_the_places_of_an_array_of_ours_are_its_indices(self) -> None:
        text = self.script(array=(0, 1, 2)).replace("(index)", "(Process)")
        assert self.table.read(text).words["stdout"].endswith(".{index}")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("request_cpus = 2 * 4", {"num_nodes": 1, "ranks_per_node": 1, "cpus_per_rank": 8}),
        ("RequestMemory=512", {"num_nodes": 1, "ranks_per_node": 1, "memory_per_node": 512}),
        ("request_memory = 2*1024", {"num_nodes": 1, "ranks_per_node": 1, "memory_per_node": 2048}),
        ("request_memory = 2097152 KB", {"num_nodes": 1, "ranks_per_node": 1, "memory_per_node": 2048}),
        ("allowed_job_duration = 60*60*4", {"wall_time_min": 240}),
        ("output = a{$(PROCID)}$(Cluster)", {"stdout": "a{{0}}{array}"}),
        ("output = $(Step).txt", {"stdout": "0.txt"}),
        ("initialdir = run_$(Process)", {"directory": "run_0"}),
        ("Universe = Vanilla", {}),
        ("description = my job, the 2nd", {"name": "my job, the 2nd"}),
        ("getenv = True", {"inherit_environment": True}),
        ("getenv = false", {"inherit_environment": False}),
        ("environment = A=1; B=x y", {"environment": {"A": "1", "B": "x y"}}),
        ("environment = \"A= B='x  y'z\"", {"environment": {"A": "", "B": "x  yz"}}),
        ("environment = \"A=it'''s'\"", {"environment": {"A": "it's"}}),
        ("request_gpus = 0", {}),
        ("+RequestGPUs = 0", {}),
        ("JobBatchName = x", {"name": "x"}),
        ("+RequestCpus = 8", {"num_nodes": 1, "ranks_per_node": 1, "cpus_per_rank": 8}),
        ("MY.requestmemory = 512", {"num_nodes": 1, "ranks_per_node": 1, "memory_per_node": 512}),
        ('+AccountingGroup = "chem"', {"project": "chem"}),
        ('my.AcctGroup = "chem.x"', {"project": "chem.x"}),
        ("+AllowedJobDuration = 7200", {"wall_time_min": 120}),
        ('+ConcurrencyLimits = "matlab:2"', {"licenses": "matlab:2"}),
        ("concurrency_limits = psij_6fx7xkw2f6_4:577008.0", {"array_limit": 4}),
        ("concurrency_limits = a:2,psij_x_4:577008.0", {"licenses": "a:2,psij_x_4:577008.0"}),
        ("queue", {}),
        ("Queue 1", {}),
        ("queue 12", {"array": "0-11"}),
        ("queue in 4 , 6", {"array": "4,6"}),
        ("queue 1 x in (4 6)", {"array": "4,6"}),
        ("max_materialize = 4", {"array_limit": 4}),
        ("hold = no", {"hold": False}),
        ("deferral_time = 1764230400", {"begin": datetime.fromtimestamp(1764230400).isoformat()}),
        ('transfer_output_files = ""', {}),
        ("transfer_input_files = a.txt, b", {}),
        ("log = x.log", {}),
        ("# output = x", {}),
    ],
)
def test_what_an_option_means(said: str, words: dict[str, Any]) -> None:
    for reading in (TABLE.read(f"#!/bin/sh\n#HTCONDOR {said}\n"), TABLE.read(f"{said}\n")):
        assert (reading.words, reading.untranslatable()) == (words, [])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("request_cpus = $(N)", "expression"),
        ("request_cpus = 0", "above 0"),
        ("request_cpus = 1.5", "above 0"),
        ("request_memory = lots", "expression"),
        ("request_memory = 0", "more than nothing"),
        ("request_foos = 3", "no equivalent"),
        ('+JobFlavour = "x"', "no equivalent"),
        ("My.Kind = 3", "no equivalent"),
        ('+JobBatchName = "mine"', "knows the job by it"),
        ('My.Cmd = "x"', "what is to run"),
        ('+AccountingGroup = strcat("a", "b")', "expression"),
        ("universe = grid", "the universe grid"),
        ("container_image = x.sif", "start a container"),
        ("initialdir = run_$(Cluster)", "known when the job runs"),
        ("output = $(Stp).txt", "no value is known"),
        ("output = $ENV(PSIJ_NOT_THERE)/x", "macro"),
        ("output = $INT(Process)", "macro"),
        ('environment = "A=1 B"', "variables"),
        ('environment = "A=\'x"', "quotes"),
        ("environment = A=1;B = 2", "variables"),
        ("environment = A=$(Item)", "macro"),
        ("getenv = OMP_*", "pattern"),
        ("hold = $(x)", "expression"),
        ("deferral_time = (time() + 60)", "expression"),
        ("queue 0", "above 0"),
        ("queue $(N)", "expression"),
        ("queue x from not_there.txt", "cannot be read"),
        ("queue x from ls |", "a program prints"),
        ("queue x in ()", "no items"),
        ('queue x in ("a b", c)', "in double quotes"),
        ("queue x, y in (a b)", "no value for y in the item 'a'"),
        ("queue 100001", "at most"),
        ("queue matching *.not_there", "no items"),
        ('transfer_output_remaps = "a=b"', "nothing is copied"),
        ("transfer_input_files = osdf:///x/y", "nothing is copied"),
        ("executable = a.sh", "what is to run"),
        ("if $(x)", "conditions"),
        ("Else", "conditions"),
        ("include : x", "other files"),
        ("cron_hour = 3", "no equivalent"),
        ("N = 4", "no option of condor_submit"),
        ("word", "must be name = value"),
    ],
)
def test_what_has_no_equivalent_is_named_with_its_line_and_the_reason(said: str, why: str) -> None:
    found = TABLE.read(f"#!/bin/sh\n#\n#HTCONDOR {said}\n").untranslatable()
    assert {one.line for one, _ in found} == {3}
    assert any(why in reason for _, reason in found), found


def test_jobs_after_others_of_one_description_have_no_equivalent() -> None:
    found = TABLE.read("output = $(Process)\nqueue 3\noutput = x\nqueue\n").untranslatable()
    assert [(one.line, one.said) for one, _ in found] == [(2, "queue 3"), (4, "queue 1")]


@pytest.mark.parametrize("written", ["{}\n", "#!/bin/sh\n#HTCONDOR {}\n"])
def test_what_stands_below_the_last_queue_counts_for_no_job(written: str) -> None:
    prefix = written[:-3]
    lines = ["request_cpus = 2", "queue", "request_cpus = 64", "# nothing"]
    reading = TABLE.read("#\n" + prefix + f"\n{prefix.rpartition(chr(10))[2]}".join(lines) + "\n")
    assert reading.words["cpus_per_rank"] == 2
    ((one, why),) = reading.untranslatable()
    assert (one.said, one.line) == ("request_cpus = 64", 4 if not prefix else 5)
    assert "below the last queue" in why


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("environment = A=1\nenv = B=2", {"environment": {"B": "2"}}),
        ("getenv = HOME\nenvironment = A=1", {"environment": {"HOME": None, "A": "1"}}),
        ("environment = A=1\ngetenv = A\ngetenv = USER", {"environment": {"USER": None, "A": "1"}}),
        ("getenv = HOME\ngetenv = True", {"inherit_environment": True}),
        ("getenv = True\ngetenv = HOME", {"environment": {"HOME": None}}),
    ],
)
def test_the_last_of_each_command_for_the_environment_counts(lines: str, words: dict[str, Any]) -> None:
    reading = TABLE.read(f"{lines}\nqueue\n")
    assert (reading.words, reading.untranslatable()) == (words, [])


@pytest.mark.parametrize(
    ("lines", "words", "wrong"),
    [
        ("N = 12\nqueue $(N)", {"array": "0-11"}, []),
        ("n=2\nallowed_job_duration = $(N) * 60\nN = 5\nqueue", {"wall_time_min": 5}, []),
        ("Where = /x\ninitialdir = $(where)/$(where)", {"directory": "/x//x"}, []),
        ("log = a\noutput = $(Log).txt", {"stdout": "a.txt"}, []),
        ("A = $(B)\nB = x\nA = $(A)y\ndescription = $(A)", {"name": "xy"}, []),
        ("output = $(undef:other)", {"stdout": "other"}, []),
        ("F = /x/y/z.tar.gz\noutput = $Fn(F)$Fx(F) $Fd(F)", {"stdout": "z.tar.gz y/"}, []),
        ("A = $(A)b\nA = $(A)c\noutput = $(A)", {"stdout": "bc"}, []),
        ("x = 3\noutput = $(x)\nqueue x in 4, 5", {"stdout": "{index}", "array": "4,5"}, []),
        ("requst_cpus = 8\nqueue", {}, [1]),
    ],
)
def test_a_file_s_macros_have_their_values(lines: str, words: dict[str, Any], wrong: list[int]) -> None:
    reading = TABLE.read(lines)
    assert reading.words == words
    assert [one.line for one, _ in reading.untranslatable()] == wrong


def test_a_script_without_our_lines_is_no_description() -> None:
    assert TABLE.read("#!/bin/sh\nrequest_cpus=3\n").directives == ()


def test_scratch_space_can_be_left_out() -> None:
    reading = TABLE.read("request_disk = 1048576\n+RequestDisk = 2048\n")
    assert [one.line for one in reading.dropped()] == [1, 2]
    assert reading.parameters() == {"request_disk": ("1024M", "2M")}


def test_attributes_that_parameters_pass_on_are_seen() -> None:
    given = ["AccountingGroup=x", "RequestCpus=8", "JobFlavour=y"]
    assert options_passed_on(TABLE, {"attributes": given}) == options_passed_on(
        TABLE, {"attributes": ",".join(given)}
    )
    assert options_passed_on(TABLE, {"attributes": given}) == {
        "project": "+AccountingGroup=x",
        "cpus_per_rank": "+RequestCpus=8",
    }


@pytest.mark.parametrize(
    "name",
    [
        *("JobBatchName", "Cmd", "jobuniverse", "RequestCpus", "RequestMemory", "requestgpus", "RequestDisk", "Iwd"),
        *("AccountingGroup", "AcctGroup", "Args", "Arguments", "Env", "Environment", "Out", "Err", "In", "UserLog"),
        *("Requirements", "JobPrio", "AllowedJobDuration", "JobDescription", "ShouldTransferFiles", "JobStatus"),
    ],
)
def test_an_attribute_that_a_command_sets_is_refused_with_the_way_to_say_it(name: str) -> None:
    with pytest.raises(ValueError, match=f"must not be {name}: .+"):
        attribute(f"{name}=3")


def test_the_place_of_an_item_is_no_index() -> None:
    reading = TABLE.read("output = $(Process)\nqueue in 3,4\n")
    assert reading.words == {"array": "3,4", "elements": {3: {"stdout": "0"}, 4: {"stdout": "1"}}, **_ONE}


@pytest.mark.parametrize(
    ("lines", "jobs"),
    [
        (
            "arguments = $(a) -$(b)-\nqueue a, b from (\n x 1\n # no item\n y,2 3\n)",
            [("x", "-1-"), ("y", "-2", "3-")],
        ),
        ("arguments = $(f)\nqueue f matching files *.dat", [("a.dat",), ("b.dat",)]),
        ("arguments = $(f)\nqueue f matching *.dat", [("a.dat",), ("b.dat",), ("c.dat/",)]),
        ("Arguments = other\nqueue arguments from list.txt", [("#", "x"), ("y",)]),
        ("arguments = $(input)\nqueue input matching files *.dat", [("a.dat",), ("b.dat",)]),
        ("arguments = $(Item)\nqueue from list.txt", [("#", "x"), ("y",)]),
        ("arguments = $(x)$(Row)\nqueue x in [1:] (a, b c)", [("b1",), ("c2",)]),
        ("arguments = $(x)$(Step)$(Row)$(ItemIndex)\nqueue 2 x in a b", [("a000",), ("a100",), ("b011",), ("b111",)]),
        (
            "arguments = \"'$(x) 1' 'it''s' \"\"q\"\"\"\nqueue x in a b",
            [("a 1", "it's", '"q"'), ("b 1", "it's", '"q"')],
        ),
        ('arguments = $(x) \\"b c\\" \nqueue x in a b', [("a", '"b', 'c"'), ("b", '"b', 'c"')]),
        ("arguments = $Fn(x)$(x:3)\nqueue x in d/a.txt b", [("ad/a.txt",), ("bb",)]),
    ],
)
def test_each_job_has_its_own_values(
    lines: str, jobs: list[tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.dat", "a.dat"):
        (tmp_path / name).touch()
    (tmp_path / "c.dat").mkdir()
    (tmp_path / "list.txt").write_text("# x\ny\n")
    reading = TABLE.read(f"executable = run\n{lines}\n")
    assert [own["command"] for own in reading.words["elements"].values()] == [("run", *words) for words in jobs]
    assert reading.words["array"] == f"0-{len(jobs) - 1}"
    assert reading.untranslatable() == []


@pytest.mark.parametrize(
    ("lines", "said", "why"),
    [
        (
            "executable = x\nqueue request_memory in (1 2)",
            "request_memory = $(request_memory)",
            "another for each job",
        ),
        ('executable = x\n+Kind = "$(Process)"\nqueue 2', '+Kind = "$(Process)"', "another for each job"),
        ('executable = x\narguments = a"b\nqueue', 'arguments=a"b', "backslash before"),
        ("executable = x\narguments = $(Cluster)\nqueue", "arguments=$(Cluster)", "known when the job runs"),
        ("executable = x\ntransfer_input_files = $(f)\nqueue f in (a, d/b)", "transfer_input_files=$(f)", "copied"),
        ("arguments = x\noutput = y\nqueue", "arguments=x", "no program"),
        ("executable = x\narguments = a \\\n# b\nqueue", "# b", "goes on"),
        ("executable = x\nqueue x from (\na\n\nb\n)", "queue x from (\na\n\nb\n)", "without a value"),
    ],
)
def test_what_a_description_cannot_have_is_named(lines: str, said: str, why: str) -> None:
    found = {one.said: reason for one, reason in TABLE.read(lines).untranslatable()}
    assert why in found[said]


def test_an_attribute_is_the_parameter_of_a_word_as_it_has_it() -> None:
    for said, told in {
        '+JobFlavour = "longlunch"': "JobFlavour=longlunch",
        "MY.Kind = 3": "Kind=3",
        "my.Wants = True": "Wants=True",
        '+Kind = "3"': 'Kind = "3"',
        "+Kind = Other": "Kind = Other",
    }.items():
        assert TABLE.read(f"{said}\n").parameters() == {"attributes": told}


def test_parsl_s_scheduler_options_are_parameters() -> None:
    options = '+JobFlavour = "longlunch"\n#HTCONDOR request_disk = 1048576\naccounting_group = chem\n'
    provider = HTCondorProvider(scheduler_options=options)
    assert provider.parameters["attributes"] == "JobFlavour=longlunch"
    assert provider.parameters["request_disk"] == "1024M"
    assert provider.project == "chem"
    for said in (
        "queue 3",
        "executable = x",
        '+Kind = "3"',
        "+Kind = Other",
        "request_disk = $(x)",
        "request_cpus = 3",
        "+RequestCpus = 64",
        '+JobBatchName = "mine"',
    ):
        with pytest.raises(InvalidRequest):
            HTCondorProvider(scheduler_options=said)


def test_max_materialize_becomes_a_limit_that_hides_no_element(tmp_path: Path) -> None:
    path = tmp_path / "job.sub"
    path.write_text("executable = /bin/true\nmax_materialize = 3\nqueue 9\n")
    done = psij("render", "--platform", "htcondor", str(path))
    assert "#HTCONDOR concurrency_limits = psij_JOB_3:769344.0\n" in done.stdout
    assert "max_materialize" not in done.stdout
    path.write_text("executable = /bin/true\nmax_materialize = 3\nconcurrency_limits = matlab:2\nqueue 9\n")
    done = psij("render", "--platform", "htcondor", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "line 2 max_materialize=3: the htcondor platform tells by concurrency_limits" in done.stderr
    done = psij("render", "--platform", "htcondor", "-X", "concurrency_limits=matlab:2", str(path))
    assert re.findall("#HTCONDOR concurrency_limits = .*", done.stdout) == [
        "#HTCONDOR concurrency_limits = matlab:2,psij_JOB_3:769344.0"
    ]


def test_a_site_says_how_much_its_pool_has_of_a_limit_that_it_does_not_name() -> None:
    def limits(number: int, default: int) -> str:
        parameters = {"concurrency_limit_default": default}
        job = Job(command=["true"], array="0-9", array_limit=number, parameters=parameters)
        said = re.search("#HTCONDOR concurrency_limits = (.*)", BatchSchedulerExecutor("htcondor").render(job))
        assert said
        return said[1]

    assert limits(4, 100) == "psij_JOB_4:25.0"
    assert limits(7, 2308032) == "psij_JOB_7:329718.8571"  # a little less, so that seven of them have room
