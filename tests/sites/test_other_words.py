"""The same request said in another way gets the same answer: by parameters, passed-on options, or other names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import Job
from psij_parsl.api import Machine, site
from psij_parsl.errors import InvalidRequest, SiteError
from psij_parsl.platforms.registry import platforms

_SLURM = """
platform = "slurm"

[nodes.cpu]
cpus = 8
threads_per_core = 2
memory = 4000
parameters = { constraint = "cpu" }

[nodes.gpu]
cpus = 8
gpus = 4
memory = 8000

[queues.small]
parameters = { partition = "small_p" }
node = "cpu"
default = true
strict = true
max_nodes = 4
account = "{project}-cpu"

[queues.debug]
parameters = { partition = "small_p", qos = "debug" }
node = "cpu"
strict = true
auto = false
max_nodes = 2
account = "{project}-cpu"

[queues.wide]
node = ["cpu", "gpu"]
strict = true
account = "{project}-cpu"

[queues.gpu]
node = "gpu"
strict = true
account = "{project}-gpu"
forbidden = ["exclusive"]

[queues.share]
node = "gpu"
strict = true
gpus = "implied"
account = "{project}-gpu"
"""
_PBS = """
platform = "pbspro"
[nodes.cpu]
cpus = 128
[queues.a]
node = "cpu"
strict = true
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return made(tmp_path, _SLURM)


def made(folder: Path, text: str) -> Machine:
    (folder / "machine.toml").write_text(text)
    return site(file=folder / "machine.toml")


def answer(machine: Machine, **asked: Any) -> tuple[Job, list[tuple[str, str]]]:
    """The job as it would be submitted, and the level and key of each finding."""
    completion = machine.completion({"command": ["app"], "wall_time_min": 10, "project": "p", **asked})
    job = Job(**completion.fields)
    findings = [*completion.findings, *machine.check(job)]
    return job, [(finding.level, finding.key) for finding in findings]


@pytest.mark.parametrize(
    "asked",
    [
        {"gpus_per_rank": 1},
        {"parameters": {"gres": "gpu:1"}},
        {"parameters": {"gres": ["gpu:a100:1"]}},
        {"parameters": {"directives": ["--gpus=1"]}},
        {"parameters": {"directives": "--gpus-per-task=1"}},
        {"parameters": {"directives": ["-G a100:1"]}},
    ],
    ids=str,
)
def test_gpus_are_counted_however_they_are_asked_for(machine: Machine, asked: dict[str, Any]) -> None:
    assert answer(machine, queue="small", **asked)[1] == [("refuse", "gpus")]
    job, found = answer(machine, queue="wide", **asked)
    assert (job.node_type, found) == ("gpu", [])


@pytest.mark.parametrize(
    "options", [["--hint=nomultithread -G 1"], ["--hint=nomultithread", "-G 1"], ["--distribution=block", "--mem=5G"]]
)
def test_options_about_other_things_hide_none(machine: Machine, options: list[str]) -> None:
    assert [level for level, _ in answer(machine, queue="small", parameters={"directives": options})[1]] == ["refuse"]


def test_each_long_option_for_gpus_or_memory_is_known_by_its_name() -> None:
    words = {"gpus", "gpus_per_node", "gpus_per_rank", "memory_per_node"}
    seen = 0
    for _, described in platforms(plugins=False):
        for option in described.directive_table.options if described.directives else ():
            for name in option.names if words & {*option.sets} else ():
                seen += 1
                assert not name.startswith("--") or re.search("gpu|gres|tres|mem", name), name
    assert seen > 10


@pytest.mark.parametrize("option", ["--gres=gpu:5", "--gpus=9", "--gpus-per-node=5", "--gpus-per-task=3"])
def test_more_gpus_than_a_node_has(machine: Machine, option: str) -> None:
    asked = {"queue": "gpu", "num_nodes": 2, "ranks_per_node": 2}
    assert answer(machine, **asked, parameters={"directives": [option]})[1] == [("refuse", "gpus")]
    assert answer(machine, **asked, parameters={"directives": ["--gpus=8"]})[1] == []


