"""`site generate` on a real Slurm with two node types: the file as it stands is right, and jobs run with it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from psij_parsl import sites
from tests.cli.helpers import psij
from tests.clusters.slurm import SlurmCluster

pytestmark = pytest.mark.every_slurm


def changed(cluster: SlurmCluster, *changes: str) -> None:
    """Change the books; the controller is started again, for slurmdbd does not reach it where it is, to tell it."""
    for words in changes:
        cluster.run("sacctmgr", "--immediate", *words.split())
    cluster.stop_controller()
    cluster.start_controller()


@contextmanager
def configured(cluster: SlurmCluster, **settings: str) -> Iterator[None]:
    """With these lines of slurm.conf in the place of those that are there."""
    path = Path(cluster.env["SLURM_CONF"])
    before = path.read_text()
    after = before
    for key, value in settings.items():
        after = re.sub(rf"(?m)^{key}=.*$", f"{key}={value}", after)
    assert after != before
    _restart(cluster, path, after)
    try:
        yield
    finally:
        _restart(cluster, path, before)


def _restart(cluster: SlurmCluster, path: Path, text: str) -> None:
    path.write_text(text)
    cluster.stop_controller()
    cluster.start_controller()


_TRIAL = ("sbatch", "--test-only", "-p", "debug", "--qos=quick", "-t", "5", "--wrap=true")


def wait_for_reason(cluster: SlurmCluster, reason: str) -> None:
    """Until Slurm says why the one job waits; '' until it runs."""
    deadline = time.monotonic() + 30
    wanted = f"PENDING {reason}" if reason else "RUNNING None"
    while (said := cluster.run("squeue", "-h", "-o", "%T %r").strip()) != wanted:
        assert time.monotonic() < deadline, said
        time.sleep(0.2)


@pytest.fixture
def file(slurm_two_types: SlurmCluster, here: Path) -> Path:
    """The generated file; a user of that cluster has the QOS "quick" and "team" besides."""
    if subprocess.run(_TRIAL, capture_output=True, check=False).returncode != 0:
        changed(
            slurm_two_types,
            "add qos quick",
            "modify qos quick set maxwall=00:10:00 maxtresperjob=node=3 maxtresperuser=node=2 maxjobsperuser=1",
            "add qos team",
            "modify qos team set maxtresperaccount=cpu=12 grptres=gres/gpu=3 maxsubmitjobsperaccount=9",
            "modify user root set qos+=quick,team",
        )
        slurm_two_types.run(*_TRIAL)
    done = psij("site", "generate", "-o", "two.toml")
    assert (done.returncode, done.stdout) == (0, "two.toml\n"), done.stderr
    return here / "two.toml"


def test_the_file_passes_the_check_and_says_what_the_cluster_is(file: Path) -> None:
    done = psij("site", "check", str(file))
    assert done.returncode == 0, done.stdout
    document = tomllib.loads(file.read_text())
    assert document["detect"] == [{"cluster": "twotypes"}]
    assert {name: (node["cpus"], node["memory"], node.get("gpus")) for name, node in document["nodes"].items()} == {
        "a100": (8, 16000, {"kind": "nvidia", "ids": 2}),
        "cpu": (16, 32000, None),
    }
    queues = sites.find(None, file).queues
    assert {name: (queue.node_types, queue.max_nodes, queue.max_time_min) for name, queue in queues.items()} == {
        "debug": (("a100", "cpu"), 4, 30),
        "batch": (("a100", "cpu"), 4, 1440),
        "short": (("a100", "cpu"), 4, 1),
        "small": (("a100", "cpu"), 1, 120),
        "closed": (("a100", "cpu"), 4, 120),
        "large": (("cpu",), 1, 480),
        "high": (("a100", "cpu"), 4, 30),
        "quick": (("a100", "cpu"), 2, 10),
        "team": (("a100", "cpu"), 4, 30),
    }
    assert (queues["team"].max_cores, queues["team"].max_gpus) == (12, 3)
    assert queues["team"].project_jobs.queued == 9
    assert queues["quick"].jobs.running == 1
    assert [name for name, queue in queues.items() if queue.default] == ["debug"]


def test_jobs_run_with_the_file_as_it_stands(file: Path) -> None:
    in_types = {}
    for queue, more in (("large", "-c16"), ("quick", "-c8"), ("batch", "-g2")):
        done = psij(
            "run", "--config", str(file), "-q", queue, "-t", "5", more, "--", "sh", "-c", "echo $SLURMD_NODENAME"
        )
        assert done.returncode == 0, done.stderr
        in_types[queue] = done.stdout.strip()
    assert in_types["large"] == "node04"
    assert in_types["batch"] != "node04"


def test_the_file_passes_its_test_as_it_stands(file: Path) -> None:
    done = psij("site", "test", str(file), "--yes", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    checks = json.loads(done.stdout)["checks"]
    states = {(check["check"], check["where"]): check["state"] for check in checks if check["where"]}
    assert {states["hold", queue] for queue in sites.find(None, file).queues} == {"PASSED"}
    # by its GPUs a job chooses the one type; for the other there is a queue of its own
    for check in ("node", "spool"):
        assert (states[check, "debug, a100 nodes"], states[check, "large, cpu nodes"]) == ("PASSED", "PASSED")
    assert states["mpi", "debug, a100 nodes"] == states["gpu", "debug, a100 nodes"] == "PASSED"
    (mpi,) = (check for check in checks if (check["check"], check["where"]) == ("mpi", "large, cpu nodes"))
    assert (mpi["state"], mpi["text"]) == ("SKIPPED", "there is only 1 of these nodes")


def test_an_account_that_slurm_refuses_is_told_once(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").write_text(f'#!/bin/sh\necho >>"{asked}"\nexec {shutil.which("sbatch")} "$@"\n')
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    done = psij("site", "test", str(file), "--yes", "-A", "nosuch")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 passed, 1 failed," in done.stdout
    assert re.search(r"^hold +debug +FAILED .*Invalid account", done.stdout, re.MULTILINE)
    assert re.search(r"^hold +batch +SKIPPED .*for the same reason as above", done.stdout, re.MULTILINE)
    assert re.search(
        r"^node +large, cpu nodes +SKIPPED .*not submitted: the smallest job was refused", done.stdout, re.M
    )
    hint = next(line for line in done.stdout.splitlines() if line.startswith("hint: "))
    assert all(cause in hint for cause in ("account (-A)", "queue (-q) that is not open to you", "limit"))
    assert asked.read_text().count("\n") == len(sites.find(None, file).queues)


def test_a_job_that_its_users_limit_would_never_let_start_is_refused(
    slurm_two_types: SlurmCluster, here: Path, file: Path
) -> None:
    """By the QOS of jobs that name none, which Slurm lets wait for ever."""
    limits = "maxtresperuser=node={0},gres/gpu={0} maxtresperjob=cpu={0}"
    changed(slurm_two_types, f"modify qos normal set {limits.format(3)}")
    try:
        regenerated(file)
        queue = sites.find(None, file).queues["batch"]
        assert (queue.max_nodes, queue.max_cores, queue.max_gpus) == (3, 3, 3)
        assert "\n# with the limits of the QOS normal, in which jobs are that name no other\n" in file.read_text()
        said = slurm_two_types.run("sbatch", "-p", "batch", "-N", "4", "-t", "5", "--wrap=true")
        wait_for_reason(slurm_two_types, "QOSMaxNodePerUserLimit")
        slurm_two_types.run("scancel", said.split()[-1])
    finally:
        changed(slurm_two_types, f"modify qos normal set {limits.format(-1)}")


def test_a_partitions_own_qos_goes_before_that_of_the_job(
    slurm_two_types: SlurmCluster, here: Path, file: Path
) -> None:
    """The QOS quick lets a user have 2 nodes, and the partition's own 3: a job of 3 runs, and one of 4 never."""
    changed(slurm_two_types, "add qos own", "modify qos own set maxtresperuser=node=3 maxsubmitjobsperuser=9")
    try:
        slurm_two_types.run("scontrol", "update", "partitionname=debug", "qos=own")
        regenerated(file)
        queues = sites.find(None, file).queues
        assert (queues["debug"].max_nodes, queues["debug"].jobs.queued) == (3, 9)
        assert (queues["quick"].max_nodes, queues["quick"].jobs.running) == (3, 1)
        done = psij("run", "--config", str(file), "-q", "quick", "-N", "3", "-t", "5", "--", "echo", "it ran")
        assert (done.returncode, done.stdout) == (0, "it ran\n" * 3), done.stderr
        said = slurm_two_types.run("sbatch", "-p", "debug", "-N", "4", "-t", "5", "--wrap=true")
        wait_for_reason(slurm_two_types, "QOSMaxNodePerUserLimit")
        slurm_two_types.run("scancel", said.split()[-1])
    finally:
        slurm_two_types.run("scontrol", "update", "partitionname=debug", "qos=")
        changed(slurm_two_types, "delete qos own")


