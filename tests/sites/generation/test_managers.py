"""What `site generate` makes of each manager's answers: recorded ones, and for LSF those of its documentation."""

from __future__ import annotations

import json
import re
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


# ---- others -----------------------------------------------------------------------------------------------------


def test_torque(answers: Answers, folder: Path) -> None:
    made = document("torque", answers, folder)
    assert made["nodes"] == {"cpu": {"source": "manager", "count": 1, "cpus": 8, "memory": 24105}}
    assert made["queues"]["batch"] == {"source": "manager", "default": True, "strict": True, "max_nodes": 1}


def test_limits_of_a_user_of_torque(answers: Answers, folder: Path) -> None:
    """As pbs_queue_attributes and pbs_server_attributes of Torque name them."""
    answers.recorded(*ANSWERS["torque"])
    for pattern, more in (
        (
            "torque/queues-f.txt",
            "max_user_queuable = 20\n    max_user_run = 6\n    resources_max.walltime = 12:00:00",
        ),
        ("torque/server-f.txt", "max_user_run = 4"),
    ):
        output = Recorded.read(RECORDED / pattern).output
        head, mark, tail = output.stdout.partition("\n    total_jobs")
        assert mark
        answers.say(output.argv, f"{head}\n    {more}{mark}{tail}")
    queue = generated("torque", folder / "x.toml")[1]["queues"]["batch"]
    assert (queue["jobs"], queue["max_time"]) == ({"running": 4, "queued": 20}, "12h")


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


def test_limits_of_flux_to_the_size_of_a_job(answers: Answers, folder: Path) -> None:
    """As RFC 33 and flux-config-policy(5) have them: a queue's go before the instance's, and -1 is none."""
    answers.recorded(*ANSWERS["flux"])

    def policy(**most: int) -> dict[str, Any]:
        return {"policy": {"limits": {"job-size": {"max": most}}}}

    queues = {"batch": policy(ncores=-1), "debug": policy(ngpus=0, nnodes=2), "closed": {}}
    answers.say(("flux", "config", "get"), json.dumps({**policy(ncores=24, ngpus=4), "queues": queues}))
    made = generated("flux", folder / "x.toml")[1]["queues"]
    assert {name: (queue.get("max_cores"), queue.get("max_gpus")) for name, queue in made.items()} == {
        "batch": (None, 4),
        "debug": (24, None),
        "closed": (24, 4),
    }
    assert made["debug"]["forbidden"] == ["gpus_per_rank"]


def test_the_slots_that_a_user_of_lsf_may_have_bound_a_job(answers: Answers, folder: Path) -> None:
    """JL/U and MAX in the table of `bqueues -l`, as its reference has it."""
    answers.recorded(*ANSWERS["lsf"])
    said = answers.answer(("bqueues", "-l"))
    for queue, limits in (("normal", "100   96"), ("gpu", "  -   24"), ("night", " 64    -")):
        head, tail = said[: said.index(f"QUEUE: {queue}\n")], said[said.index(f"QUEUE: {queue}\n") :]
        said = head + re.sub(r"(?m)^( 30    0  Open:\S+ +)-    -", rf"\g<1>{limits}", tail, count=1)
    answers.say(("bqueues", "-l"), said)
    made = generated("lsf", folder / "x.toml")[1]["queues"]
    assert {name: queue.get("max_cores") for name, queue in made.items()} == {
        "normal": 96,
        "gpu": 24,
        "night": 64,
        "old": None,
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


@pytest.mark.parametrize(
    ("told", "parameters"),
    [
        ("15\n", {"concurrency_limit_default": 15}),
        ("2308032\n", None),
        ("Not defined: CONCURRENCY_LIMIT_DEFAULT\n", None),
    ],
)
def test_how_much_a_pool_of_htcondor_has_of_a_limit_that_it_does_not_name(
    told: str, parameters: dict[str, int] | None, answers: Answers, folder: Path
) -> None:
    answers.say(["condor_config_val", "-negotiator", "CONCURRENCY_LIMIT_DEFAULT"], told)
    assert document("htcondor", answers, folder).get("parameters") == parameters


def test_this_host_is_the_local_platforms_only_node(folder: Path) -> None:
    _, made = generated("local", folder / "x.toml")
    (node,) = made["nodes"].values()
    assert node["cpus"] == host.online()
