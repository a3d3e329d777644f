"""What a site makes of a request: queues and what they render, node types, joined parameters, accounts, findings."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from psij_parsl import Job, site
from psij_parsl.api import Machine
from psij_parsl.errors import InvalidRequest, SiteError
from psij_parsl.jobs.journal import Journal
from psij_parsl.jobs.queue_load import jobs_in_queue
from psij_parsl.jobs.record import JobRecord
from psij_parsl.resources.allocation import Allocation
from psij_parsl.resources.node import Node
from psij_parsl.sites import json_schema
from psij_parsl.sites.matching import matches
from psij_parsl.states import JobState, JobStatus
from psij_parsl.testing.tools import comes_true
from tests.cli.helpers import psij_here

MACHINE = """
platform = "slurm"
parameters = { constraint = "scratch", licenses = ["lustre"], directives = ["--switches=2"] }
setup = ["site setup"]
environment = { WHO = "site", SITE = "1" }
choices = { constraint = ["scratch", "nvme", "gpu"] }

[nodes.cpu]
cpus = 64
threads_per_core = 2
memory = "200 GB"

[nodes.gpu]
cpus = 32
gpus = { kind = "nvidia", ids = 4, cpus = ["0-7", "8-15", "16-23", "24-31"] }
memory = "400 GB"
blocked = "0"
parameters = { constraint = "gpu" }
environment = { WHO = "gpu", GPU = "1" }
modules = ["cuda/12"]

[queues.batch]
node = ["cpu", "gpu"]
default = true
strict = true
tiers = [{ max_nodes = 10, max_time = "2h" }, { max_nodes = 100, max_time = "12h" }]
min_time = "5m"
array_max = 10

[queues.debug]
parameters = { partition = "batch", qos = "debug" }
node = ["cpu", "gpu"]
strict = true
auto = false
max_nodes = 2
max_time = "30m"
environment = { WHO = "queue" }
setup = ["queue setup"]

[queues.gpu]
node = "gpu"
gpus = "implied"
account = "{project}-gpu"
strict = true
max_nodes = 4
max_time = "2d"
required = ["project"]
forbidden = ["gres"]

[queues.soft]
node = "cpu"
max_nodes = 1
jobs = { queued = 3 }
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return made(tmp_path, MACHINE)


def made(folder: Path, text: str) -> Machine:
    path = folder / "machine.toml"
    path.write_text(text)
    return site(file=path)


def job(machine: Machine, **asked: Any) -> Job:
    return Job(**machine.complete({"command": ["app"], "wall_time_min": 10, **asked}))


def keys(machine: Machine, **asked: Any) -> list[tuple[str, str]]:
    """The level and key of each finding."""
    completion = machine.completion({"command": ["app"], "wall_time_min": 10, **asked})
    findings = [*completion.findings, *machine.check(Job(**completion.fields))]
    return [(finding.level, finding.key) for finding in findings]


def directives(machine: Machine, wanted: Job) -> list[str]:
    return [line[8:] for line in machine.executor().render(wanted).splitlines() if line.startswith("#SBATCH ")]


# ---- sizes of nodes ----------------------------------------------------------------------------------------------


PBS = """
platform = "pbspro"

[nodes.cpu]
cpus = 64
threads_per_core = 2
memory = "200 GB"

[nodes.gpu]
cpus = 32
gpus = { kind = "nvidia", ids = 4 }
"""


def _rendered(machine: Machine, **asked: Any) -> str:
    return machine.executor().render(job(machine, **asked))


def test_all_of_a_nodes_memory_is_what_its_type_has_and_nobody_else_is_there(tmp_path: Path) -> None:
    text = _rendered(made(tmp_path, PBS), memory_per_node="0")
    assert ":mem=204800mb" in text
    assert "place=scatter:exclhost" in text
    shared = _rendered(made(tmp_path, PBS), memory_per_node=0, parameters={"exclusive": "no"})
    assert ":mem=204800mb" in shared
    assert "exclhost" not in shared