def regenerated(file: Path) -> str:
    done = psij("site", "generate", "-o", str(file), "--force")
    assert done.returncode == 0, done.stderr
    return file.read_text()


def becomes(cluster: SlurmCluster, reason: str, *words: str) -> None:
    """Slurm takes a job with these options, which then waits for that reason, or runs."""
    said = cluster.run("sbatch", *words, "--wrap=sleep 60")
    wait_for_reason(cluster, reason)
    cluster.run("scancel", said.split()[-1])
    cluster.wait_idle()


def test_what_slurm_would_let_wait_for_ever_is_refused(slurm_two_types: SlurmCluster, file: Path) -> None:
    """With EnforcePartLimits=NO; but a QOS that lifts the limits of partitions goes beyond them."""
    changed(slurm_two_types, "add qos beyond", "modify qos beyond set flags=PartitionTimeLimit,PartitionMaxNodes")
    try:
        with configured(slurm_two_types, EnforcePartLimits="NO"):
            assert "\n# EnforcePartLimits=NO: " in regenerated(file)
            assert all(queue.strict for queue in sites.find(None, file).queues.values())
            for queue, reason, flags in (
                ("small", "PartitionNodeLimit", ("-N", "2", "-t", "5")),
                ("short", "PartitionTimeLimit", ("-N", "1", "-t", "60")),
            ):
                becomes(slurm_two_types, reason, "-p", queue, *flags)
                done = psij("submit", "--config", str(file), "-q", queue, *flags, "--", "true")
                assert done.returncode == 2, f"{queue}: {done.stdout}{done.stderr}"
            changed(slurm_two_types, "modify user root set qos+=beyond")
            regenerated(file)
            beyond = sites.find(None, file).queues["beyond"]
            assert (beyond.max_nodes, beyond.max_time_min, beyond.strict) == (4, None, True)
            assert not sites.find(None, file).queues["small"].strict
            becomes(slurm_two_types, "", "-p", "small", "--qos=beyond", "-N", "2", "-t", "300")
    finally:
        changed(slurm_two_types, "modify user root set qos-=beyond", "delete qos beyond")


