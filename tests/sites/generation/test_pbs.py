"""What `site generate` makes of the answers of PBS: recorded ones, and such with other queues and limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.testing.replay import Recorded
from tests.cli.helpers import one_sentence_and_a_hint, psij_here
from tests.providers.readings import RECORDED
from tests.sites.generation.answers import Answers
from tests.sites.generation.test_generate import generated
from tests.sites.generation.test_managers import ANSWERS, document


def test_pbs(answers: Answers, folder: Path) -> None:
    made = document("pbspro", answers, folder)
    node = {"source": "manager", "count": 4, "cpus": 8, "memory": 4096, "gpus": 2}
    assert made["nodes"] == {"gpu": node}
    assert made["queues"]["workq"] == {
        **{"source": "manager", "default": True, "strict": True, "max_nodes": 4, "max_time": "1h", "array_max": 10000}
    }
    assert [name for name, queue in made["queues"].items() if queue.get("auto") is False] == ["closed", "stopped"]


def pbs_queues(answers: Answers, queues: dict[str, Any], nodes: dict[str, Any] | None = None) -> None:
    """PBS as it was recorded, with other queues, and other attributes of nodes."""
    answers.recorded(*ANSWERS["pbspro"])
    started = {"queue_type": "Execution", "enabled": "True", "started": "True"}
    said = {"Queue": {name: {**started, **queue} for name, queue in queues.items()}}
    answers.say(("qstat", "-Qf", "-F", "json"), json.dumps(said))
    output = Recorded.read(RECORDED / "openpbs/info.pbsnodes-json.txt").output
    told = json.loads(output.stdout)
    for name, more in (nodes or {}).items():
        told["nodes"][name] = {**told["nodes"][name], **more}
        told["nodes"][name]["resources_available"] |= more.get("resources", {})
    answers.say(output.argv, json.dumps(told))


def test_a_routing_queue_of_pbs_has_tiers_and_its_children_are_not_named(answers: Answers, folder: Path) -> None:
    def child(least: int, most: int, time: str) -> dict[str, Any]:
        limits = {"resources_max": {"nodect": most, "walltime": time}, "resources_min": {"nodect": least}}
        return {**limits, "from_route_only": "True"}

    prod = {"queue_type": "Route", "route_destinations": "small,large"}
    pbs_queues(answers, {"prod": prod, "small": child(1, 2, "03:00:00"), "large": child(3, 4, "24:00:00")})
    site, made = generated("pbspro", folder / "x.toml")
    assert list(made["queues"]) == ["prod"]
    assert made["queues"]["prod"]["tiers"] == [
        {"min_nodes": 1, "max_nodes": 2, "max_time": "3h", "leads_to": "small"},
        {"min_nodes": 3, "max_nodes": 4, "max_time": "24h", "leads_to": "large"},
    ]
    assert site.queues["prod"].max_time_min == 1440


def test_a_routing_queue_whose_destinations_overlap_has_the_widest_limits(answers: Answers, folder: Path) -> None:
    def end(least: int, most: int, clock: str) -> dict[str, Any]:
        limits = {"resources_min": {"nodect": least}, "resources_max": {"nodect": most, "walltime": clock}}
        return {**limits, "from_route_only": "True"}

    routing = {"queue_type": "Route", "route_destinations": "short,long"}
    pbs_queues(answers, {"main": routing, "short": end(1, 4, "02:00:00"), "long": end(1, 2, "24:00:00")})
    _, made = generated("pbspro", folder / "x.toml")
    queue = made["queues"]["main"]
    assert (queue["max_nodes"], queue["max_time"], "tiers" in queue) == (4, "24h", False)
    assert "whose node counts overlap" in (folder / "x.toml").read_text()


@pytest.mark.parametrize("shut", [{"started": "False"}, {"max_run": "[o:PBS_ALL=0]"}])
def test_a_routing_queue_whose_destinations_all_run_nothing_is_not_chosen(
    shut: dict[str, Any], answers: Answers, folder: Path
) -> None:
    ends = {"small": {"resources_max": {"nodect": 2}, **shut}, "large": {"resources_min": {"nodect": 3}}}
    prod = {"queue_type": "Route", "route_destinations": "small,large"}
    old = {"queue_type": "Route", "route_destinations": "small"}
    pbs_queues(answers, {"prod": prod, "old": old, **ends})
    site, _ = generated("pbspro", folder / "x.toml")
    assert [name for name, queue in site.queues.items() if not queue.auto] == ["old", "small"]


def test_nodes_of_pbs_belong_to_the_queue_that_they_name_or_to_that_of_their_group(
    answers: Answers, folder: Path
) -> None:
    big = {"resources": {"mem": "1056964608kb", "ncpus": 64}}
    pbs_queues(
        answers,
        {"all": {}, "own": {}, "group": {"default_chunk": {"Qlist": "fat"}}},
        {"node01": {"queue": "own"}, "node02": {**big, "resources": {**big["resources"], "Qlist": "fat,all"}}},
    )
    site, made = generated("pbspro", folder / "x.toml")
    assert {name: queue.max_nodes for name, queue in site.queues.items()} == {"all": 3, "own": 1, "group": 1}
    assert made["nodes"]["gpu_64cpus"]["memory"] == 1032192
    assert made["queues"]["group"]["node"] == "gpu_64cpus"


def test_limits_of_pbs_for_each_user(answers: Answers, folder: Path) -> None:
    limits = {"max_run": "[u:PBS_GENERIC=2],[o:PBS_ALL=50]", "max_queued": "[u:PBS_GENERIC=20]"}
    shut = {"acl_user_enable": "True", "acl_users": "anna,ben"}
    pbs_queues(answers, {"workq": {**limits, **shut, "resources_min": {"walltime": "00:05:00"}}})
    _, made = generated("pbspro", folder / "x.toml")
    assert made["queues"]["workq"]["jobs"] == {"running": 2, "queued": 20}
    assert made["queues"]["workq"]["min_time"] == "5m"
    assert "\n# only for users anna, ben\n" in (folder / "x.toml").read_text()


def test_what_a_user_or_a_project_of_pbs_may_have_at_a_time_bounds_a_job(answers: Answers, folder: Path) -> None:
    limits = {
        "max_run": "[p:PBS_GENERIC=6]",
        "max_queued": "[o:PBS_ALL=500],[p:PBS_GENERIC=9]",
        "max_run_res": {"nodect": "[u:PBS_GENERIC=2],[u:anna=3]", "ncpus": "[p:PBS_GENERIC=48]"},
        "max_queued_res": {"ngpus": "[o:PBS_ALL=5]"},
        "resources_max": {"ncpus": 64, "ngpus": 8},
    }
    pbs_queues(answers, {"workq": limits})
    _, made = generated("pbspro", folder / "x.toml")
    queue = made["queues"]["workq"]
    assert (queue["max_nodes"], queue["max_cores"], queue["max_gpus"]) == (2, 48, 5)
    assert queue["project_jobs"] == {"running": 6, "queued": 9}


def test_limits_of_the_server_and_of_a_group_bound_a_job_of_pbs_too(answers: Answers, folder: Path) -> None:
    group = {"max_run_res": {"nodect": "[g:PBS_GENERIC=3]"}}
    pbs_queues(answers, {"workq": group, "own": {"resources_max": {"walltime": "48:00:00", "ncpus": 8}}})
    output = Recorded.read(RECORDED / "openpbs/info.qstat-Bf-json.txt").output
    told = json.loads(output.stdout)
    (server,) = told["Server"].values()
    server |= {
        "max_run": "[u:PBS_GENERIC=4],[p:PBS_GENERIC=7]",
        "max_run_res": {"ncpus": "[u:PBS_GENERIC=16]"},
        "resources_max": {"walltime": "24:00:00"},
    }
    answers.say(output.argv, json.dumps(told))
    _, made = generated("pbspro", folder / "x.toml")
    workq, own = made["queues"]["workq"], made["queues"]["own"]
    assert (workq["max_nodes"], workq["max_cores"], workq["max_time"]) == (3, 16, "24h")
    assert (own["max_nodes"], own["max_cores"], own["max_time"]) == (4, 8, "48h")
    assert workq["jobs"] == {"running": 4}
    assert workq["project_jobs"] == {"running": 7}


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"max_queued": "[u:PBS_GENERIC=0],[u:anna=10]"}, "only for those who have a limit of their own"),
        ({"max_run": "[p:PBS_GENERIC=0], [p:chem=10]"}, "only for those who have a limit of their own"),
        ({"max_run_res": {"ncpus": "[g:PBS_GENERIC=0],[g:chem=64]"}}, "only for those who have a limit of their own"),
        ({"max_run": "[o:PBS_ALL=0],[u:PBS_GENERIC=5]"}, "no job runs there"),
        ({"max_user_run": "0"}, "no job runs there"),
    ],
)
def test_a_limit_of_pbs_of_0_keeps_most_users_out(
    limits: dict[str, Any], told: str, answers: Answers, folder: Path
) -> None:
    pbs_queues(answers, {"workq": limits, "free": {}})
    site, made = generated("pbspro", folder / "x.toml")
    assert (made["queues"]["workq"]["auto"], made["queues"]["workq"]["max_nodes"]) == (False, 4)
    assert not {"max_cores", "project_jobs"} & made["queues"]["workq"].keys()
    assert f"\n# {told}" in (folder / "x.toml").read_text()
    assert site.queues["free"].auto


@pytest.mark.parametrize(
    ("limits", "strict", "has"),
    [
        ({"max_run_res": {"ncpus": "[u:PBS_GENERIC=16]"}}, True, {"max_cores": 16}),
        ({"max_run_res": {"ncpus": "[u:PBS_GENERIC=16],[u:alice=64]"}}, False, {"max_cores": 16}),
        ({"max_run_res": {"ngpus": "[u:PBS_GENERIC=0],[u:alice=8]"}}, False, {}),
        ({"max_run_res": {"ngpus": "[u:PBS_GENERIC=0]"}}, True, {"forbidden": ["gpus_per_rank"]}),
        ({"resources_max": {"nodect": 0}}, True, {"auto": False}),
    ],
)
def test_limits_that_some_have_of_their_own(
    limits: dict[str, Any], strict: bool, has: dict[str, Any], answers: Answers, folder: Path
) -> None:
    pbs_queues(answers, {"workq": limits})
    _, made = generated("pbspro", folder / "x.toml")
    workq = made["queues"]["workq"]
    assert workq.get("strict", False) is strict
    names = ("max_nodes", "max_cores", "max_gpus", "forbidden", "auto")
    assert {name: workq[name] for name in names if name in workq} == {"max_nodes": 4, **has}
    text = (folder / "x.toml").read_text()
    assert ("# not strict, for some users, groups or projects have limits of their own" in text) is not strict


def test_a_queue_that_no_job_fits_is_closed(answers: Answers, folder: Path) -> None:
    times = {"resources_min": {"nodect": 6, "walltime": "25:00:00"}, "resources_max": {"walltime": "24:00:00"}}
    pbs_queues(answers, {"workq": times})
    _, made = generated("pbspro", folder / "x.toml")
    assert psij_here("site", "check", "./x.toml").returncode == 0
    workq = made["queues"]["workq"]
    assert (workq["auto"], "min_nodes" in workq, "min_time" in workq) == (False, False, False)
    assert "# no job fits: min_nodes is 6, and max_nodes 4" in (folder / "x.toml").read_text()


def test_another_managers_commands_are_not_asked(answers: Answers, folder: Path) -> None:
    answers.recorded(*ANSWERS["pbspro"]).say(("qsub", "--version"), "slurm-wlm 22.05.8\n")
    done = psij_here("site", "generate", "--platform", "pbspro", "-o", "x.toml")
    said, _ = one_sentence_and_a_hint(done)
    assert (done.returncode, "is Slurm's, not PBS Pro's" in said) == (4, True)