def test_all_memory_is_refused_where_nobody_knows_how_much_that_is(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="pbspro platform cannot ask for all the memory of a node") as caught:
        _rendered(made(tmp_path, PBS), memory_per_node=0, gpus_per_rank=1)
    assert caught.value.hint.startswith("say how much")


def test_a_manager_that_has_a_word_for_all_memory_is_told_that(machine: Machine) -> None:
    assert "--mem=0" in directives(machine, job(machine, memory_per_node=0))
    assert "exclusive" not in job(machine, memory_per_node=0).parameters


# ---- queues --------------------------------------------------------------------------------------------------


def test_a_queue_is_what_people_say_and_renders_its_parameters(machine: Machine) -> None:
    by_name = job(machine, queue="debug")
    assert (by_name.queue, by_name.queue_name, by_name.parameters["qos"]) == ("batch", "debug", "debug")
    by_parameter = job(machine, parameters={"qos": "debug"})
    assert by_parameter == by_name
    assert job(machine, queue="batch", parameters={"qos": "debug"}) == by_name
    assert keys(machine, parameters={"qos": "debug"}, num_nodes=3) == [("refuse", "nodes")]


def test_another_quality_of_service_is_left_as_it_is_asked_for(machine: Machine) -> None:
    other = job(machine, queue="debug", parameters={"qos": "high"})
    assert (other.queue, other.parameters["qos"]) == ("batch", "high")
    assert job(machine, queue="batch", parameters={"qos": "high"}).queue_name == "batch"


def test_the_default_queue_is_not_named_to_the_manager_and_known_to_us(machine: Machine) -> None:
    plain = job(machine)
    assert (plain.queue, plain.queue_name, plain.node_type) == (None, "batch", "cpu")
    assert not any("partition" in line for line in directives(machine, plain))


def test_texts_are_read_before_a_queue_is_chosen_by_them(machine: Machine) -> None:
    numbers = {"command": ["true"], "num_nodes": 2, "wall_time_min": 60, "memory_per_node": 1024, "queue": "auto"}
    texts = {**numbers, "num_nodes": "2", "wall_time_min": "1h", "memory_per_node": "1G"}
    assert Job(**machine.complete(texts)) == Job(**machine.complete(numbers))


def test_settings_of_node_type_and_queue_come_after_the_sites(machine: Machine) -> None:
    gpu = job(machine, queue="debug", gpus_per_rank=1, environment={"MINE": "1"}, setup="mine")
    assert gpu.environment == {"WHO": "queue", "SITE": "1", "GPU": "1", "MINE": "1"}
    assert gpu.setup == ("site setup", "module load cuda/12", "queue setup", "mine")


def test_several_queues_are_each_checked_and_go_out_together(tmp_path: Path) -> None:
    text = 'platform = "slurm"\n[queues.a]\nmax_nodes = 4\nstrict = true\n[queues.b]\nmax_nodes = 2\nstrict = true\n'
    both = made(tmp_path, text + '[queues.c]\nparameters = { qos = "x" }\n')
    assert job(both, queue="a,b", num_nodes=2).queue == "a,b"
    assert keys(both, queue="a,b", num_nodes=3) == [("refuse", "nodes")]
    assert job(both, queue="a,z").queue == "a,z"
    assert keys(both, queue="a,z") == [("warn", "queue")]
    assert keys(both, queue="a,c") == [("refuse", "queue")]


# ---- node types ----------------------------------------------------------------------------------------------