def test_a_limit_to_a_type_of_gpus_binds_only_who_names_it(slurm_two_types: SlurmCluster, file: Path) -> None:
    with configured(slurm_two_types, AccountingStorageTRES="gres/gpu,gres/gpu:a100"):
        changed(slurm_two_types, "modify qos quick set maxtresperjob=gres/gpu:a100=2")
        try:
            assert "\n# at most 2 GPUs a100 for a job that names the type" in regenerated(file)
            asked = ("--qos=quick", "-N", "2", "-t", "5")
            becomes(slurm_two_types, "", *asked, "--gpus-per-node=2")
            becomes(slurm_two_types, "QOSMaxGRESPerJob", *asked, "--gpus-per-node=a100:2")
            done = psij("render", "--site", str(file), "-q", "quick", "-N", "2", "-g", "2", "-t", "5", "--", "true")
            assert "\n#SBATCH --gpus-per-node=2\n" in done.stdout, done.stderr
        finally:
            changed(slurm_two_types, "modify qos quick set maxtresperjob=gres/gpu:a100=-1")


def test_associations_of_who_runs_it_are_told_and_bound_no_queue(slurm_two_types: SlurmCluster, file: Path) -> None:
    changed(
        slurm_two_types,
        "add qos others",
        "modify user where name=root account=proj2 set maxjobs=5 maxwall=01:00:00 maxtres=node=3",
    )
    try:
        text = regenerated(file)
        assert "who ran this, with the account proj2: maxwall=01:00:00 maxtres=node=3 maxjobs=5\n" in text
        assert "\n# left out, for no association of who ran this has them: the QOS others\n" in text
        batch = sites.find(None, file).queues["batch"]
        assert (batch.max_nodes, batch.max_time_min, batch.jobs.running) == (4, 1440, None)
    finally:
        changed(
            slurm_two_types,
            "modify user where name=root account=proj2 set maxjobs=-1 maxwall=-1 maxtres=node=-1",
            "delete qos others",
        )


def test_what_the_file_refuses_slurm_would_refuse(file: Path, slurm_two_types: SlurmCluster) -> None:
    for queue, nodes, minutes in (("small", 2, 60), ("large", 2, 60), ("debug", 1, 60), ("batch", 5, 60)):
        done = psij("submit", "--config", str(file), "-q", queue, "-N", str(nodes), "-t", str(minutes), "--", "true")
        assert done.returncode == 2, f"{queue}: {done.stdout}{done.stderr}"
        asked = ["sbatch", "-p", queue, "-N", str(nodes), "-t", str(minutes), "--wrap=true"]
        assert subprocess.run(asked, capture_output=True, check=False).returncode != 0, queue
    assert slurm_two_types.jobs() == []
