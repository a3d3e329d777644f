"""The provider's contract with Parsl: what it takes, what it says, and what it never does. Without workers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.errors import Ambiguous, InvalidRequest, Rejected, Unavailable
from psij_parsl.jobs.job_folder import ABANDONED, claimed_by
from psij_parsl.states import EndReason, JobState, JobStatus
from psij_parsl.testing.tools import comes_true
from tests import unseen
from tests.parsl.helpers import PARSL_IS_UNTIDY, ended

pytestmark = [*PARSL_IS_UNTIDY]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Any]:
    """A LocalProvider with a script directory that holds blanks."""
    with made_local(tmp_path) as provider:
        yield provider


@contextmanager
def made_local(tmp_path: Path, **arguments: Any) -> Iterator[Any]:
    from psij_parsl.providers import LocalProvider

    provider = LocalProvider(**{"max_blocks": 8, **arguments})
    provider.script_dir = str(tmp_path / "run dir" / "submit_scripts")
    try:
        yield provider
    finally:
        provider.cancel(list(provider.blocks.records))


# ---- what it takes ---------------------------------------------------------------------------------------------


def test_an_unknown_argument_is_refused_when_the_provider_is_made() -> None:
    from psij_parsl.providers import SlurmProvider

    with pytest.raises(InvalidRequest, match="no parameter 'constrain'.*'constraint'"):
        SlurmProvider(constrain="gpu")
    with pytest.raises(InvalidRequest, match="queue='a b' is refused"):
        SlurmProvider(queue="a b")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("max_blocks", "two", "whole number"),
        ("max_blocks", -1, "whole number"),
        ("init_blocks", None, "whole number"),
        ("init_blocks", 1.5, "whole number"),
        ("min_blocks", True, "whole number"),
        ("parallelism", "x", "number, 0 or"),
        ("parallelism", float("nan"), "number, 0 or"),
        ("parallelism", -0.1, "number, 0 or"),
        ("worker_init", 3, "text"),
        ("worker_init", ["a"], "text"),
        ("node_init", 3, "text"),
        ("cores_per_node", 0, "above 0"),
        ("cores_per_node", "x", "above 0"),
        ("watchdog_s", "x", "number, 0 or"),
        ("watchdog_s", -1, "number, 0 or"),
        ("mem_per_node", "x", "above 0"),
        ("mem_per_node", 0, "above 0"),
        ("gpus_per_node", "x", "whole number"),
        ("gpus_per_node", -1, "whole number"),
        ("wall_time_min", "x", ""),
    ],
)
@pytest.mark.parametrize("kind", ["SlurmProvider", "LocalProvider", "PBSProProvider"])
def test_what_is_of_a_wrong_kind_is_refused_when_the_provider_is_made(
    kind: str, name: str, value: Any, rule: str
) -> None:
    import psij_parsl.providers

    with pytest.raises(InvalidRequest, match=f"{name}={re.escape(repr(value))}.*{rule}") as caught:
        getattr(psij_parsl.providers, kind)(**{name: value})
    assert "\n" not in str(caught.value)


def test_more_blocks_than_may_be_are_refused_and_none_but_the_first_can_be_asked_for() -> None:
    from psij_parsl.providers import LocalProvider

    for name in ("init_blocks", "min_blocks"):
        with pytest.raises(InvalidRequest, match=rf"{name}=3 is more than max_blocks=2 \(say max_blocks=3\)"):
            LocalProvider(**{name: 3}, max_blocks=2)
    with pytest.raises(InvalidRequest, match="min_blocks=1 is more than max_blocks=0"):
        LocalProvider(min_blocks=1, max_blocks=0)
    assert (LocalProvider(init_blocks=3).max_blocks, LocalProvider(init_blocks=0).max_blocks) == (3, 1)


def test_with_max_blocks_0_there_are_those_of_the_start_alone(tmp_path: Path) -> None:
    with made_local(tmp_path, max_blocks=0, init_blocks=1) as provider:
        provider.submit("sleep 60", 1)
        with pytest.raises(Unavailable, match="not now: there are 1 blocks and max_blocks is 0"):
            provider.submit("sleep 60", 1)


def test_the_spellings_of_parsl_are_understood() -> None:
    from psij_parsl.providers import SlurmProvider

    theirs = SlurmProvider(
        partition="debug",
        account="chem",
        nodes_per_block=2,
        walltime="01:30:00",
        cores_per_node=4,
        mem_per_node=8,
        scheduler_options="#SBATCH --switches 2\n#SBATCH --mail-type=END",
        qos="high",
    )
    ours = SlurmProvider(
        queue="debug",
        project="chem",
        num_nodes=2,
        wall_time_min=90,
        cores_per_node=4,
        mem_per_node=8,
        directives=("--switches=2",),
        mail_type="END",
        qos="high",
    )
    assert theirs._shape == ours._shape
    assert (theirs.nodes_per_block, theirs.queue, theirs.project) == (2, "debug", "chem")


def test_one_thing_said_twice_is_refused() -> None:
    from psij_parsl.providers import SlurmProvider

    with pytest.raises(InvalidRequest, match="twice"):
        SlurmProvider(queue="a", partition="b")
    with pytest.raises(InvalidRequest, match="not needed"):
        SlurmProvider(cmd_timeout=10)


@pytest.mark.parametrize(
    ("text", "minutes"), [("1-00:00:00", 1440), ("30", 30), ("00:00:30", 1), ("00:10:00", 10), ("1h30m", 90), (5, 5)]
)
def test_b8_a_wall_time_is_never_read_as_unlimited(text: Any, minutes: int) -> None:
    from psij_parsl.providers import SlurmProvider

    assert SlurmProvider(walltime=text).wall_time_min == minutes


def test_b8_a_wall_time_that_could_mean_two_things_is_refused_at_once() -> None:
    from psij_parsl.providers import SlurmProvider

    with pytest.raises(InvalidRequest, match="hours and minutes, or minutes and seconds"):
        SlurmProvider(walltime="02:00")


def test_b6_making_a_provider_runs_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from psij_parsl.providers import SlurmProvider

    def never(*words: Any, **settings: Any) -> None:
        raise AssertionError(f"ran {words}")

    monkeypatch.setattr(subprocess, "Popen", never)
    assert "SlurmProvider" in repr(SlurmProvider(num_nodes=2))


def test_its_repr_can_be_pasted_back() -> None:
    from psij_parsl.launchers import SimpleLauncher, SingleNodeLauncher, SrunLauncher
    from psij_parsl.providers import LocalProvider, SlurmProvider

    names = {c.__name__: c for c in (LocalProvider, SlurmProvider, SrunLauncher, SimpleLauncher, SingleNodeLauncher)}
    for provider in (
        LocalProvider(),
        SlurmProvider(
            partition="debug",
            nodes_per_block=3,
            walltime="02:00:00",
            worker_init="module load 'x'\n",
            qos="q",
            launcher=SrunLauncher(overrides="--label -x 'a b'"),
            site="slurm",
            watchdog_s=60,
        ),
    ):
        again = eval(repr(provider), names)
        assert repr(again) == repr(provider)
        assert again._shape == provider._shape


def test_a_block_without_a_word_about_cores_has_whole_nodes() -> None:
    from psij_parsl.providers import SlurmProvider

    assert SlurmProvider().parameters == {"exclusive": True, "requeue": False}
    assert SlurmProvider(cores_per_node=4).parameters == {"requeue": False}
    assert SlurmProvider(exclusive=False, requeue=True).parameters == {"exclusive": False, "requeue": True}


def test_job_mode_picks_the_launcher() -> None:
    from parsl.launchers import SimpleLauncher as ParslSimpleLauncher

    from psij_parsl.launchers import MPIRunLauncher, SimpleLauncher, SingleNodeLauncher
    from psij_parsl.providers import SlurmProvider

    assert SlurmProvider(num_nodes=2).launcher == MPIRunLauncher("srun")
    assert SlurmProvider().launcher == SingleNodeLauncher()
    assert isinstance(SlurmProvider(num_nodes=2, job_mode="mpi").launcher, ParslSimpleLauncher)
    assert isinstance(SlurmProvider(num_nodes=2, job_mode="script").launcher, SimpleLauncher)
    with pytest.raises(InvalidRequest, match="unknown job mode 'seriel'.*'serial'"):
        SlurmProvider(job_mode="seriel")


def test_a_site_fills_in_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from psij_parsl.providers import LocalProvider, SlurmProvider

    (tmp_path / "big.toml").write_text(
        'platform = "slurm"\nsetup = ["module load base"]\nrequired = ["project"]\n'
        '[defaults]\nqueue = "gpu"\nranks_per_node = 4\ncpus_per_rank = 16\ngpus_per_rank = 1\nwall_time_min = "2h"\n'
        '[parameters]\nconstraint = "hbm"\n[environment]\nSITE = "big"\n'
        "[queues.gpu]\nmax_nodes = 2\nstrict = true\n"
    )
    monkeypatch.setenv("PSIJ_PARSL_SITE_PATH", str(tmp_path))
    provider = SlurmProvider(site="big", project="chem", num_nodes=2, worker_init="activate me")
    assert (provider.queue, provider.wall_time_min, provider.cores_per_node) == ("gpu", 120, 64)
    job = provider._shape.job("true", "x")
    assert (job.ranks_per_node, job.cpus_per_rank, job.environment) == (1, 64, {"SITE": "big"})
    assert job.parameters == {"constraint": "hbm", "gpus_per_node": 4, "requeue": False}
    text = provider.script("pool", 1, "n")
    assert job.setup == ("module load base",)
    assert text.index("activate me") < text.index("srun")
    with pytest.raises(InvalidRequest, match="must say its project"):
        SlurmProvider(site="big")
    with pytest.raises(InvalidRequest, match="2 nodes"):
        SlurmProvider(site="big", project="chem", num_nodes=3)
    with pytest.raises(InvalidRequest, match="runs slurm, not local"):
        LocalProvider(site="big")


def test_b26_mpi_tasks_find_a_slot_for_each_core_and_nothing_of_the_blocks_own_shape() -> None:
    from psij_parsl.providers import SlurmProvider

    provider = SlurmProvider(num_nodes=2, cores_per_node=8, job_mode="mpi")
    job = provider._shape.job("true", "x")
    assert (job.ranks_per_node, job.cpus_per_rank) == (8, 1)
    assert "SLURM_NTASKS_PER_NODE" in provider.script("pool", 1, "n")


def test_a_platform_without_a_provider_of_its_own_has_one() -> None:
    from psij_parsl.parsl import provider_class
    from psij_parsl.platforms.registry import platform

    theirs = platform("local")._replace(name="their-own", provider="")
    assert provider_class(theirs).__name__ == "TheirOwnProvider"
    assert provider_class(theirs)(worker_init="x").label == "their-own"


def test_parsl_can_have_it_where_it_wants_one(tmp_path: Path) -> None:
    from parsl.executors import HighThroughputExecutor
    from parsl.utils import RepresentationMixin

    from psij_parsl.providers import SlurmProvider

    RepresentationMixin._validate_repr = True
    try:
        provider = SlurmProvider(cores_per_node=4, mem_per_node=8)
        executor = HighThroughputExecutor(provider=provider, address="127.0.0.1", cores_per_worker=2)
        assert executor.workers_per_node == 2  # B27: told to the executor, and by PARSL_CORES to the pool
        assert "SlurmProvider" in repr(executor)
    finally:
        RepresentationMixin._validate_repr = False
    assert "export PARSL_CORES=4\nexport PARSL_MEMORY_GB=8\n" in provider.script("pool", 1, "n")


def test_globus_compute_finds_our_classes_by_name() -> None:
    import parsl.launchers
    import parsl.providers

    from psij_parsl.parsl import register

    names = register()
    assert {"PsijSlurmProvider", "PsijLocalProvider", "PsijSrunLauncher", "PsijSimpleLauncher"} <= {*names}
    launcher = getattr(parsl.launchers, "PsijSrunLauncher")(overrides="-v")  # noqa: B009 - as it does
    assert getattr(parsl.providers, "PsijSlurmProvider")(launcher=launcher).launcher is launcher  # noqa: B009


def test_importing_us_or_asking_for_jobs_imports_no_parsl() -> None:
    watch = "; import sys; sys.exit(any(name.partition('.')[0] == 'parsl' for name in sys.modules))"
    for text in (
        "import psij_parsl, psij_parsl.launchers, psij_parsl.providers, psij_parsl.parsl",
        "from psij_parsl.cli.app import run; run(['status']); run(['list']); run(['platform', 'list'])",
        "import psij_parsl; psij_parsl.site('laptop')",
    ):
        subprocess.run([sys.executable, "-c", text + watch], check=True, capture_output=True)


# ---- what it says ----------------------------------------------------------------------------------------------


def test_states_are_those_that_parsls_strategy_counts_rightly() -> None:
    from parsl.jobs.states import JobState as Theirs

    from psij_parsl.parsl.status import parsl_state

    assert {state: parsl_state(JobStatus(state)) for state in JobState} == {
        JobState.UNKNOWN: Theirs.PENDING,
        JobState.NEW: Theirs.PENDING,
        JobState.QUEUED: Theirs.PENDING,
        JobState.ACTIVE: Theirs.RUNNING,
        JobState.COMPLETED: Theirs.COMPLETED,
        JobState.FAILED: Theirs.FAILED,
        JobState.CANCELED: Theirs.CANCELLED,
    }
    for reason in EndReason:
        expected = reason.name in ("TIMEOUT", "PREEMPTED", "DEADLINE")
        state = parsl_state(JobStatus(JobState.FAILED, reason=reason))
        assert state is (Theirs.TIMEOUT if expected else Theirs.FAILED)


def test_b4_every_state_of_slurms_is_one_that_parsls_strategy_counts() -> None:
    from parsl.jobs.states import JobState as Theirs

    from psij_parsl.parsl.status import parsl_state
    from psij_parsl.providers.slurm.records import REASONS, STATES, status

    natives = (*STATES, *REASONS, "A_STATE_OF_TOMORROW")
    told = {native: parsl_state(status(native, 0, 0, "", "", 0, "", "")) for native in natives}
    assert {*told.values()} <= {*Theirs} - {Theirs.UNKNOWN, Theirs.HELD}
    for native in ("CONFIGURING", "COMPLETING", "RESIZING", "STOPPED", "SIGNALING", "REQUEUE_HOLD", "SPECIAL_EXIT"):
        assert told[native] in (Theirs.PENDING, Theirs.RUNNING), native


def test_a_held_block_is_pending_and_says_that_it_is_held(local: Any) -> None:
    from parsl.jobs.states import JobState as Theirs

    job_id = local.submit("sleep 60", 1, "parsl.htex.block-0")
    local.cancel([job_id])
    entry = local.blocks.executor.journal.get(job_id)
    from psij_parsl.parsl.status import parsl_status

    told = parsl_status(JobStatus(JobState.QUEUED, "PENDING", held=True, message="JobHeldUser"), entry, 10)
    assert (told.state, told.message) == (Theirs.PENDING, "held, JobHeldUser")


def test_a_dead_block_explains_itself(local: Any) -> None:
    from parsl.jobs.states import JobState as Theirs

    job_id = local.submit("echo so it goes >&2; exit 7", 1, "parsl.htex.block-0")
    status = ended(local, job_id)
    assert (status.state, status.exit_code) == (Theirs.FAILED, 7)
    assert "exit code 7" in status.message
    assert job_id in status.message
    assert status.stderr == "so it goes\n"
    assert status.stdout == ""
    assert Path(status.stdout_path).parent.parent == Path(local.script_dir)


def test_b2_an_end_stays_what_it_was(local: Any) -> None:
    from parsl.jobs.states import JobState as Theirs

    job_id = local.submit("exit 7", 1)
    ended(local, job_id)
    time.sleep(1)
    assert [local.status([job_id])[0].state for _ in range(3)] == [Theirs.FAILED] * 3


def test_each_answer_is_of_fresh_objects_for_parsl_changes_them(local: Any) -> None:
    from parsl.jobs.states import JobState as Theirs

    job_id = local.submit("true", 1)
    ended(local, job_id).state = Theirs.MISSING
    assert local.status([job_id])[0].state is Theirs.COMPLETED


def test_status_never_raises_and_keeps_what_was_known(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from parsl.jobs.states import JobState as Theirs

    job_id = local.submit("sleep 60", 1)
    comes_true(lambda: local.status([job_id])[0].state is Theirs.RUNNING)

    def broken(*words: Any, **settings: Any) -> None:
        raise OSError("no journal today")

    with monkeypatch.context() as patch:
        patch.setattr(local.blocks.executor.journal, "entries", broken)
        patch.setattr(local.blocks.executor, "poll", broken)
        assert local.status([job_id])[0].state is Theirs.RUNNING
    assert local.status([]) == []
    assert local.status(["nobody"])[0].state is Theirs.FAILED


@pytest.mark.parametrize("answer", [(0, "", "error: no"), (1, "", "down"), (None, "", ""), (0, "garbage", "")])
def test_a_manager_that_gives_no_answer_changes_no_state(
    local: Any, monkeypatch: pytest.MonkeyPatch, answer: tuple[int | None, str, str]
) -> None:
    """B3, B10, B12: silence is no completion, and what cannot be parsed is no exception."""
    from parsl.jobs.states import JobState as Theirs

    from psij_parsl.system.commands import Output

    job_id = local.submit("sleep 60", 1)
    comes_true(lambda: local.status([job_id])[0].state is Theirs.RUNNING)
    with monkeypatch.context() as patch:
        patch.setattr(local.blocks.executor.scheduler, "run", lambda argv, **k: Output(tuple(argv), *answer))
        patch.setattr(local.blocks.executor.snapshot, "interval_s", 0.01)
        states = []
        for _ in range(5):
            states.append(local.status([job_id])[0].state)
            time.sleep(0.05)
        assert states == [Theirs.RUNNING] * 5


def test_the_polling_interval_is_short_while_blocks_start_and_long_when_all_is_quiet(
    local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(local), "is_here", False)
    job_id = local.submit("sleep 60", 1)
    assert local.status_polling_interval == 1
    comes_true(lambda: local.status([job_id])[0].state.name == "RUNNING")
    assert local.status_polling_interval == 1
    monkeypatch.setattr(local.blocks, "_changed", time.monotonic() - 60)
    assert local.status_polling_interval == 2
    monkeypatch.setattr(local.blocks.executor.snapshot, "interval_s", 300.0)
    assert local.status_polling_interval == 10


def test_while_all_blocks_run_the_manager_is_left_alone_and_an_end_is_seen_all_the_same(
    local: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = local.submit(f"while [ ! -e {tmp_path}/stop ]; do sleep 0.1; done; exit 6", 1)
    comes_true(lambda: local.status([job_id])[0].state.name == "RUNNING")
    asked: list[Any] = []
    real = local.blocks.executor.scheduler.run
    monkeypatch.setattr(
        local.blocks.executor.scheduler, "run", lambda argv, **k: (asked.append(argv), real(argv, **k))[1]
    )
    for _ in range(20):
        local.status([job_id])
        time.sleep(0.1)  # in all four times the interval at which the manager may be asked
    assert asked == []
    (tmp_path / "stop").touch()
    assert ended(local, job_id).exit_code == 6
    assert asked


# ---- what it never does ----------------------------------------------------------------------------------------


def test_there_are_never_more_blocks_than_max_blocks(tmp_path: Path) -> None:
    with made_local(tmp_path, max_blocks=2) as provider:
        first = [provider.submit("sleep 60", 1) for _ in range(2)]
        with pytest.raises(Unavailable, match="not now: there are 2 blocks and max_blocks is 2"):
            provider.submit("sleep 60", 1)
        assert provider.cancel(first[:1]) == [True]
        assert provider.submit("sleep 60", 1)  # waits for the cancelled one to be gone
        assert len([entry for entry in provider.blocks.executor.journal.entries().values() if entry.open]) == 2


def test_after_repeated_failures_it_backs_off_and_says_why(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refused(script: Path, **settings: Any) -> str:
        asked.append(script)
        raise Rejected("could not submit the job: Invalid account", limit="project", hint="choose another --account")

    local.submit("true", 1)
    monkeypatch.setattr("psij_parsl.parsl.backoff._PAUSES_S", (60.0, 300.0))
    monkeypatch.setattr(local.blocks.executor.scheduler, "submit", refused)
    for _ in range(2):
        with pytest.raises(Rejected, match="Invalid account"):
            local.submit("true", 1)
    with pytest.raises(Unavailable, match=r"not now: 2 blocks in a row.*Invalid account \(choose another"):
        local.submit("true", 1)
    assert len(asked) == 2
    monkeypatch.setattr(local.blocks.backoff, "not_before", 0.0)
    with pytest.raises(Rejected):
        local.submit("true", 1)
    assert local.blocks.backoff.not_before - time.monotonic() > 60  # at least three quarters of twice as long


def test_b5_a_submit_that_was_cut_short_is_followed_and_never_runs_unseen(
    local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.submit("true", 1)
    executor = local.blocks.executor
    monkeypatch.setattr(executor, "channel", executor.channel._replace(patience_s=0.1))

    def silent(script: Path, **settings: Any) -> str:
        raise Ambiguous("psij-local did not answer within 60 s")

    with monkeypatch.context() as patch:
        patch.setattr(executor.scheduler, "submit", silent)
        job_id = local.submit("touch ran", 1)
    assert local.status([job_id])[0].state.name == "PENDING"
    monkeypatch.setattr("psij_parsl.parsl.blocks._UNSENT_S", 0.0)
    status = ended(local, job_id)
    assert status.state.name == "FAILED"
    assert "nothing of it ran" in status.message
    assert claimed_by(Path(executor.journal.get(job_id).folder)) == ABANDONED


def test_b9_cancelling_nothing_asks_nobody_and_an_ended_block_spoils_no_answer(
    local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, running = local.submit("true", 1), local.submit("sleep 60", 1)
    ended(local, done)
    asked: list[list[str]] = []
    real = local.blocks.executor.scheduler.run
    monkeypatch.setattr(
        local.blocks.executor.scheduler, "run", lambda argv, **k: (asked.append(list(argv)), real(argv, **k))[1]
    )
    assert local.cancel([]) == []
    assert asked == []
    assert local.cancel([done, running]) == [True, True]
    assert [argv[1] for argv in asked] == ["list", "cancel"]  # before it is cancelled it is seen to be there
    assert ended(local, running).state.name == "CANCELLED"


def test_a_cancel_that_the_manager_does_not_hear_is_tried_again_and_never_raises(
    local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = local.submit("sleep 60", 1)
    monkeypatch.setattr("psij_parsl.parsl.blocks._CANCEL_PAUSES_S", (0.01, 0.01))
    tries = []

    def deaf(ids: Any) -> set[str]:
        tries.append(ids)
        raise Unavailable("could not cancel")

    with monkeypatch.context() as patch:
        patch.setattr(local.blocks.executor.scheduler, "qdel", deaf)
        assert local.cancel([job_id]) == [False]
    assert len(tries) == 3


def test_many_blocks_are_cancelled_in_chunks(monkeypatch: pytest.MonkeyPatch, local: Any) -> None:
    from psij_parsl.system.commands import Output

    job_id = local.submit("true", 1)
    entry = replace(local.blocks.executor.journal.get(job_id), ended={})
    asked: list[int] = []

    def run(argv: list[str], **settings: Any) -> Output:
        if argv[1] == "cancel":
            asked.append(len(argv) - 2)
        return Output(tuple(argv), 0, "", "")

    many = {f"{job_id}{n}": replace(entry, id=f"{job_id}{n}", native=str(n)) for n in range(1000)}
    with monkeypatch.context() as patch:
        patch.setattr(local.blocks.executor.journal, "entries", lambda: many)
        patch.setattr(local.blocks.executor.journal, "cancel_asked", lambda keys, **settings: None)
        patch.setattr(local.blocks.executor.scheduler, "run", run)
        patch.setattr(local.blocks, "records", many)
        assert local.cancel(list(many)) == [True] * 1000
    assert asked == [200] * 5


def test_verbs_may_come_from_several_threads(local: Any) -> None:
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(local.submit("true", 1))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {ended(local, job_id).state.name for job_id in ids} == {"COMPLETED"}
    assert len({*ids}) == 4


# ---- where a block's things are --------------------------------------------------------------------------------


def test_b7_b21_everything_of_a_block_is_in_its_own_folder(
    local: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    job_id = local.submit('echo "$PWD|$JOBNAME|$(wc -l <"$PBS_NODEFILE")"; env >env.txt', 1, "parsl.htex.block-0")
    told = ended(local, job_id).stdout.strip()
    assert told == f"{tmp_path}/here|parsl.htex.block-0.{job_id}|1"
    assert os.listdir(local.script_dir) == [job_id]
    assert os.listdir(tmp_path / "here") == ["env.txt"]


def test_node_init_runs_before_the_workers_in_their_own_shell(local: Any, tmp_path: Path) -> None:
    with made_local(tmp_path, worker_init="export A=1", node_init="export B=$((A + 1))") as provider:
        assert ended(provider, provider.submit('echo "$A $B"; exit 3', 1)).stdout == "1 2\n"
        assert ended(provider, provider.submit("exit 3", 1)).exit_code == 3


def test_a_worker_init_goes_on_after_a_failure_and_warns(local: Any, tmp_path: Path) -> None:
    init = "false\nls /no/such \\\n  | cat\nexport A=1\n(exit 4)\n"
    with made_local(tmp_path, worker_init=init) as provider:
        status = ended(provider, provider.submit("false; echo $A", 1))
    assert (status.exit_code, status.stdout) == (0, "1\n")
    warned = [line for line in status.stderr.splitlines() if line.startswith("psij: ")]
    said = "psij: worker_init goes on after exit code"
    assert warned == [f"{said} 1: false", f"{said} 4: ( exit 4 )"]


@pytest.mark.parametrize("may_fail", [False, True])
def test_a_sites_setup_that_fails_is_the_blocks_failure(
    may_fail: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = "[defaults]\nsetup_may_fail = true\n" if may_fail else ""
    (tmp_path / "mine.toml").write_text(f'platform = "local"\nsetup = ["true", "no-such-module"]\n{default}')
    monkeypatch.setenv("PSIJ_PARSL_SITE_PATH", str(tmp_path))
    with made_local(tmp_path, site="mine") as provider:
        status = ended(provider, provider.submit("echo ran", 1))
    if may_fail:
        assert (status.exit_code, status.stdout) == (0, "ran\n")
    else:
        assert status.state.name == "FAILED"
        assert "its setup failed: no-such-module (exit code 127)" in status.message


def test_a_worker_init_that_uses_modules_finds_the_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "bash").write_text('module() { export LOADED="$2"; }\n')
    monkeypatch.setenv("MODULESHOME", str(tmp_path))
    with made_local(tmp_path, worker_init="module load conda") as provider:
        assert ended(provider, provider.submit("echo $LOADED", 1)).stdout == "conda\n"


def test_the_pool_is_found_without_activate(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", unseen.plain_path())
    status = ended(local, local.submit("type -p process_worker_pool.py", 1))
    assert status.stdout.strip() == f"{Path(sys.executable).parent}/process_worker_pool.py"


def test_a_run_directory_with_blanks_stays_one_word_in_parsls_command() -> None:
    from psij_parsl.parsl.block_script import unsplit

    path = "/a b/$x/000"
    command = f"pool --dir {path}/c --logdir={path} --q '{path}' --w \"{path}\" --e {path[:3]}"
    assert unsplit(command, path) == (
        f"pool --dir /a\\ b/\\$x/000/c --logdir=/a\\ b/\\$x/000 --q '{path}' --w \"{path}\" --e /a "
    )[:-1].replace("--e /a", f"--e {path[:3]}")
    assert unsplit(command, "") == command
    assert unsplit("pool /plain/dir", "/plain/dir") == "pool /plain/dir"


@pytest.mark.slow
def test_the_watchdog_ends_a_block_whose_workflow_is_unreachable(tmp_path: Path) -> None:
    import socket

    with made_local(tmp_path, watchdog_s=4) as provider:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            job_id = provider.submit(f"sleep 300 & echo $!; : pool.py -a 127.0.0.1 -p 0 --port={port}; wait", 1)
            comes_true(lambda: provider.status([job_id])[0].state.name == "RUNNING")
            time.sleep(5)  # in which it has looked once
            assert provider.status([job_id])[0].state.name == "RUNNING"
        status = ended(provider, job_id)
        assert status.state.name == "FAILED"
        assert f"there has been no answer at 127.0.0.1 port {port} for 4 s" in status.stderr
        pid = int(status.stdout)
        comes_true(lambda: not Path(f"/proc/{pid}/stat").exists())


def test_the_watchdog_leaves_the_exit_code_alone(tmp_path: Path) -> None:
    with made_local(tmp_path, watchdog_s=60) as provider:
        status = ended(provider, provider.submit(": -a 127.0.0.1 --port=1; echo out; exit 5", 1))
        assert (status.exit_code, status.stdout, status.stderr) == (5, "out\n", "")


# ---- the error handler -----------------------------------------------------------------------------------------


def test_consecutive_failures_give_up_even_after_a_good_block_and_say_why() -> None:
    from parsl.jobs.states import JobState as Theirs
    from parsl.jobs.states import JobStatus as TheirStatus

    from psij_parsl.parsl import consecutive_failures

    class Executor:
        error: Exception | None = None

        def set_bad_state_and_fail_all(self, error: Exception) -> None:
            self.error = error

    def told(*states: str, message: str = "why") -> Exception | None:
        executor = Executor()
        statuses = {str(n): TheirStatus(Theirs[state], message) for n, state in enumerate(states)}
        consecutive_failures(executor, statuses)
        return executor.error

    assert "why" in str(told("COMPLETED", "FAILED", "MISSING", "FAILED"))
    assert told("FAILED", "FAILED") is None
    assert told("FAILED", "FAILED", "FAILED", "RUNNING") is None
    assert told("FAILED", "FAILED", "FAILED", "PENDING") is not None
    assert told("FAILED", "FAILED", "FAILED", "TIMEOUT") is None
    assert told("FAILED", "FAILED", "FAILED", message="Failed to start block 1: not now: full") is None
    assert told(*["COMPLETED"] * 9, "FAILED", "FAILED", "FAILED") is not None  # "10" comes after "9"
