"""What `site generate` makes of Grid Engine's answers: recorded ones, and such with other environments and quotas."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from psij_parsl.testing.replay import Recorded
from tests.cli.helpers import psij_here
from tests.providers.readings import RECORDED
from tests.sites.generation.answers import Answers
from tests.sites.generation.test_generate import generated
from tests.sites.generation.test_managers import ANSWERS, document


def test_grid_engine(answers: Answers, folder: Path) -> None:
    made = document("gridengine", answers, folder)
    assert made["nodes"] == {"gpu": {"source": "manager", "count": 4, "cpus": 8, "memory": 24064, "gpus": 2}}
    assert made["parameters"] == {"gpu_resource": "ngpus", "node_pe": "smp"}
    assert made["queues"]["all.q"] == {"source": "manager", "max_nodes": 4, "array_max": 75000}
    assert made["queues"]["short.q"]["max_time"] == "1m"


@pytest.mark.parametrize(
    ("environments", "written"),
    [
        ("smp mpi", ("mpi", 8)),
        ("smp,two", ("two", 2)),
        ("smp mpi two", None),
        ("smp rr", None),
        ("smp", None),
        ("smp mpi,[node01=smp]", None),
    ],
)
def test_the_parallel_environment_of_several_nodes_is_written_where_there_is_no_choice(
    environments: str, written: tuple[str, int] | None, answers: Answers, folder: Path
) -> None:
    answers.recorded(*ANSWERS["gridengine"])
    queues = answers.answer(("qconf", "-sq", "*"))
    answers.say(("qconf", "-sq", "*"), re.sub(r"(?m)^(pe_list +).*$", rf"\g<1>{environments}", queues))
    parameters = generated("gridengine", folder / "x.toml")[1]["parameters"]
    text = (folder / "x.toml").read_text()
    found = (parameters["pe"], parameters["pe_slots_per_node"]) if "pe" in parameters else None
    assert (found, parameters["node_pe"]) == (written, "smp")
    assert ("# the one for several nodes:" in text) == (written is not None)
    choices = re.findall(r"^# parameters.pe = .*by its rule: (.*)$", text, re.MULTILINE)
    expected = {
        "smp mpi two": "mpi $fill_up, two 2",
        "smp rr": "rr $round_robin",
        "smp mpi,[node01=smp]": "mpi $fill_up",
    }
    assert choices == [expected[environments]] * 2 if environments in expected else not choices


def test_queues_of_grid_engine_with_different_environments_each_have_their_own(
    answers: Answers, folder: Path
) -> None:
    answers.recorded(*ANSWERS["gridengine"])
    queues = re.sub(r"(?m)^(pe_list +).*$", r"\g<1>smp mpi", answers.answer(("qconf", "-sq", "*")), count=1)
    answers.say(("qconf", "-sq", "*"), re.sub(r"(?m)^(pe_list +).*eight$", r"\g<1>smp two", queues))
    file = folder / "x.toml"
    _, made = generated("gridengine", file)
    assert {name: queue.get("parameters") for name, queue in made["queues"].items()} == {
        "all.q": {"pe": "mpi", "pe_slots_per_node": 8},
        "short.q": {"pe": "two", "pe_slots_per_node": 2},
    }
    asked = ("--site", str(file), "-N", "2", "--ntasks-per-node", "2", "--", "true")
    assert "#$ -pe mpi 16\n" in psij_here("render", "-q", "all.q", *asked).stdout
    assert "#$ -pe two 4\n" in psij_here("render", "-q", "short.q", *asked).stdout
    one = psij_here("render", "--site", str(file), "-q", "all.q", "-c", "3", "--", "true").stdout
    assert "#$ -pe smp 3\n" in one


def test_an_environment_that_does_not_start_ranks_or_is_for_some_users_is_for_a_person_to_choose(
    answers: Answers, folder: Path
) -> None:
    answers.recorded(*ANSWERS["gridengine"])
    queues = answers.answer(("qconf", "-sq", "*"))
    answers.say(("qconf", "-sq", "*"), re.sub(r"(?m)^(pe_list +).*$", r"\g<1>smp mpi", queues))
    said = answers.answer(("qconf", "-sp", "mpi"))
    for setting, value, told in (
        ("user_lists", "chem", "for some users"),
        ("control_slaves", "FALSE", "control_slaves FALSE"),
    ):
        answers.say(("qconf", "-sp", "mpi"), re.sub(rf"(?m)^({setting} +).*$", rf"\g<1>{value}", said))
        made = generated("gridengine", folder / "x.toml", "--force")[1]
        assert "pe" not in made["parameters"]
        assert f"by its rule: mpi $fill_up ({told})\n" in (folder / "x.toml").read_text()


@pytest.mark.parametrize(
    ("rule", "slots", "quota", "max_nodes"),
    [
        ("$fill_up", 999, "", 4),
        ("$fill_up", 20, "", 2),
        ("$fill_up", 12, "", None),
        ("16", 999, "", None),
        ("0", 999, "", None),
        ("4", 12, "", 3),
        ("8", 999, "users {*} to slots=24", 3),
        ("8", 999, "users {*} to slots=12", 1),
    ],
)
def test_an_environment_gives_no_more_nodes_than_there_are_slots_for(
    rule: str, slots: int, quota: str, max_nodes: int | None, answers: Answers, folder: Path
) -> None:
    """Four nodes have 8 slots each; None where a person has to choose."""
    answers.recorded(*ANSWERS["gridengine"])
    queues = answers.answer(("qconf", "-sq", "*"))
    answers.say(("qconf", "-sq", "*"), re.sub(r"(?m)^(pe_list +).*$", r"\g<1>smp mpi", queues))
    said = answers.answer(("qconf", "-sp", "mpi"))
    said = said.replace("$fill_up", rule).replace("slots              999", f"slots              {slots}")
    answers.say(("qconf", "-sp", "mpi"), said)
    if quota:
        limits = f"   limit        {quota}"
        answers.say(("qconf", "-srqs"), QUOTAS.format(name="mine", enabled="TRUE", limits=limits))
    made = generated("gridengine", folder / "x.toml")[1]
    assert ("pe" in made["parameters"]) == (max_nodes is not None)
    assert made["queues"]["all.q"]["max_nodes"] == (max_nodes or 4)


QUOTAS = """{{
   name         {name}
   description  "at a time"
   enabled      {enabled}
{limits}
}}
"""


@pytest.mark.parametrize(
    ("limits", "cores", "gpus"),
    [
        ("users {*} to slots=12,ngpus=3", 12, 3),
        ("to slots=100", 100, None),
        ("queues all.q to slots=9", 9, None),
        ("queues short.q to slots=9", None, None),
        ("queues !short.q to slots=9", 9, None),
        ("users anna to slots=4|users * to slots=20", 20, None),
        ("users anna to slots=4", None, None),
        ("users * queues {*} to ngpus=1|to slots=5", None, 1),  # the first that matches
        ("hosts {*} to slots=$num_proc*2|to slots=5", None, None),  # of each host
        ("name mine users * hosts * to slots=7", 7, None),
        ("hosts @old to slots=3", None, None),
        ("projects chem to slots=3", None, None),
        ("pes {mpi} to slots=3", None, None),
        ("users {*,!anna} queues {short.q,all.*} to slots=11", 11, None),
        ("users !anna,!@staff to slots=11", 11, None),
        ("users @staff,ben to slots=11", None, None),
        ("queues *,!all.q to slots=11", None, None),
        ("pes mpi to slots=64|users {*} to slots=4", 64, None),  # which one counts is for the job to say
        ("projects * to slots=6", None, None),  # not for jobs without
        ("projects * to slots=6|to slots=2", 6, None),
        ("projects chem to ngpus=2|to slots=9", None, None),
        ("hosts @old to slots=3|to slots=20", None, None),
        ("users {*} to slots=2K,ngpus=2", None, 2),  # a number that is none of slots
        ("users {*} to slots=0", "shut", None),
        ("users @big to slots=1000|users {*} to slots=0", None, None),  # nothing but for some
        ("users @gpus to ngpus=16|users {*} to ngpus=0", None, None),
    ],
)
def test_resource_quota_sets_of_grid_engine(
    limits: str, cores: int | str | None, gpus: int | None, answers: Answers, folder: Path
) -> None:
    answers.recorded(*ANSWERS["gridengine"])
    lines = "\n".join(f"   limit        {limit}" for limit in limits.split("|"))
    sets = (("mine", "TRUE", lines), ("off", "FALSE", "   limit        to slots=1"))
    text = "".join(QUOTAS.format(name=name, enabled=enabled, limits=rules) for name, enabled, rules in sets)
    answers.say(("qconf", "-srqs"), text)
    queue = generated("gridengine", folder / "x.toml")[1]["queues"]["all.q"]
    if cores == "shut":
        assert queue["auto"] is False
    else:
        assert (queue.get("max_cores"), queue.get("max_gpus"), "auto" in queue) == (cores, gpus, False)


def test_gpus_that_jobs_of_grid_engine_have_taken_count_too(answers: Answers, folder: Path) -> None:
    answers.recorded(*ANSWERS["gridengine"])
    output = Recorded.read(RECORDED / "gridengine/site/qhost.txt").output
    taken = output.stdout.replace(
        "<resourcevalue name='ngpus' dominance='hc'>2", "<resourcevalue name='ngpus' dominance='hc'>1", 1
    )
    assert taken != output.stdout
    answers.say(output.argv, taken)
    assert list(generated("gridengine", folder / "x.toml")[1]["nodes"]) == ["gpu"]


@pytest.mark.parametrize(("consumable", "counted_by"), [("YES", None), ("JOB", "job"), ("HOST", "node")])
def test_what_a_gpu_of_grid_engine_is_counted_for(
    consumable: str, counted_by: str | None, answers: Answers, folder: Path
) -> None:
    answers.recorded(*ANSWERS["gridengine"])
    output = Recorded.read(RECORDED / "gridengine/info.qconf-sc.txt").output
    table = output.stdout.splitlines()
    at = next(at for at, line in enumerate(table) if line.startswith("ngpus"))
    table[at] = f"ngpus ngpus INT <= YES {consumable} 0 0"
    answers.say(output.argv, "\n".join([*table, ""]))
    parameters = generated("gridengine", folder / "x.toml")[1]["parameters"]
    assert parameters.get("gpus_counted_by") == counted_by


def test_resource_quota_sets_as_grid_engine_shows_them(answers: Answers, folder: Path) -> None:
    answers.recorded(*ANSWERS["gridengine"], "gridengine/quotas.txt")
    queues = generated("gridengine", folder / "x.toml")[1]["queues"]
    limits = {name: (queue.get("max_cores"), queue.get("max_gpus")) for name, queue in queues.items()}
    assert limits == {"all.q": (24, 6), "short.q": (16, None)}
