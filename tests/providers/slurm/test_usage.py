"""What jobs have used, by the recorded answers of three versions of Slurm to our own questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from psij_parsl.platforms.queries import UsageQuestion
from psij_parsl.platforms.usage import MemoryOf, Usage, UsageRecord, total
from psij_parsl.providers.slurm.scheduler import SlurmScheduler
from psij_parsl.providers.slurm.usage import accounted_jobs, read_accounted
from psij_parsl.system.commands import Output
from psij_parsl.testing.replay import Recorded, Replay

RECORDED = Path(__file__).parents[2] / "recorded"
IDS = ("1", "2", "3_3", "3_4", "4", "5")
MIB = 1024**2


def questions(ids: Sequence[str] = IDS) -> list[UsageQuestion]:
    return [UsageQuestion(job_id, 0.0, float("inf")) for job_id in ids]


def scheduler(folder: str, case: str) -> tuple[SlurmScheduler, Replay]:
    """A scheduler that hears the recorded answers of `case`; other commands fail."""

    def answer(argv: Sequence[str]) -> Output:
        path = RECORDED / folder / f"{case}.{argv[0]}.txt"
        return (
            Recorded.read(path).output if path.exists() else Output(tuple(argv), 1, "", f"{argv[0]}: error: x", 0.0)
        )

    replay = Replay(answer)
    return SlurmScheduler(run=replay), replay


def told(folder: str, case: str, *, running: bool = False) -> dict[str, UsageRecord]:
    return scheduler(folder, case)[0].usages(questions(), running=running)


@pytest.mark.parametrize("folder", ["slurm", "slurm-24.11", "slurm-26.05"])
def test_ended_jobs_have_used_what_accounting_says_of_them_and_their_steps(folder: str) -> None:
    found = {job_id: record.usage for job_id, record in told(folder, "usage").items()}
    assert all(record.final for record in told(folder, "usage").values())
    two_nodes = found["1"]
    assert two_nodes.cpu_s == pytest.approx(4.5, abs=0.1), "that of the step is in the row of the job already"
    assert two_nodes.cores == 4
    assert two_nodes.core_s is not None
    assert two_nodes.core_s / 4 == pytest.approx(21, abs=4)
    assert two_nodes.memory_of is MemoryOf.NODE
    assert two_nodes.memory_bytes == pytest.approx(2 * 160 * MIB, rel=0.03), "two tasks on each node, and not one"
    assert two_nodes.memory_asked_bytes == 1024 * MIB, "on each node: ReqMem is of both"
    assert found["2"].cpu_s == pytest.approx(2.2, abs=0.1)
    assert found["2"].cpu_percent == pytest.approx(100 * 2.2 / (4 * 18), abs=1)
    assert found["2"].memory_bytes == pytest.approx(314 * MIB, rel=0.02)
    for element in ("3_3", "3_4"):
        assert found[element].cpu_s == pytest.approx(2.2, abs=0.1)
        assert found[element].memory_asked_bytes == 400 * MIB
    assert total([found["3_3"], found["3_4"]]).cpu_s == pytest.approx(4.4, abs=0.1)


@pytest.mark.parametrize("folder", ["slurm", "slurm-24.11", "slurm-26.05"])
def test_what_is_not_known_of_an_ended_job_is_not_zero(folder: str) -> None:
    found = {job_id: record.usage for job_id, record in told(folder, "usage").items()}
    assert found["4"].memory_bytes is None, "shorter than two samples"
    assert (found["4"].core_s, found["4"].cpu_percent) == (None, None), "it ran for 0 seconds"
    assert (found["5"].cpu_s, found["5"].at_least) == (1.0, "as last sampled"), "nobody waited for what was killed"
    assert found["5"].memory_bytes == pytest.approx(23 * MIB, rel=0.1)


@pytest.mark.parametrize("folder", ["slurm", "slurm-24.11"])
def test_running_jobs_have_used_what_was_sampled_by_the_cores_that_accounting_knows(folder: str) -> None:
    found = told(folder, "usage-running", running=True)
    assert not any(record.final for record in found.values())
    usage = found["1"].usage
    assert (usage.cpu_s, usage.cores) == (2.0, 4)
    assert usage.core_s in (24.0, 28.0)
    assert usage.memory_bytes == pytest.approx(2 * 160 * MIB, rel=0.03)
    assert usage.memory_asked_bytes == 1024 * MIB
    assert found["3_3"].usage.memory_bytes != found["3_4"].usage.memory_bytes, "sstat knows them as 6 and 3"
    assert found["4"].usage == Usage(memory_asked_bytes=16000 * MIB, memory_of=MemoryOf.NODE), "it waits"


def test_all_jobs_are_asked_about_at_once_and_only_what_runs_is_sampled() -> None:
    slurm, replay = scheduler("slurm-24.11", "usage")
    slurm.usages(questions(), running=False)
    assert [call[0] for call in replay.calls] == ["sacct"]
    assert replay.calls[0][replay.calls[0].index("-j") + 1] == "1,2,3,4,5", "the elements of an array by its own id"
    assert "-X" not in replay.calls[0]
    slurm, replay = scheduler("slurm-24.11", "usage-running")
    slurm.usages(questions(["3_4"]), running=True)
    assert [(call[0], call[call.index("-j") + 1]) for call in replay.calls] == [("sacct", "3_4"), ("sstat", "3_4")]


def test_a_slurm_without_accounting_tells_what_a_running_job_has_used() -> None:
    def answer(argv: Sequence[str]) -> Output:
        if argv[0] == "sstat":
            return Recorded.read(RECORDED / "slurm-24.11" / "usage-running.sstat.txt").output
        return Output(tuple(argv), 1, "", "Slurm accounting storage is disabled\n", 0.0)

    slurm = SlurmScheduler(run=Replay(answer))
    assert slurm.usages(questions(["2"]), running=True)["2"].usage.cpu_s == 1.0
    assert slurm.usages(questions(["2"]), running=False) == {}


def test_a_job_that_was_requeued_and_has_no_steps_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    def answer(argv: Sequence[str]) -> Output:
        if argv[0] == "sstat":
            return Output(tuple(argv), 1, "", "sstat: error: No steps running for job 1\n", 0.0)
        return Output(tuple(argv), 0, "1|1|PENDING|2026-11-27T10:00:00|1|0|0|00:00:00|1G||\n", "", 0.0)

    slurm = SlurmScheduler(run=Replay(answer))
    assert slurm.usages(questions(["1"]), running=True)["1"].usage.cpu_s is None
    assert not caplog.records


def test_a_record_from_before_the_job_is_of_another_job() -> None:
    slurm, _ = scheduler("slurm-24.11", "usage")
    assert slurm.usages([UsageQuestion("2", 4e9, float("inf"))], running=False) == {}


def test_the_threads_of_a_core_are_those_of_the_definition_of_its_node() -> None:
    assert scheduler("slurm-24.11", "usage")[0].threads_per_core(["node01", "node02"]) == {"node01": 1, "node02": 1}
    assert scheduler("slurm", "no such case")[0].threads_per_core(["node01"]) == {}


def row(**changes: str) -> str:
    """A row of sacct in its columns' order."""
    fields = {
        "id": "7",
        "raw": "7",
        "state": "COMPLETED",
        "submit": "2026-11-28T00:00:00",
        "nodes": "2",
        "cpus": "8",
        "elapsed": "100",
        "cpu": "00:00:00",
        "asked": "",
        "tres": "",
        "max_rss": "",
    }
    return "|".join((fields | changes).values()) + "\n"


