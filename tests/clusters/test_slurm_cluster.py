"""The test cluster itself: that it is a cluster, breaks when told to, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.clusters import packages
from tests.clusters.hosts import ClusterError, CommandFailed, comes_true
from tests.clusters.processes import Process, every_process
from tests.clusters.slurm import SlurmCluster
from tests.clusters.slurm_conf import SlurmSettings

pytestmark = [pytest.mark.every_slurm, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]


def submit(cluster: SlurmCluster, *options: str) -> str:
    return cluster.run("sbatch", "--parsable", "--output=/dev/null", *options).strip()


def state(cluster: SlurmCluster, job: str) -> str:
    return cluster.run("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T").strip()


def wait_for_state(cluster: SlurmCluster, job: str, wanted: str, seconds: float = 60.0) -> None:
    assert comes_true(lambda: state(cluster, job) == wanted, seconds), f"{job} is {state(cluster, job)}"


def processes_that_know(text: str) -> list[Process]:
    def knows(process: Process) -> bool:
        folder = Path(f"/proc/{process.pid}")
        try:
            return text.encode() in (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            return False

    return [process for process in every_process() if process.pid != os.getpid() and knows(process)]


def test_each_node_is_another_host(slurm: SlurmCluster) -> None:
    names = subprocess.run(["srun", "-N", "4", "hostname"], capture_output=True, text=True, check=True).stdout
    assert sorted(names.split()) == ["node01", "node02", "node03", "node04"] == list(slurm.nodes)


def test_a_step_inside_a_job_reaches_the_other_nodes(slurm: SlurmCluster, tmp_path: Path) -> None:
    slurm.run(
        "sbatch", "--wait", "-N2", f"--output={tmp_path}/out", "--wrap", "echo $SLURM_CONF; timeout 20 srun hostname"
    )
    conf, *names = (tmp_path / "out").read_text().split()
    assert conf == slurm.env["SLURM_CONF"]
    assert sorted(names) == ["node01", "node02"]


def test_gpus_are_given_out(slurm: SlurmCluster) -> None:
    assert slurm.run("srun", "--gpus=2", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES").split() == ["0,1"]


@pytest.mark.parametrize("options", [("-p", "short", "-t", "5"), ("-p", "small", "-N", "2"), ("-N", "5")])
def test_limits_are_enforced_at_submit(slurm: SlurmCluster, options: tuple[str, ...]) -> None:
    with pytest.raises(CommandFailed):
        submit(slurm, *options, "--wrap", "true")


def test_the_daemons_listen_on_loopback_alone(slurm_accounting: SlurmCluster) -> None:
    addresses = slurm_accounting.addresses
    ports = {addresses.controller_port, addresses.node_port, addresses.accounting_port}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listeners = [local.split(":") for _, local, _, flag, *_ in lines if flag == "0A"]
    ours = [address for address, port in listeners if int(port, 16) in ports]
    assert len(ours) == 6  # four nodes, the controller, the accounting daemon
    assert {address[-2:] for address in ours} == {"7F"}  # 127.x.y.z, written backwards


def test_accounting_remembers_and_enforces(slurm_accounting: SlurmCluster) -> None:
    job = submit(slurm_accounting, "--account=proj2", "--qos=high", "--wrap", "exit 3")
    query = ("sacct", "--noheader", "-X", "-P", f"--jobs={job}", "--format=State,ExitCode,Account,QOS")
    assert comes_true(lambda: slurm_accounting.run(*query).strip() == "FAILED|3:0|proj2|high", 60.0)
    with pytest.raises(CommandFailed, match="Invalid account"):
        submit(slurm_accounting, "--account=nobodys", "--wrap", "true")


def test_the_plain_cluster_has_no_accounting(slurm_plain: SlurmCluster) -> None:
    with pytest.raises(CommandFailed, match="accounting storage is disabled"):
        slurm_plain.run("sacct")
    with pytest.raises(ClusterError, match="made without accounting"):
        slurm_plain.stop_accounting()


def test_two_clusters_at_once_know_nothing_of_each_other(
    slurm_accounting: SlurmCluster, slurm_plain: SlurmCluster
) -> None:
    submit(slurm_accounting, "--hold", "--wrap", "true")
    assert len(slurm_accounting.jobs()) == 1
    assert slurm_plain.jobs() == []
    assert slurm_accounting.run("scontrol", "show", "config") != slurm_plain.run("scontrol", "show", "config")
    slurm_accounting.cancel_all()


def test_a_killed_node_takes_its_jobs_along(slurm: SlurmCluster) -> None:
    job = submit(slurm, "--no-requeue", "-N2", "-w", "node02,node03", "--wrap", "srun sleep 600")
    wait_for_state(slurm, job, "RUNNING")
    slurm.kill_node("node03")
    wait_for_state(slurm, job, "NODE_FAIL", 60.0)
    assert slurm.node_states()["node03"].startswith("down")
    slurm.start_node("node03")
    slurm.wait_idle()


def test_a_job_survives_its_slurmd(slurm: SlurmCluster, tmp_path: Path) -> None:
    job = submit(
        slurm, "-w", "node01", "--wrap", f"touch {tmp_path}/runs; until [ -e {tmp_path}/end ]; do sleep 0.1; done"
    )
    assert comes_true((tmp_path / "runs").exists, 60.0)
    slurm.kill_slurmd_only("node01")
    slurm.start_node("node01")
    assert state(slurm, job) == "RUNNING"
    (tmp_path / "end").touch()
    wait_for_state(slurm, job, "COMPLETED")


def test_the_controller_keeps_its_jobs_over_a_restart(slurm: SlurmCluster) -> None:
    held = submit(slurm, "--hold", "--wrap", "true")
    running = submit(slurm, "--wrap", "sleep 600")
    wait_for_state(slurm, running, "RUNNING")
    slurm.stop_controller()
    slurm.start_controller()
    assert (state(slurm, held), state(slurm, running)) == ("PENDING", "RUNNING")


def test_a_paused_controller_answers_when_it_goes_on(slurm: SlurmCluster) -> None:
    slurm.pause_controller()
    with pytest.raises(CommandFailed, match="no answer within"):
        slurm.run("squeue", timeout=1.0)
    slurm.resume_controller()
    assert slurm.jobs() == []


def test_accounting_hears_of_a_job_that_ran_while_it_was_away(slurm_accounting: SlurmCluster) -> None:
    slurm_accounting.stop_accounting()
    with pytest.raises(CommandFailed, match="Connection refused"):
        slurm_accounting.run("sacct")
    job = submit(slurm_accounting, "--wrap", "true")
    wait_for_state(slurm_accounting, job, "COMPLETED")
    slurm_accounting.heal()
    assert "COMPLETED" in slurm_accounting.run("sacct", "--noheader", "-X", f"--jobs={job}", "--format=State")


def test_jobs_that_cling_to_life_are_cancelled(slurm: SlurmCluster) -> None:
    jobs = [submit(slurm, "--wrap", "trap '' TERM; sleep 600; sleep 600") for _ in range(4)]
    for job in jobs:
        wait_for_state(slurm, job, "RUNNING")
    submit(slurm, "--array=1-2000", "--hold", "--wrap", "true")
    slurm.cancel_all()
    assert slurm.jobs() == []


def test_all_faults_at_once_are_healed(slurm: SlurmCluster) -> None:
    job = submit(slurm, "-N4", "--wrap", "srun sleep 600")
    wait_for_state(slurm, job, "RUNNING")
    if slurm.settings.accounting:
        slurm.stop_accounting()
    slurm.kill_node("node01")
    slurm.kill_slurmd_only("node02")
    slurm.run("scontrol", "update", "nodename=node03", "state=drain", "reason=test")
    slurm.pause_controller()
    slurm.heal()
    slurm.cancel_all()
    slurm.wait_idle()
    assert len(slurm.run("srun", "-N", "4", "hostname").split()) == 4


@pytest.mark.cluster
def test_nothing_is_left_of_a_stopped_cluster() -> None:
    cluster = SlurmCluster(SlurmSettings(accounting=False, nodes=1))
    with cluster:
        directory = cluster.directory
        # It leaves its session and its parent, as a careless program does.
        submit(cluster, "--wrap", f"setsid sh -c 'exec sleep 600 # {directory}' & sleep 600")
        assert comes_true(lambda: any(p.program == "sleep" for p in processes_that_know(str(directory))), 60.0)
        mounts = Path("/proc/self/mounts").read_text()
        assert str(directory) not in mounts
    assert processes_that_know(str(directory)) == []
    assert not directory.exists()


@pytest.mark.cluster
def test_the_next_start_ends_what_a_killed_run_has_left() -> None:
    code = (
        "import time; from tests.clusters.slurm import *\n"
        "c = SlurmCluster(SlurmSettings(accounting=False, nodes=1)); c.start()\n"
        "print(c.directory, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        directory = Path(run.stdout.readline().strip())
        run.send_signal(signal.SIGKILL)
    assert processes_that_know(str(directory))
    with SlurmCluster(SlurmSettings(accounting=False, nodes=1)):
        assert not directory.exists()
        assert processes_that_know(str(directory)) == []


def test_a_directory_with_other_files_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("slurmctld") is None:
        pytest.skip("no cluster can be started here")
    directory = Path("/tmp") / f"psij-test-{os.getpid()}"
    directory.mkdir()
    (directory / "thesis.tex").touch()
    try:
        with pytest.raises(ClusterError, match="not empty"):
            SlurmCluster(SlurmSettings(accounting=False), directory).start()
        assert (directory / "thesis.tex").exists()
    finally:
        shutil.rmtree(directory)


@pytest.mark.parametrize("killed_before", [False, True])
@pytest.mark.parametrize("before", [None, "#!/bin/sh\nexit 0\n"])
def test_the_hosts_policy_is_put_back_after_an_install(
    before: str | None, killed_before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(packages, "_POLICY", policy)
    monkeypatch.setattr(packages, "_POLICY_ASIDE", tmp_path / "aside")
    if before is not None:
        policy.write_text(before)
    if killed_before:
        if before is not None:
            policy.rename(tmp_path / "aside")
        policy.write_text(packages._POLICY_TEXT)
    with packages._no_daemon_starts():
        assert subprocess.run(["sh", str(policy)], check=False).returncode == 101
    assert (policy.read_text() if policy.exists() else None) == before
    assert not (tmp_path / "aside").exists()


def test_each_of_two_clusters_of_one_accounting_is_reached_from_the_other(
    two_slurms: tuple[SlurmCluster, SlurmCluster],
) -> None:
    one, two = two_slurms
    submit(one, "--hold", "--wrap", "true")  # so that their ids differ
    there = submit(one, "-M", "two", "--hold", "--job-name=sent", "--wrap", "true")
    assert there.endswith(";two")
    job = there.partition(";")[0]
    assert two.run("squeue", "--noheader", f"--jobs={job}", "--format=%j").strip() == "sent"
    assert one.run("squeue", "-M", "two", "--noheader", f"--jobs={job}", "--format=%j").split()[-1] == "sent"
    one.run("scancel", "-M", "two", job)
    assert comes_true(lambda: two.jobs() == [], 30.0)
    assert len(one.jobs()) == 1
    assert submit(two, "-M", "one", "--hold", "--wrap", "true").endswith(";one")


def test_clusters_of_one_accounting_still_find_each_other_after_a_restart(
    two_slurms: tuple[SlurmCluster, SlurmCluster],
) -> None:
    one, two = two_slurms
    two.stop_controller()
    two.start_controller()
    assert submit(one, "-M", "two", "--wrap", "true").endswith(";two")
    with pytest.raises(ClusterError, match="cluster one's"):
        two.stop_accounting()


def test_a_controller_that_forgets_everything_counts_from_1_again(slurm: SlurmCluster) -> None:
    slurm.forget_everything()
    first = submit(slurm, "--hold", "--job-name=mine", "--wrap", "true")
    running = submit(slurm, "--wrap", "sleep 600")
    wait_for_state(slurm, running, "RUNNING")
    slurm.forget_everything()
    assert slurm.jobs() == []
    assert submit(slurm, "--hold", "--job-name=strangers", "--wrap", "true") == first == "1"


def test_a_job_is_accepted_whose_sbatch_says_that_it_failed(slurm: SlurmCluster) -> None:
    def sbatch(env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        line = ["sbatch", "--hold", "--wrap", "true"]
        return subprocess.run(line, env={**os.environ, **env}, capture_output=True, text=True, check=False)

    with slurm.munge_lost_before_answers() as lost:
        first = sbatch(lost.env)
        assert (first.returncode, first.stdout, len(slurm.jobs())) == (1, "", 1)
        assert re.search("authentication error|receive failure|Zero Bytes", first.stderr), first.stderr
        later = sbatch(lost.env)
        assert (later.returncode, len(slurm.jobs()), lost.cut_off) == (0, 2, 1)
        listed = subprocess.run(
            ["squeue", "--noheader"], env={**os.environ, **lost.env}, capture_output=True, check=True
        )
        assert len(listed.stdout.splitlines()) == 2