def test_the_node_type_is_the_first_of_the_queues_that_can_hold_the_job(machine: Machine) -> None:
    assert job(machine).node_type == "cpu"
    gpu = job(machine, ranks_per_node=4, gpus_per_rank=1)
    assert (gpu.node_type, gpu.parameters["constraint"]) == ("gpu", "scratch&gpu")
    assert job(machine, parameters={"constraint": "gpu"}).node_type == "gpu"
    assert keys(machine, gpus_per_rank=5) == [("refuse", "gpus")]
    assert keys(machine, ranks_per_node=33) == [("refuse", "cpus")]
    assert keys(machine, ranks_per_node=32, gpus_per_rank=0, parameters={"constraint": "gpu"}) == [("refuse", "cpus")]
    assert keys(machine, memory_per_node=300 * 1024) == [("refuse", "memory")]
    assert keys(machine, gpus_per_rank=1, memory_per_node=300 * 1024) == []


def test_gpus_that_come_with_the_queue_are_checked_and_not_asked_for(machine: Machine) -> None:
    implied = job(machine, queue="gpu", project="p", ranks_per_node=4, gpus_per_rank=1)
    assert implied.gpus_on_node == 4
    assert not any(line.startswith(("--gpus", "--gres")) for line in directives(machine, implied))
    assert "rank.sh" in machine.executor().render(implied)  # which binds each rank to its GPU
    assert keys(machine, queue="gpu", project="p", gpus_per_rank=5) == [("refuse", "gpus")]


def test_a_run_inside_a_job_knows_its_nodes_by_the_jobs_variables_and_by_the_managers(machine: Machine) -> None:
    def found(queue: str = "", **environ: str) -> tuple[int | None, int] | None:
        hardware = machine.hardware_of(Allocation("slurm", "7", (Node("n1"),), queue=queue), environ)
        return hardware and (hardware.cpus, len(hardware.gpus))

    assert found(PSIJ_QUEUE="batch", PSIJ_NODE_TYPE="gpu") == (32, 4)
    assert found(PSIJ_QUEUE="soft") == (64, 0)
    assert found("soft") == (64, 0)
    assert found("gpu") == (32, 4)
    assert found("batch") is None  # it has both, and nobody says which


def test_a_job_is_told_its_queue_and_its_node_type(machine: Machine, home: Path) -> None:
    from psij_parsl.jobs.file_settings import FileSettings
    from psij_parsl.jobs.job_environment import environment_text
    from psij_parsl.platforms.registry import platform

    settings = FileSettings(template=platform("slurm").template_class, site="machine")
    text = environment_text(settings, job(machine, queue="debug", gpus_per_rank=1), {"PSIJ_QUEUE": "outer"})
    assert "export PSIJ_QUEUE=debug\nexport PSIJ_NODE_TYPE=gpu\n" in text
    assert "outer" not in text


# ---- parameters ----------------------------------------------------------------------------------------------


def test_parameters_of_a_user_join_the_sites_and_empty_ones_take_them_away(machine: Machine) -> None:
    asked = {"constraint": "nvme", "licenses": "matlab:2", "directives": ["--contiguous"]}
    together = job(machine, parameters=asked).parameters
    assert (together["constraint"], together["licenses"]) == ("scratch&nvme", "lustre,matlab:2")
    assert together["directives"] == ["--switches=2", "--contiguous"]
    assert job(machine, parameters={"constraint": "", "licenses": None, "directives": []}).parameters == {}
    once = job(machine, parameters={"constraint": "nvme&scratch"}).parameters["constraint"]
    assert once == "scratch&nvme"


def test_a_text_that_cannot_be_joined_replaces_the_sites(machine: Machine, tmp_path: Path) -> None:
    free = made(tmp_path, 'platform = "slurm"\nparameters = { constraint = "a", qos = "low" }')
    assert job(free, parameters={"constraint": "b|c"}).parameters["constraint"] == "b|c"
    assert job(free, parameters={"qos": "high"}).parameters["qos"] == "high"


def test_an_item_of_a_list_replaces_that_of_the_same_name(tmp_path: Path) -> None:
    pbs = made(tmp_path, 'platform = "pbspro"\nparameters = { chunk = ["system=a", "x=1"] }')
    assert job(pbs, parameters={"chunk": "x=2,y=3"}).parameters["chunk"] == ["system=a", "x=2", "y=3"]