@pytest.mark.parametrize(
    ("asked", "megabytes"),
    [("2048M", 1024), ("2G", 1024), ("4Gn", 4096), ("1Gc", 4096), ("0", None), ("0n", None), ("", None)],
)
def test_memory_asked_for_is_that_on_each_node(asked: str, megabytes: int | None) -> None:
    (job,) = accounted_jobs(row(asked=asked))
    record = read_accounted(job, {})
    assert record is not None
    assert record.usage.memory_asked_bytes == (megabytes * MIB if megabytes else None)


def test_of_several_steps_that_which_used_most_on_a_node_counts_and_the_one_for_what_is_outside_does_not() -> None:
    steps = [
        row(id="7.batch", nodes="1", tres="cpu=00:00:01,mem=100000"),
        row(id="7.extern", tres="cpu=00:00:00,mem=900000"),
        row(id="7.0", tres="cpu=00:00:09,mem=400000"),
        row(id="7.1", nodes="1", tres="cpu=00:00:09,mem=300000"),
    ]
    (job,) = accounted_jobs(row(cpu="1-00:00:20") + "".join(steps))
    record = read_accounted(job, {})
    assert record is not None
    assert (record.usage.memory_bytes, record.usage.cpu_s) == (300000, 86420.0)


def test_of_a_job_that_was_requeued_the_last_attempt_counts() -> None:
    first = "9|9|REQUEUED|2026-11-01T10:00:00|1|4|50|00:01:00|1G||\n9.batch|9.batch|FAILED|||4|50|00:01:00||mem=900M|"
    again = "9|9|COMPLETED|2026-11-01T10:01:00|1|2|100|00:03:20|1G||\n9.batch|9.batch|COMPLETED||1|2|100|00:03:20||mem=5M|"
    (job,) = accounted_jobs(f"{first}\n{again}\n")
    record = read_accounted(job, {})
    assert record is not None
    assert (record.final, record.usage.cpu_percent, record.usage.memory_bytes) == (True, 100, 5 * MIB)


def test_where_only_the_largest_task_is_known_it_is_called_that() -> None:
    (job,) = accounted_jobs(row() + row(id="7.batch", max_rss="52428800"))
    record = read_accounted(job, {})
    assert record is not None
    assert (record.usage.memory_bytes, record.usage.memory_of) == (50 * MIB, MemoryOf.PROCESS)
    assert record.usage.cpu_s is None, "a Slurm that gathers nothing says 0"


@pytest.mark.parametrize("text", ["", "\n", "7|7|COMPLETED\n", "a|b|c|d|e|f|g|h|i|j|k\n", "7.batch" + row()[1:]])
def test_damaged_rows_tell_nothing_wrong(text: str) -> None:
    records = [read_accounted(job, {}) for job in accounted_jobs(text)]
    assert not any(record.usage.known for record in records if record is not None)
