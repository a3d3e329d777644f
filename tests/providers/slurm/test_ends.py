"""How jobs end on a real Slurm, with accounting and without, and what is said of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState, JobStatus
from psij_parsl.errors import JobFailed, Rejected
from psij_parsl.providers.slurm.scheduler import SlurmScheduler
from psij_parsl.testing.tools import PATIENCE_S, shell
from tests.cli.helpers import psij
from tests.clusters.slurm import SlurmCluster, installed_version
from tests.providers.slurm.helpers import Shims, finish, impatient, program, ran

pytestmark = [pytest.mark.every_slurm, pytest.mark.slow]

ComesTrue = Callable[..., None]

NOBODY = 65534  # an ordinary user

with_accounting = pytest.mark.parametrize("slurm", ["accounting"], indirect=True)


@pytest.fixture
def executor(slurm: SlurmCluster) -> BatchSchedulerExecutor:
    return BatchSchedulerExecutor("slurm", poll_s=0.4, settle_s=1.0)


# ---- ends ------------------------------------------------------------------------------------------------------


OUT_OF_TIME = """
executor = BatchSchedulerExecutor("slurm", poll_s=0.4)
job = executor.submit(Job(command=["sleep", "300"], wall_time_min=1))
executor.wait_until(executor.journal.find([job.id]), lambda found: found[0].state.name == "ACTIVE")
subprocess.run(["scontrol", "update", f"JobId={job.native_id}", "EndTime=now+1"], check=True)
print(json.dumps(job.wait(90).to_dict()))
"""


def test_a_job_out_of_wall_time_has_timed_out(
    slurm_accounting: SlurmCluster, slurm_plain: SlurmCluster, home: Path
) -> None:
    """On both kinds of Slurm at once, for it looks at the time only every half minute."""
    processes = [
        program(OUT_OF_TIME, env={**cluster.env, "PSIJ_PARSL_HOME": str(home / cluster.settings.cluster_name)})
        for cluster in (slurm_accounting, slurm_plain)
    ]
    for process in processes:
        code, out, said = finish(process)
        assert code == 0, said
        status = JobStatus.from_dict(json.loads(out))
        told = (status.state, status.reason, status.native)
        assert told == (JobState.FAILED, EndReason.TIMEOUT, "TIMEOUT"), status
        assert status.exit_code is None  # the end is the manager's doing, not the script's
        assert "wall time" in EndReason.TIMEOUT.hint


@pytest.mark.parametrize("while_running", [False, True], ids=["pending", "running"])
def test_a_job_that_somebody_else_cancels_is_canceled(
    executor: BatchSchedulerExecutor, slurm: SlurmCluster, while_running: bool
) -> None:
    job = executor.submit(shell("sleep 300", hold=not while_running))
    wanted = JobState.ACTIVE if while_running else JobState.QUEUED
    assert executor.wait_until(
        executor.journal.find([job.id]), lambda found: found[0].state is wanted, timeout=PATIENCE_S
    )
    slurm.run("scancel", job.native_id)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.native) == (JobState.CANCELED, "CANCELLED")
    assert bool(status.started) is while_running


def test_a_held_job_is_said_to_be_held(executor: BatchSchedulerExecutor) -> None:
    job = executor.submit(Job(command=["true"], hold=True))
    assert executor.wait_until(executor.journal.find([job.id]), lambda found: found[0].held, timeout=PATIENCE_S)
    status = job.status()
    assert status.state is JobState.QUEUED
    assert "Held" in status.message
    executor.release([job.id])
    assert job.wait(PATIENCE_S).state is JobState.COMPLETED


def test_a_job_held_later_is_said_to_be_held(executor: BatchSchedulerExecutor) -> None:
    first = executor.submit(shell("sleep 300"))
    job = executor.submit(Job(command=["true"], after=[f"afterany:{first.id}"]))
    executor.hold([job.id])
    assert executor.wait_until(executor.journal.find([job.id]), lambda found: found[0].held, timeout=PATIENCE_S)
    assert executor.cancel([first.id, job.id]) == [True, True]
    assert executor.wait([first.id, job.id], PATIENCE_S)


def test_a_job_in_a_closed_partition_stays_queued_and_says_why(executor: BatchSchedulerExecutor) -> None:
    job = executor.submit(Job(command=["true"], queue="closed"))
    assert executor.wait_until(
        executor.journal.find([job.id]), lambda found: bool(found[0].message == "PartitionDown"), timeout=PATIENCE_S
    )
    assert job.status().state is JobState.QUEUED
    job.cancel()
    assert job.wait(PATIENCE_S).state is JobState.CANCELED


IN_HIDDEN = """
executor = BatchSchedulerExecutor("slurm", poll_s=0.4, grace_s=1.0)
job = executor.submit(Job(command=["sleep", "6"], queue="small", directory="/"))
job.wait(300)
held = executor.submit(Job(command=["true"], queue="small", directory="/", hold=True))
time.sleep(1.0)
told = executor.status([held.id], urgent=True)[0]
executor.cancel([held.id])
print(json.dumps([job.status().state.name, told.held, held.wait(300).state.name]))
"""


@pytest.mark.parametrize("slurm", ["plain"], indirect=True)
def test_a_job_in_a_hidden_partition_is_seen_by_the_ordinary_user_whose_it_is(slurm: SlurmCluster) -> None:
    """A queue that others are to fill, say, or one that the user's group may use no more. Root sees all of them."""
    state = Path(tempfile.mkdtemp(dir="/tmp"))
    os.chown(state, NOBODY, NOBODY)
    slurm.run("scontrol", "update", "partitionname=small", "hidden=yes")
    try:
        places = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"), str(state))
        code, said, errors = finish(
            program(
                f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY}); os.chdir('/')\n{IN_HIDDEN}",
                env={**places, "PSIJ_PARSL_HOME": f"{state}/state", "PSIJ_PARSL_SYSROOT": "/", "PATH": os.defpath},
            )
        )
    finally:
        slurm.run("scontrol", "update", "partitionname=small", "hidden=no")
        shutil.rmtree(state)
    assert code == 0, errors
    assert json.loads(said) == ["COMPLETED", True, "CANCELED"]