def test_the_command_line_unsets_a_parameter_of_the_site(tmp_path: Path, machine: Machine) -> None:
    done = psij_here("render", "--config", str(tmp_path / "machine.toml"), "-X", "constraint=", "--", "true")
    assert done.returncode == 0, done.stderr
    assert "--licenses=lustre" in done.stdout
    assert "--constraint" not in done.stdout


def test_values_are_chosen_from_those_that_the_site_has(machine: Machine) -> None:
    with pytest.raises(InvalidRequest, match="'nvne' is no constraint on machine .did you mean 'nvme'.; see .*:6"):
        job(machine, parameters={"constraint": "nvne"})


# ---- projects ------------------------------------------------------------------------------------------------


def test_the_account_is_made_of_the_project_by_the_queues_rule(machine: Machine) -> None:
    assert job(machine, queue="gpu", project="abc").project == "abc-gpu"
    assert job(machine, queue="gpu", project="abc-gpu").project == "abc-gpu"
    assert job(machine, queue="batch", project="abc").project == "abc"
    assert keys(machine, queue="gpu") == [("refuse", "project")]


def test_jobs_folders_go_below_a_folder_of_the_project(tmp_path: Path) -> None:
    shared = made(tmp_path, f'platform = "local"\nspool = "{tmp_path}/{{project}}/spool"')
    (tmp_path / "abc").mkdir()
    executor = shared.executor()
    submitted = executor.submit(job(shared, project="abc"))
    folder = executor.journal.get(submitted.id).folder
    assert folder.parent == tmp_path / "abc" / "spool"
    assert submitted.wait().state is JobState.FAILED  # there is no program `app`
    for wrong in (None, "../abc", ".hidden"):
        with pytest.raises(InvalidRequest, match="below a folder of the project.*give -A"):
            executor.submit(job(shared, project=wrong))


def test_jobs_folders_go_below_the_project_and_not_below_the_account(tmp_path: Path) -> None:
    queue = '[queues.gpu]\ndefault = true\naccount = "{project}-gpu"\n'
    charged = made(tmp_path, f'platform = "local"\nspool = "{tmp_path}/{{project}}/spool"\n{queue}')
    (tmp_path / "abc").mkdir()
    told = job(charged, project="abc")
    assert (told.project, told.project_name) == ("abc-gpu", "abc")
    executor = charged.executor()
    submitted = executor.submit(told)
    assert executor.journal.get(submitted.id).folder.parent == tmp_path / "abc" / "spool"
    assert f"{tmp_path}/abc/spool/JOB" in executor.render(told)
    submitted.wait()


# ---- all at once ---------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_said_at_once(machine: Machine, tmp_path: Path) -> None:
    words = "-q gpu -N 5 -t 3d -g 9 -X gres=gpu:1 -X constraint=nvne --mem 999G"
    done = psij_here("submit", "--config", str(tmp_path / "machine.toml"), *words.split(), "--", "true")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the job is refused for 7 reasons" in done.stderr
    for said in (
        "at most 4 nodes",
        "run longer than 2 days",
        "asks for 9",
        "its project",
        "gres",
        "'nvne'",
        "409600 MB",
    ):
        assert said in done.stderr, done.stderr


def test_a_tier_without_a_least_number_of_nodes_begins_where_the_one_before_ends(machine: Machine) -> None:
    assert keys(machine, num_nodes=10, wall_time_min=121) == [("refuse", "time")]
    assert keys(machine, num_nodes=11, wall_time_min=121) == []
    assert keys(machine, num_nodes=101, wall_time_min=721) == [("refuse", "nodes"), ("refuse", "time")]
    assert keys(machine, wall_time_min=4) == [("refuse", "min_time")]
    assert keys(machine, array=tuple(range(11))) == [("refuse", "array")]