def test_memory_in_a_passed_on_option(machine: Machine) -> None:
    assert answer(machine, queue="small", parameters={"directives": ["--mem=5G"]})[1] == [("refuse", "memory")]
    assert answer(machine, queue="small", parameters={"directives": ["--mem=0"]})[1] == []


@pytest.mark.parametrize(("platform", "name"), [("pbspro", "ncpus"), ("torque", "ppn")], ids=lambda value: value)
def test_the_cpus_that_a_parameter_says(tmp_path: Path, platform: str, name: str) -> None:
    machine = made(tmp_path, _PBS.replace("pbspro", platform))
    assert answer(machine, queue="a", parameters={name: "999"})[1] == [("refuse", "cpus")]
    assert answer(machine, queue="a", parameters={name: "128"})[1] == []
    assert answer(machine, queue="a", ranks_per_node=129, parameters={name: "128"})[1] == [("refuse", "cpus")]


def test_hardware_threads_that_are_asked_for_are_left_to_the_manager(machine: Machine) -> None:
    assert answer(machine, queue="small", ranks_per_node=8)[1] == [("refuse", "cpus")]
    assert answer(machine, queue="small", ranks_per_node=8, threads_per_core=2)[1] == [("warn", "cpus")]
    assert answer(machine, queue="small", ranks_per_node=9, threads_per_core=2)[1] == [("refuse", "cpus")]


@pytest.mark.parametrize("value", ["²", "9" * 5000, "x"])
def test_a_number_that_is_none_is_no_traceback(machine: Machine, value: str) -> None:
    completion = machine.completion({"command": ["app"], "queue": "gpu", "parameters": {"gpus_per_node": value}})
    assert [finding.level for finding in completion.findings] == []


def test_the_managers_own_name_of_a_queue(machine: Machine) -> None:
    job, found = answer(machine, queue="small_p", num_nodes=5)
    assert (job.queue, job.queue_name, found) == ("small_p", "small", [("refuse", "nodes")])
    job, _ = answer(machine, queue="small_p", parameters={"qos": "debug"})
    assert job.queue_name == "debug"


def test_a_parameter_of_the_queue_that_is_taken_back_makes_it_the_plain_one(machine: Machine) -> None:
    job, found = answer(machine, queue="debug", num_nodes=3, parameters={"qos": ""})
    assert (job.queue, job.queue_name, job.parameters.get("qos"), found) == ("small_p", "small", None, [])


@pytest.mark.parametrize(
    ("queues", "what"), [("small,gpu", "accounts"), ("gpu,share", "requests for GPUs"), ("small,debug", "parameters")]
)
def test_a_list_of_queues_that_ask_for_different_things_is_refused(machine: Machine, queues: str, what: str) -> None:
    completion = machine.completion({"command": ["app"], "project": "p", "queue": queues})
    assert [finding.level for finding in completion.findings] == ["refuse"]
    assert completion.findings[0].text.endswith(f"need different {what}")


def test_of_several_queues_the_node_type_is_one_of_all(machine: Machine) -> None:
    job, _ = answer(machine, queue="wide,small")
    assert (job.node_type, job.parameters["constraint"]) == ("cpu", "cpu")
    job, _ = answer(machine, queue="wide,gpu")
    assert (job.node_type, job.parameters.get("constraint")) == ("gpu", None)


def test_a_list_that_names_nothing_is_refused(machine: Machine) -> None:
    assert answer(machine, queue=",")[1] == [("refuse", "queue")]


def test_a_queue_that_nobody_knows_has_no_node_type(tmp_path: Path) -> None:
    machine = made(tmp_path, _SLURM.replace("strict = true", ""))
    job, found = answer(machine, queue="new")
    assert (job.node_type, job.parameters, found) == ("", {}, [("warn", "queue")])


