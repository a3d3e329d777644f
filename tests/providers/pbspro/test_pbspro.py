"""PBS Pro over a simulated server that really runs jobs: what only PBS has."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState
from psij_parsl.errors import InvalidRequest, Rejected
from psij_parsl.providers.pbspro.allocation import allocation
from psij_parsl.providers.pbspro.template import array_range, depend
from psij_parsl.testing.tools import PATIENCE_S, comes_true, ended, shell
from tests.cli.helpers import psij, psij_here
from tests.parsl.helpers import PARSL_IS_UNTIDY, apps, config, loaded
from tests.simulated.server import Simulated

Executor = Callable[..., BatchSchedulerExecutor]


@pytest.fixture
def executor(pbspro: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BatchSchedulerExecutor:
    monkeypatch.chdir(tmp_path)
    return pbspro(grace_s=0.5, settle_s=0.5)


# ---- what a job gets ---------------------------------------------------------------------------------------------


def test_a_job_on_several_nodes_has_each_host_once_and_its_threads(executor: BatchSchedulerExecutor) -> None:
    job = shell(
        "cat $PSIJ_NODEFILE; echo $OMP_NUM_THREADS; pwd",
        num_nodes=2,
        ranks_per_node=2,
        cpus_per_rank=3,
        job_mode="script",
        environment={"X": "1"},
    )
    assert executor.submit(job).result(PATIENCE_S).split()[:3] == ["node01", "node02", "3"]


def test_ranks_without_a_number_of_nodes_are_chunks_that_may_share_one(executor: BatchSchedulerExecutor) -> None:
    job = shell("wc -l <$PBS_NODEFILE; sort -u $PSIJ_NODEFILE | wc -l", num_nodes=None, ranks=5, job_mode="script")
    ranks, nodes = map(int, executor.submit(job).result(PATIENCE_S).split())
    assert ranks == 5
    assert 1 <= nodes <= 5


def test_of_an_array_no_more_elements_run_at_a_time_than_it_says(
    executor: BatchSchedulerExecutor, tmp_path: Path
) -> None:
    text = "echo 1 >>log; sleep 0.5; echo -1 >>log"
    array = executor.submit(shell(text, array="0-5%2", directory=tmp_path))
    assert array.wait(PATIENCE_S).state is JobState.COMPLETED
    steps = [int(line) for line in (tmp_path / "log").read_text().split()]
    assert len(steps) == 12
    assert max(sum(steps[: at + 1]) for at in range(len(steps))) <= 2


def test_chunks_placement_and_resources_are_asked_for(executor: BatchSchedulerExecutor) -> None:
    job = Job(
        command=["x"],
        num_nodes=10,
        ranks_per_node=4,
        cpus_per_rank=2,
        threads_per_core=2,
        gpus_per_rank=1,
        memory_per_node=4096,
        wall_time_min=90,
        queue="prod",
        project="X",
        after=["1.head", "3.head", "afterany:2[].head"],
        parameters={
            "chunk": "system=polaris",
            "filesystems": "home:eagle",
            "resources": ["software=a", "arch=b"],
            "place": "scatter:excl",
            "rerunnable": "yes",
            "priority": -3,
            "mail_events": "ae",
            "mail_user": "a@b.org",
            "group_list": "g",
        },
    )
    lines = re.findall(r"^#PBS .*$", executor.render(job), re.MULTILINE)
    assert [line for line in lines if line[5:7] not in ("-o", "-N", "-S", "-j", "-v")] == [
        "#PBS -l select=10:ncpus=16:mpiprocs=4:ngpus=4:mem=4096mb:system=polaris",
        "#PBS -l place=scatter:excl",
        "#PBS -l walltime=1:30:00",
        "#PBS -l filesystems=home:eagle",
        "#PBS -l software=a",
        "#PBS -l arch=b",
        "#PBS -q prod",
        "#PBS -A X",
        "#PBS -r y",
        "#PBS -p -3",
        "#PBS -W group_list=g",
        "#PBS -m ae",
        "#PBS -M a@b.org",
        "#PBS -W depend='afterok:1.head:3.head,afterany:2[].head'",
    ]


def test_the_project_is_the_account_or_the_project_as_the_site_has_it(executor: BatchSchedulerExecutor) -> None:
    assert "\n#PBS -A chem\n" in executor.render(Job(command=["x"], project="chem"))
    text = executor.render(Job(command=["x"], project="chem", parameters={"charge_to": "project"}))
    assert "\n#PBS -P chem\n" in text
    assert "#PBS -A" not in text


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"chunk": "ncpus=4"}, "ncpus"),
        ({"chunk": "a=1+2"}, "another chunk"),
        ({"resources": "walltime=9"}, "walltime"),
        ({"resources": "x"}, "name=value"),
        ({"place": "anywhere"}, "placement"),
        ({"filesystems": "a b"}, "colons"),
        ({"charge_to": "me"}, "account, project"),
    ],
)
def test_a_parameter_that_breaks_its_rule_is_refused(
    executor: BatchSchedulerExecutor, parameters: dict[str, str], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        executor.render(Job(command=["x"], parameters=parameters))


def test_an_array_is_a_range_and_what_it_holds_too_many_ends_at_once(executor: BatchSchedulerExecutor) -> None:
    assert array_range("0-9") == "0-9"
    assert array_range("0,5,10,15") == "0-15:5"
    assert array_range("7") == "7-8 7"
    assert array_range("0-2,7") == "0-7 0,1,2,7"
    with pytest.raises(InvalidRequest, match="1001 elements for 3"):
        array_range("0,999,1000")
    whole = executor.submit(shell("echo $PSIJ_ARRAY_INDEX >>log", array=(5,)))
    assert ended(whole) is JobState.COMPLETED
    assert Path("log").read_text() == "5\n"


def test_dependencies_are_one_word_with_each_kind_once() -> None:
    assert depend(["afterok:1.a", "afterany:2.a", "afterok:3.a"]) == "afterok:1.a:3.a,afterany:2.a"


def test_pbs_job_variables_do_not_leak_into_another_job(
    executor: BatchSchedulerExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PBS_JOBID", "PBS_NODEFILE", "PBS_O_WORKDIR", "PBS_ARRAY_INDEX", "NCPUS", "PBS_JOBDIR"):
        monkeypatch.setenv(name, "outer")
    monkeypatch.setenv("PBS_CONF_FILE", "/etc/other.conf")
    job = executor.submit(shell("env"))
    said = job.result(PATIENCE_S)
    assert "=outer" not in said
    assert f"PBS_JOBID={job.native_id}" in said
    assert "PBS_CONF_FILE=/etc/other.conf" in said


def test_the_allocation_is_read_from_the_job(executor: BatchSchedulerExecutor) -> None:
    job = executor.submit(shell("env; cat $PBS_NODEFILE >nodefile", num_nodes=2, ranks_per_node=2, job_mode="script"))
    environ = dict(line.split("=", 1) for line in job.result(PATIENCE_S).splitlines() if "=" in line)
    found = allocation({**environ, "PBS_NODEFILE": "nodefile"})
    assert found is not None
    assert (found.platform, found.id, found.cluster) == ("pbspro", job.native_id, "head")
    assert [(node.name, len(node.cpus)) for node in found.nodes] == [("node01", 2), ("node02", 2)]
    assert allocation({}) is None
    assert allocation({**environ, "PBS_NUM_PPN": "2"}) is None  # Torque's


# ---- ends --------------------------------------------------------------------------------------------------------


def test_a_job_that_runs_out_of_wall_time_says_so(executor: BatchSchedulerExecutor, pbs: Simulated) -> None:
    job = executor.submit(shell("sleep 60"))
    pbs.run("qalter", "-l", "walltime=1", job.native_id)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.TIMEOUT)
    assert "walltime" in status.message


def test_the_end_of_a_running_job_is_told(executor: BatchSchedulerExecutor) -> None:
    job = executor.submit(shell("sleep 60", wall_time_min=30))
    comes_true(lambda: job.status().state is JobState.ACTIVE)
    begin = executor.status([job.id])[0].started
    assert executor.scheduler.end_time(job.native_id) == (begin or 0) + 1800
    job.cancel()
    assert ended(job) is JobState.CANCELED


def test_a_job_whose_dependency_failed_is_cancelled_for_that_reason(executor: BatchSchedulerExecutor) -> None:
    """PBS deletes it without an exit status, and calls its substate that of a success."""
    first = executor.submit(shell("sleep 0.5; exit 4"))
    second = executor.submit(Job(command=["true"], after=[first.id]))
    status = second.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.CANCELED, EndReason.DEPENDENCY)
    assert first.native_id in status.message


def test_a_deleted_element_is_cancelled_and_the_others_go_on(
    executor: BatchSchedulerExecutor, pbs: Simulated
) -> None:
    whole = executor.submit(shell("[ $PSIJ_ARRAY_INDEX = 0 ] || sleep 60", array=(0, 1, 2)))
    first, second, third = (executor.submission(f"{whole.id}_{index}") for index in range(3))
    assert ended(first) is JobState.COMPLETED
    assert second.native_id == whole.native_id.replace("[]", "[1]")
    comes_true(lambda: second.status().state is JobState.ACTIVE)
    assert second.cancel()
    assert ended(second) is JobState.CANCELED
    assert third.status().state is JobState.ACTIVE
    whole.cancel()
    assert ended(third) is JobState.CANCELED


def test_a_job_that_was_requeued_runs_again_under_the_same_id(
    executor: BatchSchedulerExecutor, pbs: Simulated, tmp_path: Path
) -> None:
    job = executor.submit(shell("echo x >>runs; [ $(wc -l <runs) = 2 ] || sleep 60", directory=tmp_path))
    comes_true((tmp_path / "runs").exists)
    pbs.run("qrerun", job.native_id)
    status = job.wait(PATIENCE_S)
    assert (status.state, status.attempt) == (JobState.COMPLETED, 1)


def test_a_signal_ends_a_job_that_does_not_take_it_as_pbs_tells(executor: BatchSchedulerExecutor) -> None:
    """It goes to every process, the login shell around the script included."""
    job = executor.submit(shell("sleep 60"))
    comes_true(lambda: (job.folder / "claim").is_symlink())
    comes_true(lambda: job.status().state is JobState.ACTIVE)
    executor.scheduler.signal(job.native_id, "USR1")
    status = job.wait(PATIENCE_S)
    assert (status.state, status.signal) == (JobState.FAILED, 10)


def test_a_cancel_on_a_dead_node_is_carried_out_later_and_the_way_out_is_told(
    executor: BatchSchedulerExecutor, pbs: Simulated, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (executor.submit(shell("sleep 60", cpus_per_rank=8)) for _ in range(2))  # a node each
    comes_true(lambda: all(job.status().state is JobState.ACTIVE for job in (first, second)))
    pbs.control(down_nodes=["node01"])
    assert first.status().state is JobState.ACTIVE
    assert executor.cancel([first.id, second.id]) == [True, True]
    [said] = [line for line in caplog.messages if "out of reach" in line]
    assert said.startswith(f"{first.native_id} ")
    assert "qdel -W force" in said
    assert executor.journal.get(first.id).cancel_asked("")
    assert ended(second) is JobState.CANCELED
    assert executor.status([first.id], urgent=True)[0].state is JobState.ACTIVE
    pbs.control(down_nodes=[])
    assert ended(first) is JobState.CANCELED


def test_a_job_under_a_dead_node_can_be_removed_by_force(executor: BatchSchedulerExecutor, pbs: Simulated) -> None:
    job = executor.submit(shell("sleep 60"))
    comes_true(lambda: job.status().state is JobState.ACTIVE)
    pbs.control(down_nodes=["node01"])
    pbs.run("qdel", "-W", "force", job.native_id)
    assert ended(job) is JobState.CANCELED


# ---- queues ------------------------------------------------------------------------------------------------------


def test_a_routing_queue_hands_the_job_on(executor: BatchSchedulerExecutor, pbs: Simulated) -> None:
    job = executor.submit(Job(command=["true"], num_nodes=3, queue="route", job_mode="script"))
    assert pbs.jobs()[job.native_id]["queue"] == "large"
    assert ended(job) is JobState.COMPLETED
    with pytest.raises(Rejected) as caught:
        executor.submit(Job(command=["true"], queue="route", wall_time_min=600))
    assert (caught.value.limit, "qstat -Qf" in caught.value.hint) == ("queue", True)


def test_a_job_that_vanished_from_a_routing_queue_is_lost_not_completed(
    executor: BatchSchedulerExecutor, pbs: Simulated
) -> None:
    pbs.control(vanish=["small"])
    job = executor.submit(Job(command=["true"], queue="route", hold=True))
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LOST)


def test_queues_and_limits_are_told(executor: BatchSchedulerExecutor) -> None:
    queues = {queue.name: queue for queue in executor.scheduler.queues()}
    assert (queues["small"].max_nodes, queues["large"].min_nodes, queues["workq"].minutes) == (2, 3, 60)
    assert [name for name, queue in queues.items() if not queue.up] == ["closed", "stopped"]
    assert [name for name, queue in queues.items() if queue.default] == ["workq"]


def test_refusals_name_what_was_at_fault(executor: BatchSchedulerExecutor) -> None:
    for job, limit in (
        (Job(command=["x"], queue="closed"), "queue"),
        (Job(command=["x"], queue="short", wall_time_min=30), "queue limits"),
        (Job(command=["x"], parameters={"chunk": "nosuch=1"}), "resources"),
        (Job(command=["x"], parameters={"group_list": "nosuch"}), "group_list"),
    ):
        with pytest.raises(Rejected) as caught:
            executor.submit(job)
        assert caught.value.limit == limit
        assert caught.value.hint
    assert not executor.journal.entries()


# ---- from above --------------------------------------------------------------------------------------------------


def test_psij_run_runs_on_it(pbs: Simulated) -> None:
    done = psij("run", "--platform", "pbspro", "-N", "2", "--mode", "script", "--", "bash", "-c", "echo hi; exit 7")
    assert (done.returncode, done.stdout) == (7, "hi\n")
    done = psij_here("submit", "--platform", "pbspro", "--array", "0-3", "--hold", "--", "true")
    assert done.returncode == 0
    assert psij_here("release", "last").returncode == 0
    assert psij_here("wait", "last").returncode == 0
    assert "COMPLETED" in psij_here("status", "last", "--json").stdout
    shown = psij_here("platform", "show", "pbspro")
    assert "filesystems" in shown.stdout
    assert "workq" in shown.stdout


class TestParsl:
    pytestmark = [*PARSL_IS_UNTIDY]

    @pytest.mark.slow
    def test_htex_runs_its_blocks_here(self, pbs: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from psij_parsl.providers.pbspro.provider import PBSProProvider
        from psij_parsl.providers.pbspro.scheduler import PBSProScheduler

        monkeypatch.setattr(PBSProScheduler, "poll_s", 0.3)
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))  # where the app is from
        provider = PBSProProvider(nodes_per_block=1, max_blocks=1, init_blocks=1, walltime="00:10:00")
        with loaded(config(provider, tmp_path / "runs")):
            where, _ = apps()
            env = where(1).result(timeout=PATIENCE_S)["env"]
        assert env["PBS_JOBID"] in pbs.jobs()
        comes_true(lambda: all(job["state"] == "F" for job in pbs.jobs().values()))