def test_node_hours_bound_the_time_by_the_nodes(tmp_path: Path) -> None:
    tiers = 'tiers = [{ max_nodes = 16, max_time = "48h", node_hours = 200 }, { max_nodes = 82, max_time = "24h" }]'
    large = made(tmp_path, f'platform = "slurm"\n[queues.gpu]\nstrict = true\n{tiers}')
    assert keys(large, queue="gpu", num_nodes=16, wall_time_min=750) == []
    assert keys(large, queue="gpu", num_nodes=16, wall_time_min=751) == [("refuse", "time")]
    assert keys(large, queue="gpu", num_nodes=2, wall_time_min=48 * 60) == []


# ---- the best queue ------------------------------------------------------------------------------------------


def test_the_best_queue_is_neither_for_tests_nor_one_whose_gpus_would_be_idle(machine: Machine) -> None:
    assert job(machine, queue="auto").queue_name == "batch"
    assert job(machine, queue="auto", wall_time_min=20, num_nodes=2).queue_name == "batch"
    assert (
        job(machine, queue="auto", num_nodes=4, wall_time_min=600, gpus_per_rank=1, project="p").queue_name == "gpu"
    )
    with pytest.raises(InvalidRequest, match="no queue of machine takes this job unasked") as caught:
        job(machine, queue="auto", num_nodes=101)
    assert "batch: takes at most 100 nodes" in str(caught.value)
    with pytest.raises(InvalidRequest, match="gpu: .*its project"):
        job(machine, queue="auto", num_nodes=4, wall_time_min=600, gpus_per_rank=1)


def test_matches_are_ordered_by_charge_and_then_by_the_shortest_time_that_suffices(tmp_path: Path) -> None:
    queues = {
        "dear": 'charge = 2.0\nmax_time = "1h"',
        "long": 'max_time = "2d"',
        "short": 'max_time = "2h"',
        "cheap": 'charge = 0.5\nmax_time = "9d"\npreempt_grace = "10m"',
        "tiny": "max_nodes = 1",
    }
    text = "".join(f"[queues.{name}]\nstrict = true\n{limits}\n" for name, limits in queues.items())
    several = made(tmp_path, f'platform = "slurm"\n{text}')
    found = matches(several, {"num_nodes": 2, "wall_time_min": 30})
    assert [match.queue.name for match in found] == ["short", "long", "dear", "cheap", "tiny"]
    assert [match.fits for match in found] == [True] * 4 + [False]
    assert job(several, queue="auto", num_nodes=2, wall_time_min=180).queue == "long"


def test_a_site_without_queues_leaves_the_choice_to_the_manager(tmp_path: Path) -> None:
    assert job(made(tmp_path, 'platform = "slurm"'), queue="auto").queue is None


# ---- jobs that are there already -------------------------------------------------------------------------------


def test_jobs_in_a_queue_are_counted_without_asking_the_manager(machine: Machine, home: Path) -> None:
    executor = machine.executor()
    journal: Journal = executor.journal

    def put(queue: str, site_name: str = "machine", array: tuple[int, ...] = ()) -> JobRecord:
        job_id, folder = journal.new_folder()
        return journal.intend(
            JobRecord(job_id, "slurm", str(folder), site_name, executor.cluster, array=array, queue=queue)
        )

    first, second = put("soft"), put("soft", array=(1, 2, 3))
    put("batch"), put("soft", "other")
    assert jobs_in_queue(executor, "soft") == 4
    journal.end({(first.id, ""): JobStatus(JobState.COMPLETED)})
    second.element_folder("2").mkdir()
    (second.element_folder("2") / "exit").write_text("")
    assert jobs_in_queue(executor, "soft") == 2
    put("batch,soft")
    assert jobs_in_queue(executor, "soft") == 3