def test_inside_a_job_of_several_queues_the_one_that_it_is_in_counts(machine: Machine) -> None:
    from psij_parsl.resources import Allocation

    inside = {"PSIJ_QUEUE": "small,gpu"}
    for queue, gpus in (("small_p", 0), ("gpu", 4)):
        hardware = machine.hardware_of(Allocation("slurm", "1", (), queue=queue), inside)
        assert hardware is not None
        assert len(hardware.gpus) == gpus
    assert machine.hardware_of(Allocation("slurm", "1", ()), {"PSIJ_QUEUE": "new"}) is None


def test_what_is_switched_off_is_not_forbidden(machine: Machine) -> None:
    assert answer(machine, queue="gpu", parameters={"exclusive": "false"})[1] == []
    assert answer(machine, queue="gpu", parameters={"exclusive": "true"})[1] == [("refuse", "forbidden")]


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("memory_per_node", "--mem=1G"),
        ("memory_per_node", "--mem-per-cpu=1G"),
        ("memory_per_node", "--mem-per-gpu=1G"),
        ("gpus_per_rank", "--gpus-per-socket=1"),
        ("gpus_per_rank", "--cpus-per-gpu=1"),
        ("gpus_per_rank", "--tres-per-task=gres/gpu:1"),
    ],
)
def test_what_is_forbidden_is_so_in_all_its_forms(tmp_path: Path, name: str, option: str) -> None:
    machine = made(tmp_path, _SLURM.replace('forbidden = ["exclusive"]', f'forbidden = ["{name}"]'))
    asked = {"queue": "gpu", "parameters": {"directives": [option]}}
    completion = machine.completion({"command": ["app"], "project": "p", **asked})
    assert [finding.key for finding in completion.findings] == ["forbidden"]
    assert f"leave out {option}" in completion.findings[0].hint


@pytest.mark.parametrize("option", ["--exclude=gpu01", "--nodelist gpu[01-04]", "--network=single,gpu"])
def test_an_option_in_which_gpus_are_but_a_name_asks_for_none(tmp_path: Path, option: str) -> None:
    machine = made(tmp_path, _SLURM.replace('forbidden = ["exclusive"]', 'forbidden = ["gpus_per_rank"]'))
    assert answer(machine, queue="gpu", parameters={"directives": [option]})[1] == []


def test_more_threads_than_a_core_has(machine: Machine) -> None:
    assert answer(machine, queue="small", threads_per_core=3)[1] == [("refuse", "cpus")]


def test_whole_nodes_come_with_all_their_gpus(tmp_path: Path) -> None:
    text = _SLURM.replace('forbidden = ["exclusive"]', "whole_nodes = true\nmax_gpus = 8")
    machine = made(tmp_path, text)
    assert answer(machine, queue="gpu", num_nodes=3, gpus_per_rank=1)[1] == [("refuse", "max_gpus")]
    assert answer(machine, queue="gpu", num_nodes=2, gpus_per_rank=1)[1] == []


def test_auto_leaves_gpus_to_others_where_there_are_nodes_without(tmp_path: Path) -> None:
    text = 'platform = "slurm"\n[nodes.c]\ncpus = 8\n[nodes.g]\ncpus = 8\ngpus = 2\n'
    queues = "[queues.{0}]\nnode = '{0}'\nstrict = true\nmax_nodes = {1}\n"
    machine = made(tmp_path, text + queues.format("c", 2) + queues.format("g", 9))
    with pytest.raises(InvalidRequest, match=r"(?s)takes this job unasked.*c: takes at most 2") as caught:
        machine.complete({"command": ["app"], "queue": "auto", "num_nodes": 3})
    assert "g would take it if named" in str(caught.value)
    machine = made(tmp_path, text + queues.format("g", 9))
    assert machine.complete({"command": ["app"], "queue": "auto", "num_nodes": 3})["queue"] == "g"