def test_a_dependency_that_fails_is_the_reason(executor: BatchSchedulerExecutor) -> None:
    first = executor.submit(Job(command=["false"], hold=True))
    second = executor.submit(Job(command=["true"], after=[first.id]))
    executor.release([first.id])
    status = second.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.CANCELED, EndReason.DEPENDENCY)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a partition that does not exist": ({"queue": "nope"}, "queue"),
    "too long": ({"queue": "short", "wall_time_min": 5}, "wall_time_min"),
    "too many nodes": ({"num_nodes": 5, "job_mode": "script"}, "num_nodes"),
    "too many nodes for the partition": ({"num_nodes": 2, "queue": "small", "job_mode": "script"}, "num_nodes"),
    "more cores than a node has": ({"cpus_per_rank": 9}, "num_nodes"),
    "more memory than a node has": ({"memory_per_node": 900_000}, "memory_per_node"),
    "an unknown option": ({"parameters": {"directives": ["--no-such-option=1"]}}, ""),
    "a feature that no node has": ({"parameters": {"constraint": "tape"}}, "constraint"),
    "GPUs of a kind that there is none of": ({"parameters": {"gpus_per_node": "h300:1"}}, "num_nodes"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_request_that_can_never_run_is_refused_and_leaves_nothing(
    executor: BatchSchedulerExecutor, what: str
) -> None:
    fields, limit = REFUSED[what]
    with pytest.raises(Rejected) as caught:
        executor.submit(Job(command=["true"], **fields))
    assert caught.value.limit == limit
    assert caught.value.output  # Slurm's own words
    assert not executor.journal.entries()
    assert not list((executor.journal.home / "jobs").iterdir())


@with_accounting
def test_a_project_that_one_has_not_is_refused(executor: BatchSchedulerExecutor) -> None:
    with pytest.raises(Rejected) as caught:
        executor.submit(Job(command=["true"], project="nobody"))
    assert caught.value.limit == "project"
    assert executor.submit(Job(command=["true"], project="proj2")).wait(PATIENCE_S).state is JobState.COMPLETED


def test_an_array_of_twenty_with_one_failing_element(executor: BatchSchedulerExecutor) -> None:
    whole = executor.submit(shell("[ $PSIJ_ARRAY_INDEX != 13 ] || exit 13", array=tuple(range(20))))
    status = whole.wait(PATIENCE_S)
    assert (status.state, status.exit_code) == (JobState.FAILED, 13)
    assert status.message == "19 COMPLETED, 1 FAILED"
    ends = executor.status([f"{whole.id}_{index}" for index in range(20)])
    assert [index for index, end in enumerate(ends) if end.state is not JobState.COMPLETED] == [13]


def test_one_element_of_an_array_can_be_cancelled(executor: BatchSchedulerExecutor) -> None:
    whole = executor.submit(shell("sleep 1", array=(0, 1, 2), hold=True))
    assert executor.cancel([f"{whole.id}_1"]) == [True]
    executor.release([whole.id])
    assert executor.wait([whole.id], PATIENCE_S)
    states = [status.state.name for status in executor.status([f"{whole.id}_{index}" for index in range(3)])]
    assert states == ["COMPLETED", "CANCELED", "COMPLETED"]


def test_an_array_is_held_and_released_of_which_elements_have_ended_and_run(
    executor: BatchSchedulerExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    command = "sleep $((PSIJ_ARRAY_INDEX == 1 ? 300 : 0))"
    whole = executor.submit(shell(command, array=(0, 1, 2), cpus_per_rank=8, parameters={"nodelist": "node02"}))
    ids = [f"{whole.id}_{index}" for index in range(3)]
    found = executor.journal.find(ids)
    wanted = [JobState.COMPLETED, JobState.ACTIVE, JobState.QUEUED]
    assert executor.wait_until(found, lambda now: [each.state for each in now] == wanted, timeout=PATIENCE_S)
    executor.hold([whole.id])
    assert f"are not held: {ids[1]}" in caplog.text
    assert executor.wait_until(found, lambda now: now[2].held, timeout=PATIENCE_S)
    executor.release([whole.id])
    executor.cancel([ids[1]])
    assert executor.wait([whole.id], PATIENCE_S)
    assert executor.status(ids)[2].state is JobState.COMPLETED


# ---- nodes and daemons that die under a job ----------------------------------------------------------------------


def test_a_job_whose_node_dies_failed_for_that_reason(executor: BatchSchedulerExecutor, slurm: SlurmCluster) -> None:
    job = executor.submit(shell("sleep 300", parameters={"requeue": False, "nodelist": "node03"}))
    found = executor.journal.find([job.id])
    assert executor.wait_until(found, lambda statuses: statuses[0].state is JobState.ACTIVE, timeout=PATIENCE_S)
    slurm.kill_node("node03")
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.NODE_FAILURE)
    assert status.nodes == "node03"
    assert not (job.folder / "exit").exists()


def test_a_job_whose_node_dies_may_run_again_and_counts_once(
    executor: BatchSchedulerExecutor, slurm: SlurmCluster, comes_true: ComesTrue, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    text = f"echo x >>{log}; [ $(wc -l <{log}) = 2 ] || sleep 300"
    job = executor.submit(shell(text, parameters={"requeue": True, "nodelist": "node03"}))
    comes_true(lambda: ran(log) == 1)
    slurm.kill_node("node03")
    found = executor.journal.find([job.id])
    assert executor.wait_until(found, lambda statuses: statuses[0].attempt == 1, timeout=PATIENCE_S)
    assert job.status().state <= JobState.ACTIVE
    slurm.wait_for_messages()
    slurm.start_node("node03")
    slurm.run("scontrol", "update", f"JobId={job.native_id}", "StartTime=now")  # Slurm would wait two minutes
    status = job.wait(PATIENCE_S)
    assert (status.state, status.attempt, ran(log)) == (JobState.COMPLETED, 1, 2)


def test_jobs_do_not_notice_that_the_controller_is_started_again(
    slurm: SlurmCluster, comes_true: ComesTrue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", impatient(slurm.directory / "etc" / "slurm.conf", tmp_path))
    executor = BatchSchedulerExecutor("slurm", poll_s=0.4)
    go = tmp_path / "go"
    long = executor.submit(shell(f"until [ -e {go} ]; do sleep 0.1; done"))
    short = executor.submit(shell("sleep 1; exit 3"))
    queued = executor.submit(Job(command=["true"], hold=True))
    found = executor.journal.find([long.id, short.id, queued.id])
    assert executor.wait_until(found, lambda all_: all_[1].state is JobState.ACTIVE, timeout=PATIENCE_S)
    assert executor.wait_until(found, lambda all_: all_[0].state is JobState.ACTIVE, timeout=PATIENCE_S)
    slurm.stop_controller()
    comes_true(lambda: (short.folder / "exit").exists())
    assert [status.state.name for status in executor.statuses(found)] == ["ACTIVE", "ACTIVE", "QUEUED"]
    slurm.start_controller()
    seen: list[list[str]] = []

    def short_ended(statuses: Any) -> bool:
        seen.append([status.state.name for status in statuses])
        return bool(statuses[1].final)

    assert executor.wait_until(found, short_ended, timeout=PATIENCE_S)
    assert {states[0] for states in seen} == {"ACTIVE"}
    assert {states[2] for states in seen} == {"QUEUED"}
    assert executor.status([short.id])[0].exit_code == 3
    go.touch()
    assert long.wait(PATIENCE_S).state is JobState.COMPLETED
    assert queued.cancel()


@with_accounting
def test_jobs_come_and_go_while_accounting_is_down(executor: BatchSchedulerExecutor, slurm: SlurmCluster) -> None:
    slurm.stop_accounting()
    good, bad = executor.submit_many([shell("exit 0"), shell("exit 4", name="another", wall_time_min=3)])
    assert good.wait(PATIENCE_S).state is JobState.COMPLETED
    assert bad.wait(PATIENCE_S).exit_code == 4


# ---- a job inside a job --------------------------------------------------------------------------------------------


NESTED = """
import subprocess
from psij_parsl import BatchSchedulerExecutor, Job
inner = BatchSchedulerExecutor("slurm", poll_s=0.4).submit(Job(command=["env"], name="inner"))
print(inner.id, flush=True)
subprocess.run("env")
"""


def test_a_job_submitted_inside_a_job_has_nothing_of_its_parent(
    executor: BatchSchedulerExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_COMMENT", "psij:somebody-elses")
    monkeypatch.setenv("SBATCH_ARRAY_INX", "0-3")
    outer = executor.submit(
        Job(
            command=[sys.executable, "-c", NESTED],
            ranks_per_node=3,
            cpus_per_rank=2,
            job_mode="script",
            environment={"SLURM_HINT": "nomultithread"},
        )
    )
    inner_id, *lines = outer.result(PATIENCE_S).splitlines()
    inner = executor.submission(inner_id)
    told = dict(line.partition("=")[::2] for line in inner.result(PATIENCE_S).splitlines())
    parent = dict(line.partition("=")[::2] for line in lines)
    assert parent["SLURM_JOB_ID"] == outer.native_id
    assert (parent["SLURM_NTASKS"], parent["SLURM_CPUS_PER_TASK"]) == ("3", "2")
    assert told["SLURM_JOB_ID"] == told["PSIJ_NATIVE_ID"] == inner.native_id
    assert (told["SLURM_NTASKS"], told["SLURM_CPUS_PER_TASK"]) == ("1", "1")
    assert told["PSIJ_JOB_ID"] == inner.id
    assert not [name for name in told if name.startswith("SBATCH_") or name == "SLURM_HINT"]
    assert told["SLURM_CONF"] == parent["SLURM_CONF"]  # the client's own stays
    environment = (inner.folder / "environment").read_text()
    assert not re.search(r"^export SLURM_", environment, re.MULTILINE)
    entries = executor.journal.entries()
    assert entries[inner.id].cluster == entries[outer.id].cluster != ""


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({"SLURM_CONF": "/opt/slurm.conf"}, "SLURM_CONF=/opt/slurm.conf"),
        ({"SLURM_CONF": "/opt/slurm.conf", "SLURM_JOB_ID": "7"}, "SLURM_CONF=/opt/slurm.conf"),  # salloc's shell
        ({"SLURM_CONF": "/run/slurm/conf/slurm.conf", "SLURMD_NODENAME": "n1"}, ""),
        (
            {
                "SLURM_CONF": "/run/slurm/conf/slurm.conf",
                "SLURMD_NODENAME": "n1",
                "PSIJ_JOB_CLUSTER": "SLURM_CONF=/a",
            },
            "SLURM_CONF=/a",
        ),
        ({"SLURM_CLUSTERS": "other", "SLURMD_NODENAME": "n1", "PSIJ_JOB_CLUSTER": ""}, ""),  # the name apart
    ],
)
def test_a_job_in_a_job_is_of_the_same_cluster_though_slurmd_sets_slurm_conf(
    environ: dict[str, str], key: str
) -> None:
    assert SlurmScheduler().cluster(environ) == key


# ---- what Slurm alone says, of jobs that have no exit file of ours: its words differ by version -----------------


def attached(
    executor: BatchSchedulerExecutor, slurm: SlurmCluster, text: str, output: str = "/dev/null"
) -> JobStatus:
    """How a plain script ended, by Slurm's own word."""
    native = slurm.run("sbatch", "--parsable", f"--output={output}", "--wrap", text).strip()
    return executor.attach(native).wait(PATIENCE_S)


@pytest.mark.parametrize(
    ("text", "code", "number"),
    [("exit 3", 3, None), ("exit 137", 137, None), ("kill -9 $$", None, 9), ("kill -11 $$", None, 11)],
)
def test_codes_and_signals_of_a_plain_script_are_read_from_slurm(
    executor: BatchSchedulerExecutor, slurm: SlurmCluster, text: str, code: int | None, number: int | None
) -> None:
    status = attached(executor, slurm, text)
    assert (status.state, status.exit_code, status.signal) == (JobState.FAILED, code, number)
    assert "Raised" not in status.describe()


def test_an_output_path_that_is_not_there_is_made_since_23_02(
    executor: BatchSchedulerExecutor, slurm: SlurmCluster, tmp_path: Path
) -> None:
    made = installed_version() >= (23, 2)
    status = attached(executor, slurm, "true", f"{tmp_path}/none/such/out")
    assert status.state is (JobState.COMPLETED if made else JobState.FAILED)
    assert (tmp_path / "none" / "such" / "out").exists() is made


# ---- signals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sent", "code"), [("USR1", 7), ("HUP", 8)])
def test_a_signal_to_the_script_reaches_the_command_and_its_code_is_the_jobs(
    executor: BatchSchedulerExecutor, comes_true: ComesTrue, sent: str, code: int
) -> None:
    job = executor.submit(shell("trap 'exit 7' USR1; trap 'exit 8' HUP; echo ready; while :; do sleep 0.1; done"))
    assert job.stdout is not None
    printed = job.stdout
    comes_true(lambda: printed.exists() and printed.read_text() == "ready\n")
    executor.scheduler.signal(job.native_id, sent)
    assert job.wait(PATIENCE_S).exit_code == code


def test_the_code_of_a_command_that_takes_its_end_well_is_told(
    executor: BatchSchedulerExecutor, slurm: SlurmCluster, comes_true: ComesTrue
) -> None:
    """TERM comes to the script and to the command at once, and the command is quick."""
    job = executor.submit(shell("trap 'exit 9' TERM; echo ready; sleep 300 & wait"))
    assert job.stdout is not None
    printed = job.stdout
    comes_true(lambda: printed.exists() and printed.read_text() == "ready\n")
    slurm.run("scancel", "--full", "--signal=TERM", job.native_id)
    assert job.wait(PATIENCE_S).exit_code == 9


# ---- the manager's word and the exit file together -----------------------------------------------------------------


@pytest.mark.parametrize("code", [3, 137])
def test_an_exit_file_that_says_another_code_than_slurms_0_is_believed(
    executor: BatchSchedulerExecutor, slurm: SlurmCluster, comes_true: ComesTrue, code: int
) -> None:
    job = executor.submit(Job(command=["true"]))
    asked = ("squeue", "-h", "-t", "all", "-j", job.native_id, "-o", "%T")
    comes_true(lambda: slurm.run(*asked).strip() == "COMPLETED")
    words = (job.folder / "exit").read_text().split()
    (job.folder / "exit").write_text(" ".join([*words[:2], str(code), *words[3:]]) + "\n")
    status = job.wait(PATIENCE_S)
    assert (status.state, status.exit_code) == (JobState.FAILED, code)


def test_a_squeue_that_can_never_answer_is_an_error_and_the_exit_file_counts(
    executor: BatchSchedulerExecutor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Before 20.02 it knows no --me."""
    shims = Shims(tmp_path / "shims")
    monkeypatch.setenv("PATH", shims.path)
    shims.put("squeue", "echo \"squeue: unrecognized option '--me'\" >&2; exit 1")
    good, bad = executor.submit(Job(command=["true"])), executor.submit(shell("exit 3"))
    assert good.wait(PATIENCE_S).state is JobState.COMPLETED
    assert bad.wait(PATIENCE_S).exit_code == 3
    assert "only their exit files show how jobs ended" in caplog.text
    assert "unrecognized option" in caplog.text
    shims.take_away("squeue")


def test_the_managers_own_log_is_part_of_every_explanation(executor: BatchSchedulerExecutor, tmp_path: Path) -> None:
    """A node on which the script cannot run says so there, and nowhere else."""
    job = executor.submit(shell("echo from the job >&2; exit 3"))
    job.wait(PATIENCE_S)
    with open(job.folder / "manager.log", "a") as log:
        log.write("slurmstepd: error: Detected 1 oom_kill event in StepId=1.batch.\n")
    with pytest.raises(JobFailed, match=r"(?s)from the job.*oom_kill event"):
        job.result()
    waited = psij("wait", job.id)
    assert waited.returncode == 3
    assert "oom_kill event" in waited.stderr
    assert "oom_kill event" in psij("info", job.id).stdout
    assert "oom_kill event" in psij("logs", "--manager", job.id).stdout


def test_a_killed_job_is_out_of_memory_where_slurms_log_says_so(
    executor: BatchSchedulerExecutor, slurm: SlurmCluster, comes_true: ComesTrue
) -> None:
    job = executor.submit(shell("kill -9 $$"))
    asked = ("squeue", "-h", "-t", "all", "-j", job.native_id, "-o", "%T")
    comes_true(lambda: slurm.run(*asked).strip() == "FAILED")
    with open(job.folder / "manager.log", "a") as log:
        log.write("slurmstepd: error: Exceeded job memory limit at some point.\n")
    status = job.wait(PATIENCE_S)
    assert status.reason is EndReason.OUT_OF_MEMORY
    assert "Exceeded job memory limit" in status.message


def test_an_array_is_as_long_as_all_of_it_and_each_element_has_a_log_of_its_own(
    executor: BatchSchedulerExecutor,
) -> None:
    job = executor.submit(shell("sleep $((PSIJ_ARRAY_INDEX * 2))", array=(0, 1, 2)))
    status = job.wait(PATIENCE_S)
    assert status.started
    assert status.ended
    assert 4 <= status.ended - status.started < 60
    assert {path.name for path in job.folder.glob("manager.log*")} == {f"manager.log.{n}" for n in range(3)}