def test_jobs_that_somebody_cancelled_by_the_managers_own_command_keep_no_other_out(here: Path) -> None:
    text = 'platform = "local"\n[queues.few]\ndefault = true\nstrict = true\njobs = { queued = 2 }\n'
    machine = made(here, text)
    words = ("submit", "--site", "./machine.toml", "--hold", "--", "true")
    first, second = (psij_here(*words).stdout.strip() for _ in range(2))
    refused = psij_here(*words)
    assert (refused.returncode, "2 of yours there" in refused.stderr) == (2, True)
    executor = machine.executor()
    executor.scheduler.qdel([executor.submission(first).native_id])
    comes_true(lambda: psij_here(*words).returncode == 0)
    executor.cancel([job.id for job in executor.list()])
    assert executor.submission(second).wait().state is JobState.CANCELED


def test_a_queue_that_is_full_is_told_before_submission(machine: Machine, home: Path, tmp_path: Path) -> None:
    words = ("render", "--config", str(tmp_path / "machine.toml"), "-q", "soft", "--array", "1-4", "--", "true")
    done = psij_here(*words)
    assert done.returncode == 0
    assert "queue soft takes 3 jobs of a user at most: 0 of yours there, and this array has 4" in done.stderr


def test_compute_nodes_may_know_the_spool_by_another_path(tmp_path: Path) -> None:
    (tmp_path / "login").mkdir()
    (tmp_path / "node").symlink_to(tmp_path / "login")
    spool = f'{{ path = "{tmp_path}/login/{{project}}", on_nodes = "{tmp_path}/node/{{project}}" }}'
    other = made(tmp_path, f'platform = "local"\nspool = {spool}')
    executor = other.executor()
    told = Job(
        **other.complete({"command": ["bash", "-c", "echo $PSIJ_JOB_FOLDER"], "project": "p", "job_mode": "serial"})
    )
    submitted = executor.submit(told)
    folder = executor.journal.get(submitted.id).folder
    assert folder == tmp_path / "login" / "p" / submitted.id
    assert submitted.result() == f"{tmp_path}/node/p/{submitted.id}\n"
    after = Job(**other.complete({"command": ["true"], "project": "p", "after": [submitted.id]}))
    assert executor.submit(after).wait().state is JobState.COMPLETED
    (tmp_path / "script.sh").write_text("#!/bin/bash\n#PSIJ -t 5\nenv | grep ^PSIJ_JOB_FOLDER; echo $0")
    words = ("run", "--config", str(tmp_path / "machine.toml"), "-A", "p", "--", str(tmp_path / "script.sh"))
    (tmp_path / "script.sh").chmod(0o755)
    assert psij_here(*words).stdout.count(f"{tmp_path}/node/p/") == 2  # its lines are read, so a copy of it runs
    words = (*words[:-2], str(tmp_path / "script.sh"))
    assert psij_here(*words).stdout.count(f"{tmp_path}/node/p/") == 2
    assert psij_here("submit", *words[1:-1], "--hold", words[-1]).returncode == 0
    assert psij_here("clean", "--older-than", "0").returncode == 0
    assert [*(tmp_path / "login/p/scripts").iterdir()]  # the held job will run it
    assert psij_here("cancel", "last").returncode == 0


def test_a_file_that_builds_on_another_takes_a_queue_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base.toml").write_text('platform = "slurm"\n[queues.a]\nstrict = true\n[queues.b]\nstrict = true\n')
    monkeypatch.setenv("PSIJ_PARSL_SITE_PATH", str(tmp_path))
    text = 'extends = "base"\n[queues]\na = false\nb.max_nodes = 3\n'
    less = made(tmp_path, text)
    jsonschema.validate(tomllib.loads(text), json_schema())
    assert ([*less.queues], less.queues["b"].max_nodes) == (["b"], 3)
    assert keys(less, queue="a") == [("refuse", "queue")]
    assert not any("queues.a" in row.key for row in less.rows)
    with pytest.raises(SiteError, match=r"machine.toml:3: queues.a: must be a table, not false"):
        made(tmp_path, 'extends = "slurm"\n[queues]\na = false\n')