def test_a_tier_within_another_must_let_jobs_run_longer(tmp_path: Path) -> None:
    text = 'platform = "slurm"\n[queues.q]\nstrict = true\ntiers = [{{ min_nodes = 1, max_nodes = 100, max_time = "24h" }}, {}]\n'
    inner = '{{ min_nodes = 50, max_nodes = 60, max_time = "{}h" }}'
    machine = made(tmp_path, text.format(inner.format(48)))
    assert answer(machine, queue="q", num_nodes=55, wall_time_min=47 * 60)[1] == []
    assert answer(machine, queue="q", num_nodes=65, wall_time_min=47 * 60)[1] == [("refuse", "time")]
    with pytest.raises(SiteError, match="has no effect: jobs of 50 to 60 nodes run as long by the tier of 1 to 100"):
        made(tmp_path, text.format(inner.format(2)))


def test_required_gpus_may_be_said_by_a_parameter(tmp_path: Path) -> None:
    machine = made(tmp_path, _SLURM.replace('forbidden = ["exclusive"]', 'required = ["gpus_per_rank"]'))
    assert answer(machine, queue="gpu")[1] == [("refuse", "required")]
    assert answer(machine, queue="gpu", parameters={"gpus_per_node": "4"})[1] == []


def test_a_project_in_the_form_of_another_queue_is_told(machine: Machine) -> None:
    job, found = answer(machine, queue="gpu", project="abc-cpu")
    assert (job.project, found) == ("abc-cpu", [("warn", "project")])
    assert answer(machine, queue="gpu", project="abc-gpu")[1] == []


def test_setups_are_run_in_the_order_of_the_layers_even_if_one_is_said_again(tmp_path: Path) -> None:
    text = 'platform = "slurm"\nmodules = ["a"]\n[queues.q]\nsetup = ["module purge", "module load a"]\n'
    job, _ = answer(made(tmp_path, text), queue="q")
    assert job.setup == ("module load a", "module purge", "module load a")


def test_a_queue_is_a_text(machine: Machine) -> None:
    with pytest.raises(InvalidRequest, match="queue must be a text, not 5"):
        machine.completion({"command": ["app"], "queue": 5})


def test_auto_takes_limits_that_only_warn_where_there_are_no_others(tmp_path: Path) -> None:
    machine = made(tmp_path, 'platform = "slurm"\n[queues.a]\nmax_time = "1h"\n[queues.b]\nmax_time = "30m"\n')
    job, found = answer(machine, queue="auto", wall_time_min=120)
    assert (job.queue, found) == ("a", [("warn", "time")])


def test_auto_does_not_overrule_the_queue_of_a_parameter(machine: Machine) -> None:
    with pytest.raises(InvalidRequest, match="the parameters make it a job of queue debug") as caught:
        machine.complete({"command": ["app"], "project": "p", "queue": "auto", "parameters": {"qos": "debug"}})
    assert "debug would take it if named with -q" in caught.value.hint + caught.value.message


def test_a_parameter_of_another_queue_is_told(machine: Machine) -> None:
    job, found = answer(machine, queue="wide", parameters={"qos": "debug"})
    assert (job.queue_name, found) == ("wide", [("warn", "queue")])
    assert answer(machine, queue="wide", parameters={"qos": "other"})[1] == []


def test_another_queue_is_named_only_if_it_would_take_the_job_as_it_is(tmp_path: Path) -> None:
    queues = 'max_time = "1h"', 'max_time = "9h"\nforbidden = ["gpus_per_rank"]', 'max_time = "9h"\nauto = false'
    text = 'platform = "slurm"\n' + "".join(
        f"[queues.q{at}]\nstrict = true\n{text}\n" for at, text in enumerate(queues)
    )
    machine = made(tmp_path, text)
    asked = {"command": ["app"], "queue": "q0", "wall_time_min": 120}
    (found,) = machine.check(Job(**machine.completion(asked).fields))
    assert found.hint.startswith("q1 would take it; ")
    (found,) = machine.check(Job(**machine.completion({**asked, "gpus_per_rank": 1}).fields))
    assert found.hint.startswith("-t 60; ")
