"""What `site generate` makes of the answers of Slurm: recorded ones, and such with other QOS, partitions and nodes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from psij_parsl.platforms.tools import user_name
from psij_parsl.testing.replay import Recorded
from tests.cli.helpers import one_sentence_and_a_hint, psij_here
from tests.providers.readings import RECORDED
from tests.sites.generation.answers import Answers
from tests.sites.generation.test_generate import generated, slurm


def test_slurm_has_node_types_partitions_and_qos(answers: Answers, folder: Path) -> None:
    slurm(answers)
    site, document = generated("slurm", folder / "two.toml")
    nodes = document["nodes"]
    gpus = {"kind": "nvidia", "ids": 2}
    assert nodes["a100"] == {"source": "manager", "count": 3, "cpus": 8, "memory": 16000, "gpus": gpus}
    assert nodes["cpu"] == {"source": "manager", "count": 1, "cpus": 16, "memory": 32000}
    queues = document["queues"]
    assert list(queues) == ["debug", "batch", "short", "small", "closed", "large", "high", "quick", "team"]
    assert site.queues["debug"].default
    assert site.queues["debug"].node_types == ("a100", "cpu")
    assert site.queues["debug"].array_max is None
    assert site.queues["debug"].array_max_index == 2000  # MaxArraySize=2001, which no index reaches
    assert (site.queues["small"].max_nodes, site.queues["small"].max_time_min) == (1, 120)
    assert queues["large"]["node"] == "cpu"
    assert (queues["large"]["whole_nodes"], queues["large"]["max_nodes"]) == (True, 1)
    assert not site.queues["closed"].auto
    assert document["detect"][0].keys() == {"hostname"}  # no slurm.conf that names the cluster can be seen here


def test_a_qos_of_slurm_is_a_queue_within_its_partition(answers: Answers, folder: Path) -> None:
    slurm(answers)
    _, document = generated("slurm", folder / "two.toml")
    quick = document["queues"]["quick"]
    assert quick["parameters"] == {"partition": "debug", "qos": "quick"}
    assert (quick["max_nodes"], quick["max_time"]) == (2, "10m")  # the partition has 4 nodes and 30 minutes
    assert quick["jobs"] == {"running": 1, "queued": 2}
    assert "preemptable" not in quick  # the QOS high has it in its list, and no QOS preempts here
    text = (folder / "two.toml").read_text()
    assert "# auto = false  # its name is that of a queue for tests" in text[text.index("[queues.quick]") :]


@pytest.mark.parametrize(("grace", "key"), [("00:00:00", "preemptable"), ("00:02:00", "preempt_grace")])
def test_a_qos_that_others_preempt_is_preemptable(grace: str, key: str, answers: Answers, folder: Path) -> None:
    preempting(slurm(answers))
    qos = Recorded.read(RECORDED / "slurm/site/two-types.qos.txt").output
    answers.say(qos.argv, re.sub(r"(?m)^(quick.*)00:00:00", rf"\g<1>{grace}", qos.stdout))
    site, document = generated("slurm", folder / "two.toml")
    quick = document["queues"]["quick"]
    assert quick[key] == {"preemptable": True, "preempt_grace": "120s"}[key]
    assert not {"auto", "preemptable", "preempt_grace"} - {key} & quick.keys()
    assert [name for name, queue in site.queues.items() if queue.preempt_grace_s is not None] == ["quick"]
    assert not site.queues["quick"].can_be_chosen


def preempting(answers: Answers) -> None:
    """A cluster in which QOS preempt others."""
    config = Recorded.read(RECORDED / "slurm/site/two-types.config.txt").output
    text = config.stdout.replace("= preempt/none", "= preempt/qos").replace(
        "Mode             = OFF", "Mode = REQUEUE"
    )
    answers.say(config.argv, text)


def test_what_a_user_an_account_or_all_may_have_at_a_time_bounds_a_job(answers: Answers, folder: Path) -> None:
    slurm(answers)
    _, document = generated("slurm", folder / "two.toml")
    team = document["queues"]["team"]  # of a user 3 nodes, 12 CPUs and 4 GPUs, of an account 2 nodes, of all 3 GPUs
    assert (team["max_nodes"], team["max_cores"], team["max_gpus"]) == (2, 12, 3)
    assert team["project_jobs"] == {"running": 6, "queued": 9}
    assert "jobs" not in team


def qos(answers: Answers, *lines: str) -> Answers:
    """Slurm with these QOS in place of the recorded ones: as `name|limits`, with what does not matter left out."""
    output = Recorded.read(RECORDED / "slurm/site/two-types.qos.txt").output
    columns = output.argv[-1].removeprefix("format=").split(",")
    rows = []
    for line in lines:
        name, *said = line.split("|")
        told = {"name": name, "gracetime": "00:00:00", **dict(one.split(":", 1) for one in said)}
        assert told.keys() <= {*columns}
        rows.append("|".join(told.get(column, "") for column in columns))
    return slurm(answers).say(output.argv, "\n".join([*rows, ""]))


def of_partition(answers: Answers, name: str, qos_name: str) -> None:
    output = Recorded.read(RECORDED / "slurm/site/two-types.partition.txt").output
    changed = re.sub(rf"(PartitionName={name} .*?QoS=)N/A", rf"\g<1>{qos_name}", output.stdout)
    assert changed != output.stdout
    answers.say(output.argv, changed)


def test_a_partitions_own_qos_goes_before_that_of_the_job_unless_that_says_otherwise(
    answers: Answers, folder: Path
) -> None:
    own = "own|maxtrespu:node=3|maxwall:00:20:00|maxjobspu:5"
    job = "maxtrespu:node=2,cpu=4|maxwall:00:10:00|maxsubmitpu:7"
    qos(answers, "normal", own, f"quick|{job}", f"team|{job}|flags:OverPartQOS")
    of_partition(answers, "debug", "own")
    _, document = generated("slurm", folder / "two.toml")
    queues = document["queues"]
    debug, quick, team = (queues[name] for name in ("debug", "quick", "team"))
    assert (debug["max_nodes"], debug["max_time"], debug["jobs"]) == (3, "20m", {"running": 5})
    assert (quick["max_nodes"], quick["max_cores"], quick["max_time"]) == (3, 4, "20m")
    assert (team["max_nodes"], team["max_cores"], team["max_time"]) == (2, 4, "10m")
    assert quick["jobs"] == team["jobs"] == {"running": 5, "queued": 7}


def test_the_qos_of_jobs_that_name_none_bounds_those_of_partitions(answers: Answers, folder: Path) -> None:
    """Only a warning is given for it, as a job may name another."""
    qos(answers, "normal|maxtrespa:node=3|maxtrespu:gres/gpu=2|maxjobspu:4", "quick", "team")
    output = Recorded.read(RECORDED / "slurm/site/two-types.partition.txt").output
    answers.say(output.argv, re.sub(r"(PartitionName=batch .*?AllowQos=)ALL", r"\g<1>team", output.stdout))
    _, document = generated("slurm", folder / "two.toml")
    short, batch = document["queues"]["short"], document["queues"]["batch"]
    assert (short["max_nodes"], short["max_gpus"], short["jobs"]) == (3, 2, {"running": 4})
    assert (batch["max_nodes"], "max_gpus" in batch, "jobs" in batch) == (4, False, False)
    assert ("strict" in short, "strict" in batch) == (False, True)
    assert "# with the limits of the QOS normal" in (folder / "two.toml").read_text()


def config(answers: Answers, pattern: str, value: str) -> None:
    output = Recorded.read(RECORDED / "slurm/site/two-types.config.txt").output
    changed = re.sub(rf"({pattern} +)= .*", rf"\g<1>= {value}", output.stdout)
    assert changed != output.stdout
    answers.say(output.argv, changed)


@pytest.mark.parametrize("enforced", ["NO", "ANY"])
def test_queues_are_strict_also_where_slurm_lets_wait_what_is_beyond_a_partitions_limits(
    enforced: str, answers: Answers, folder: Path
) -> None:
    config(slurm(answers), "EnforcePartLimits", enforced)
    site, _ = generated("slurm", folder / "two.toml")
    assert all(queue.strict for queue in site.queues.values())
    text = (folder / "two.toml").read_text()
    assert ("\n# EnforcePartLimits=NO: Slurm takes a job beyond" in text) == (enforced == "NO")
    said, _ = one_sentence_and_a_hint(
        psij_here("submit", "--config", "./two.toml", "-q", "small", "-N", "2", "--", "true")
    )
    assert "queue small takes at most 1 node" in said


def test_a_qos_that_lifts_the_limits_of_partitions(answers: Answers, folder: Path) -> None:
    """Its own queue goes beyond them, and a partition that takes its jobs only warns."""
    flags = "flags:PartitionTimeLimit,PartitionMaxNodes"
    qos(answers, "normal", f"quick|{flags}|maxtrespu:node=9", f"team|maxwall:02:00:00|{flags}")
    output = Recorded.read(RECORDED / "slurm/site/two-types.partition.txt").output
    told = re.sub(r"(PartitionName=debug .*?MaxNodes=)UNLIMITED", r"\g<1>1", output.stdout)
    told = re.sub(r"(PartitionName=batch .*?AllowQos=)ALL", r"\g<1>normal", told)
    answers.say(output.argv, told)
    _, document = generated("slurm", folder / "two.toml")
    debug, batch, quick, team = (document["queues"][name] for name in ("debug", "batch", "quick", "team"))
    assert (debug["max_nodes"], debug["max_time"], "strict" in debug) == (1, "30m", False)
    assert (quick["max_nodes"], quick.get("max_time"), quick["strict"]) == (4, None, True)  # there are 4
    assert (team["max_nodes"], team["max_time"], team["strict"]) == (4, "2h", True)
    assert batch["strict"]
    assert (
        "\n# not strict, for jobs of the QOS quick, team may go beyond its limits\n"
        in (folder / "two.toml").read_text()
    )


def test_limits_to_a_type_of_gpus_are_told_for_they_bind_only_who_names_it(answers: Answers, folder: Path) -> None:
    qos(
        answers,
        "normal",
        "quick|maxtres:gres/gpu:a100=4,gres/gpu=8|maxtrespu:gres/gpu:a100=2",
        "team|grptres:gres/gpu=6",
    )
    _, document = generated("slurm", folder / "two.toml")
    assert (document["queues"]["quick"]["max_gpus"], document["queues"]["team"]["max_gpus"]) == (8, 6)
    quick = (folder / "two.toml").read_text().partition("[queues.quick]")[2].partition("\n\n")[0]
    assert "\n# at most 2 GPUs a100 for a job that names the type (gpus_per_node = a100:NUMBER)\n" in quick


def associations(answers: Answers, *rows: str) -> Answers:
    output = Recorded.read(RECORDED / "slurm/site/two-types.assoc.txt").output
    argv = [word.replace("=root", f"={user_name()}") for word in output.argv]
    return slurm(answers).say(argv, "".join(f"{row}\n" for row in rows))


def test_a_database_that_gives_no_answer_is_no_lack_of_associations(answers: Answers, folder: Path) -> None:
    output = Recorded.read(RECORDED / "slurm/site/two-types.assoc.txt").output
    argv = [word.replace("=root", f"={user_name()}") for word in output.argv]
    slurm(answers).say(argv, "", "sacctmgr: error: Problem talking to the database: Connection refused\n", rc=1)
    _, document = generated("slurm", folder / "two.toml")
    assert {"high", "quick", "team"} <= document["queues"].keys()
    text = (folder / "two.toml").read_text()
    assert "# sacctmgr does not tell the associations of who ran this" in text
    assert "no association" not in text


def test_limits_of_associations_are_told_for_they_are_a_persons(answers: Answers, folder: Path) -> None:
    associations(answers, "root|normal,team|||||||", "chem|normal,team||01:00:00|node=3|5||cpu=16|")
    site, _ = generated("slurm", folder / "two.toml")
    text = (folder / "two.toml").read_text()
    assert (
        "of who ran this, with the account chem: maxwall=01:00:00 maxtres=node=3 maxjobs=5 grptres=cpu=16\n" in text
    )
    assert "with the account root" not in text
    assert (site.queues["batch"].max_nodes, site.queues["batch"].jobs.running) == (4, None)


@pytest.mark.parametrize(
    ("rows", "left_out"),
    [
        (["chem|normal,team|||||||"], "high, quick"),
        (["chem||||||||"], "high, quick, team"),
        ([], "high, quick, team"),
    ],
)
def test_qos_that_no_association_has_are_told_and_left_out(
    rows: list[str], left_out: str, answers: Answers, folder: Path
) -> None:
    associations(answers, *rows)
    _, document = generated("slurm", folder / "two.toml")
    text = (folder / "two.toml").read_text()
    assert f"\n# left out, for no association of who ran this has them: the QOS {left_out}\n" in text
    assert not set(left_out.split(", ")) & document["queues"].keys()
    assert ("has no association with this cluster" in text) == (not rows)


def test_any_qos_can_be_chosen_where_slurm_enforces_none(answers: Answers, folder: Path) -> None:
    config(associations(answers), "AccountingStorageEnforce", "none")
    _, document = generated("slurm", folder / "two.toml")
    assert {"high", "quick", "team"} <= document["queues"].keys()


def test_limits_that_slurm_does_not_enforce_are_none(answers: Answers, folder: Path) -> None:
    qos(answers, "normal|maxtrespu:node=1", "team|maxtrespu:node=2")
    config(answers, "AccountingStorageEnforce", "associations,qos")
    site, _ = generated("slurm", folder / "two.toml")
    assert (site.queues["team"].max_nodes, site.queues["debug"].max_nodes) == (4, 4)


def test_a_limit_of_zero_is_one(answers: Answers, folder: Path) -> None:
    qos(answers, "normal", "quick|maxsubmitpu:0", "team|maxtrespu:gres/gpu=0")
    _, document = generated("slurm", folder / "two.toml")
    assert document["queues"]["quick"]["auto"] is False
    assert "\n# its QOS lets no job run\n" in (folder / "two.toml").read_text()
    assert document["queues"]["team"]["forbidden"] == ["gpus_per_rank"]
    asked = ("--config", "./two.toml", "-q", "team", "-g", "1", "--", "true")
    said, _ = one_sentence_and_a_hint(psij_here("submit", *asked))
    assert "must not ask for gpus_per_rank" in said


def test_node_types_that_only_a_feature_tells_apart_are_told_with_it(answers: Answers, folder: Path) -> None:
    lines = [
        f"NodeName={name} CPUTot={cpus} RealMemory=64000 AvailableFeatures={name[:-1]},ib Partitions=debug,batch"
        for name, cpus in (("skx1", 48), ("skx2", 48), ("icx1", 80), ("old1", 16))
    ]
    slurm(answers).say(("scontrol", "-o", "show", "node"), "\n".join(lines) + "\n")
    site, _ = generated("slurm", folder / "two.toml")
    text = (folder / "two.toml").read_text()
    assert site.queues["debug"].node_types == ("cpu_48cpus", "cpu_80cpus", "cpu_16cpus")
    assert '\n# parameters.constraint = "icx"  # a job that asks for this type then comes to no other\n' in text
    assert "\n# Nothing in a job's request tells cpu_48cpus and cpu_80cpus and cpu_16cpus apart:" in text
    assert "select a feature that its nodes alone have" in text
    chosen = text.replace("# parameters.constraint", "parameters.constraint")
    (folder / "two.toml").write_text(chosen)
    done = psij_here("render", "--site", "./two.toml", "-q", "debug", "-c", "80", "--", "true")
    assert "#SBATCH --constraint=icx\n" in done.stdout


def test_node_types_that_nothing_tells_apart_are_told_with_what_to_do(answers: Answers, folder: Path) -> None:
    lines = [
        f"NodeName={name} CPUTot={cpus} RealMemory=64000 AvailableFeatures={features} Partitions=debug,batch"
        for name, cpus, features in (("a1", 48, "ib"), ("a2", 48, "ib"), ("b1", 80, "ib,big"))
    ]
    slurm(answers).say(("scontrol", "-o", "show", "node"), "\n".join(lines) + "\n")
    generated("slurm", folder / "two.toml")
    queue = (folder / "two.toml").read_text().partition("[queues.debug]")[2].partition("\n\n")[0]
    assert "\n# Nothing in a job's request tells cpu_48cpus and cpu_80cpus apart:" in queue
    assert "given a feature" in queue
    assert "or a queue" in queue
    warned = json.loads(psij_here("site", "check", "./two.toml", "--json").stdout)[0]["warnings"]
    assert "nothing in a job's request tells" in warned[0]


def test_a_node_whose_memory_is_all_for_the_system_has_none_to_tell(answers: Answers, folder: Path) -> None:
    line = "NodeName=a1 CPUTot=4 RealMemory=100 MemSpecLimit=200 Partitions=debug\n"
    slurm(answers).say(("scontrol", "-o", "show", "node"), line)
    _, document = generated("slurm", folder / "two.toml")
    assert "memory" not in document["nodes"]["cpu"]


def test_the_cpus_of_a_qos_are_threads_where_those_of_a_node_are(answers: Answers, folder: Path) -> None:
    for cpus, cores in ((8, 6), (4, 12)):  # of 4 cores with two threads; of the QOS 12
        line = (
            f"NodeName=a1 CPUTot={cpus} Sockets=1 CoresPerSocket=4 ThreadsPerCore=2 RealMemory=8000 Partitions=debug"
        )
        slurm(answers).say(("scontrol", "-o", "show", "node"), line + "\n")
        (folder / "two.toml").unlink(missing_ok=True)
        _, document = generated("slurm", folder / "two.toml")
        assert document["queues"]["team"]["max_cores"] == cores


def test_what_queues_are_for_by_their_names_is_for_a_person_to_decide(answers: Answers, folder: Path) -> None:
    names = ("standby", "gpu-dev", "special", "qdev", "dtn", "Debug", "batch", "devotion")
    lines = [f"PartitionName={name} State=UP TotalNodes=4 MaxTime=60" for name in names]
    node = f"NodeName=a1 CPUTot=4 RealMemory=8000 Partitions={','.join(names)}\n"
    slurm(answers).say(("scontrol", "-o", "show", "partition"), "\n".join(lines) + "\n")
    answers.say(("scontrol", "-o", "show", "node"), node)
    generated("slurm", folder / "two.toml")
    sections = (folder / "two.toml").read_text().split("\n[queues.")
    said = {
        part.partition("]")[0]: re.findall(r"^# (\w+ = \w+)  # its name is (.*):", part, re.MULTILINE)
        for part in sections[1:]
    }
    assert {name: said[name] for name in names} == {
        "standby": [("preemptable = true", "that of a queue for jobs that may be preempted")],
        "special": [("auto = false", "that of a queue by request")],
        "dtn": [("auto = false", "that of a queue not for computing")],
        **{name: [("auto = false", "that of a queue for tests")] for name in ("gpu-dev", "qdev", "Debug")},
        "batch": [],
        "devotion": [],
    }


def test_without_slurms_accounting_there_are_partitions_alone(answers: Answers, folder: Path) -> None:
    qos = Recorded.read(RECORDED / "slurm/site/two-types.qos.txt").output.argv
    slurm(answers).say(qos, "", "sacctmgr: error: Problem talking to the database: Connection refused\n", rc=1)
    _, document = generated("slurm", folder / "two.toml")
    assert list(document["queues"]) == ["debug", "batch", "short", "small", "closed", "large"]
