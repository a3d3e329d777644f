"""What `site generate` makes of each manager's answers: recorded ones, and for LSF those of its documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.platforms.registry import platforms
from psij_parsl.resources import host
from psij_parsl.testing.replay import Recorded
from tests.cli.helpers import one_sentence_and_a_hint, psij_here
from tests.providers.readings import RECORDED
from tests.sites.generation.answers import Answers
from tests.sites.generation.test_generate import generated

#: The recorded answers of each manager.
ANSWERS = {
    "flux": ("flux/info.resource-R.txt", "flux/info.queue-list-columns.txt", "flux/info.config.txt"),
    "gridengine": ("gridengine/site/*.txt", "gridengine/info.qconf-sc.txt"),
    "htcondor": ("htcondor-23.9/site/*.txt",),
    "local": (),
    "lsf": ("../documented/lsf/site/*.txt",),
    "oar": ("oar/site/*.txt",),
    "pbspro": (
        *("openpbs/info.pbsnodes-json.txt", "openpbs/info.qstat-Qf-json.txt", "openpbs/info.qstat-Bf-json.txt"),
    ),
    "slurm": ("slurm/site/*.txt",),
    "torque": ("torque/nodes-xml.txt", "torque/queues-f.txt", "torque/server-f.txt"),
}


def document(name: str, answers: Answers, folder: Path) -> dict[str, Any]:
    answers.recorded(*ANSWERS[name])
    return generated(name, folder / "x.toml")[1]


def test_each_platform_but_the_oldest_is_here() -> None:
    assert {name for name, _ in platforms(plugins=False)} == {*ANSWERS, "cobalt"}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_file_of_each_manager_passes_the_check(name: str, answers: Answers, folder: Path) -> None:
    assert document(name, answers, folder)["platform"] == name


@pytest.mark.parametrize("name", sorted({*ANSWERS} - {"local"}))
def test_a_manager_that_prints_something_else_is_one_sentence(name: str, answers: Answers, folder: Path) -> None:
    """Whichever of its answers is not what it should be, there is a whole file, or none."""
    answers.recorded(*ANSWERS[name])
    every = [Recorded.read(path).output.argv for pattern in ANSWERS[name] for path in RECORDED.glob(pattern)]
    for argv in every:
        right = answers.answer(argv)
        answers.say(argv, "Last login: Fri Nov 27\n{{ <a> it's = broken |:\n\x00\n")
        done = psij_here("site", "generate", "--platform", name, "-o", "x.toml")
        if done.returncode:
            assert done.returncode == 4, done.stderr
            one_sentence_and_a_hint(done)
            assert not list(folder.iterdir())
        else:
            assert psij_here("site", "check", "./x.toml").returncode == 0
            (folder / "x.toml").unlink()
        answers.say(argv, right)


# ---- PBS --------------------------------------------------------------------------------------------------------


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


def test_another_managers_commands_are_not_asked(answers: Answers, folder: Path) -> None:
    answers.recorded(*ANSWERS["pbspro"]).say(("qsub", "--version"), "slurm-wlm 22.05.8\n")
    done = psij_here("site", "generate", "--platform", "pbspro", "-o", "x.toml")
    said, _ = one_sentence_and_a_hint(done)
    assert (done.returncode, "is Slurm's, not PBS Pro's" in said) == (4, True)


# ---- others -----------------------------------------------------------------------------------------------------


def test_torque(answers: Answers, folder: Path) -> None:
    made = document("torque", answers, folder)
    assert made["nodes"] == {"cpu": {"source": "manager", "count": 1, "cpus": 8, "memory": 24105}}
    assert made["queues"]["batch"] == {"source": "manager", "default": True, "strict": True, "max_nodes": 1}


def test_flux(answers: Answers, folder: Path) -> None:
    made = document("flux", answers, folder)
    assert made["nodes"] == {"cpu": {"source": "manager", "count": 4, "cpus": 8}}
    limits = {name: (queue["max_nodes"], queue["max_time"]) for name, queue in made["queues"].items()}
    assert limits == {"batch": (4, "1h"), "debug": (2, "1m"), "closed": (4, "1h")}
    assert made["queues"]["batch"]["default"] is True
    assert made["queues"]["closed"]["auto"] is False


def test_a_queue_of_flux_has_the_nodes_with_its_properties(answers: Answers, folder: Path) -> None:
    """`R` as RFC 20 of Flux describes it."""
    answers.recorded(*ANSWERS["flux"])
    parts = [
        {"rank": "0-1,3", "children": {"core": "0-95", "gpu": "0-3"}},
        {"rank": "2", "children": {"core": "0-31"}},
    ]
    execution = {
        "R_lite": parts,
        "nodelist": ["tuo[1001-1003]", "tuo2000"],
        "properties": {"pbatch": "0-1,3", "pdebug": "2"},
    }
    answers.say(("flux", "resource", "R"), json.dumps({"version": 1, "execution": execution}))
    needs = {name: {"requires": [word]} for name, word in {"batch": "pbatch", "debug": "pdebug"}.items()}
    answers.say(("flux", "config", "get"), json.dumps({"queues": {**needs, "closed": {}}}))
    made = generated("flux", folder / "x.toml")[1]
    assert {name: (node["cpus"], node.get("gpus")) for name, node in made["nodes"].items()} == {
        "gpu": (96, 4),
        "cpu": (32, None),
    }
    assert {name: (queue["node"], queue["max_nodes"]) for name, queue in made["queues"].items()} == {
        "batch": ("gpu", 3),
        "debug": ("cpu", 1),
        "closed": (["gpu", "cpu"], 4),
    }


def test_lsf(answers: Answers, folder: Path) -> None:
    """By its documentation: groups, a host that does not answer, one that does not run jobs."""
    site, made = document_and_site("lsf", answers, folder)
    cpu, gpu = made["nodes"]["cpu_64cpus"], made["nodes"]["teslav100_sxm2_32gb"]
    assert (cpu["cpus"], cpu["memory"]) == (64, 257434)
    assert (gpu["cpus"], gpu["gpus"]) == (48, {"kind": "nvidia", "ids": 4})
    queues = made["queues"]
    assert {name: queue["max_nodes"] for name, queue in queues.items()} == {
        "normal": 3,
        "gpu": 1,
        "night": 3,
        "old": 4,
    }
    assert (queues["normal"]["max_time"], queues["normal"]["max_cores"]) == ("24h", 128)
    assert (queues["gpu"]["max_time"], queues["gpu"]["node"]) == ("8h", "teslav100_sxm2_32gb")
    assert site.queues["normal"].default
    assert [name for name, queue in queues.items() if queue.get("auto") is False] == ["old"]
    assert "\n# only for users chem/ anna\n" in (folder / "x.toml").read_text()


def document_and_site(name: str, answers: Answers, folder: Path) -> Any:
    answers.recorded(*ANSWERS[name])
    return generated(name, folder / "x.toml")


def test_grid_engine(answers: Answers, folder: Path) -> None:
    made = document("gridengine", answers, folder)
    assert made["nodes"] == {"gpu": {"source": "manager", "count": 4, "cpus": 8, "memory": 24064, "gpus": 2}}
    assert made["parameters"] == {"gpu_resource": "ngpus", "node_pe": "smp"}
    assert made["queues"]["all.q"] == {"source": "manager", "max_nodes": 4, "array_max": 75000}
    assert made["queues"]["short.q"]["max_time"] == "1m"


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


def test_oar(answers: Answers, folder: Path) -> None:
    made = document("oar", answers, folder)
    assert made["nodes"] == {"cpu": {"source": "manager", "count": 2, "cpus": 8}}
    assert made["environment"]["OMPI_MCA_plm_rsh_agent"] == "oarsh"
    assert "queues" not in made


def test_properties_that_sites_of_oar_add_to_their_resources(answers: Answers, folder: Path) -> None:
    answers.recorded(*ANSWERS["oar"])
    output = Recorded.read(RECORDED / "oar/site/nodes.txt").output
    told = json.loads(output.stdout)
    for one in told.values():
        number = int(one["cpuset"])
        one |= {"core": one["resource_id"], "cpuset": f"{number},{number + 8}", "memnode": 65536, "cluster": "big"}
        one |= {
            "core_count": 8,
            "thread_count": 16,
            "gpu": 1 + number // 4 + 2 * (one["network_address"] == "node02"),
        }
    answers.say(output.argv, json.dumps(told))
    made = generated("oar", folder / "x.toml")[1]
    assert made["nodes"]["gpu"] == {
        "source": "manager",
        "count": 2,
        "cpus": 16,
        "threads_per_core": 2,
        "memory": 65536,
        "gpus": 2,
    }
    assert made["parameters"] == {"core_property": "core", "memory_property": "memnode"}


def test_htcondor(answers: Answers, folder: Path) -> None:
    made = document("htcondor", answers, folder)
    assert made["nodes"] == {"gpu": {"source": "manager", "count": 1, "cpus": 8, "memory": 16000, "gpus": 2}}
    assert "23.9.6" in made["sources"]["manager"]


def test_this_host_is_the_local_platforms_only_node(folder: Path) -> None:
    _, made = generated("local", folder / "x.toml")
    (node,) = made["nodes"].values()
    assert node["cpus"] == host.online()
