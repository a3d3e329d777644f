"""What LSF prints by its documentation, read by our parsers. Expectations come from each case's name and note."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, Job
from psij_parsl.errors import Ambiguous, InvalidRequest, Rejected, Unavailable
from psij_parsl.platforms.queries import SchedulerRecord
from psij_parsl.providers.lsf.records import ended, histories, moment, read_history, read_job, rows
from psij_parsl.providers.lsf.scheduler import LSFScheduler
from psij_parsl.providers.lsf.template import condition
from psij_parsl.states import EndReason, JobState
from psij_parsl.system.commands import Output
from psij_parsl.testing.replay import Recorded, Replay

FOLDER = Path(__file__).parents[2] / "documented" / "lsf"
Q, A, C, F, X = JobState.QUEUED, JobState.ACTIVE, JobState.COMPLETED, JobState.FAILED, JobState.CANCELED
UNKNOWN = JobState.UNKNOWN


@dataclass(frozen=True)
class Expected:
    """What a person knows of a case from its name and its header."""

    state: JobState
    exit_code: int | None = None
    signal: int | None = None
    reason: EndReason | None = None
    held: bool = False
    says: str = ""  # words of the message
    nodes: str = "node01"


CASES: Mapping[str, Expected] = {
    "pending": Expected(Q, nodes=""),
    "held": Expected(Q, held=True, nodes=""),
    "waiting-in-chunk": Expected(Q),
    "host-wakes-up": Expected(Q, nodes=""),
    "running": Expected(A, nodes="node01,node02"),
    "suspended-by-user": Expected(A),
    "suspended-by-lsf": Expected(A),
    "host-lost": Expected(UNKNOWN, says="lost contact"),
    "zombie": Expected(UNKNOWN, says="bkill -r"),
    "completed": Expected(C, 0),
    "completed-after-post-exec": Expected(C, 0),
    "post-exec-failed": Expected(F, says="what the site runs after the job"),
    "failed-exit3": Expected(F, 3),
    "failed-exit127": Expected(F, 127),
    "failed-exit137": Expected(F, 137),
    "run-limit": Expected(F, reason=EndReason.TIMEOUT, says="run time limit"),
    "memory-limit": Expected(F, reason=EndReason.OUT_OF_MEMORY, says="memory usage limit"),
    "cpu-limit": Expected(F, reason=EndReason.TIMEOUT, says="CPU usage limit"),
    "deadline": Expected(F, reason=EndReason.DEADLINE, says="deadline"),
    "killed-by-owner": Expected(X, says="killed by owner"),
    "killed-by-owner-at-once": Expected(X, says="killed by owner"),
    "killed-by-admin": Expected(X, says="administrator"),
    "killed-while-pending": Expected(X, says="killed by owner", nodes=""),
    "killed-while-pending-without-reason": Expected(X, says="before it started", nodes=""),
    "preempted": Expected(F, reason=EndReason.PREEMPTED, says="preemption"),
    "load": Expected(F, reason=EndReason.PREEMPTED, says="load"),
    "no-directory": Expected(F, reason=EndReason.LAUNCH_FAILED, says="working directory"),
    "external-signal": Expected(F, None, 11, says="external to LSF"),
    "orphan": Expected(X, reason=EndReason.DEPENDENCY, says="orphan", nodes=""),
    "removed-hung": Expected(F, reason=EndReason.NODE_FAILURE, says="removed"),
    "ended-while-lsf-was-away": Expected(F, reason=EndReason.LOST, says="not available"),
    "unknown-reason": Expected(F, 1, says="something new"),
    "unknown-state": Expected(UNKNOWN),
    "without-year": Expected(C, 0),
    "partial": Expected(C, 0),
    "please-wait": Expected(A),
    "other-order": Expected(A),
}
ELEMENTS: Mapping[str, Mapping[str, Expected]] = {
    "array": {
        "240[1]": Expected(C, 0),
        "240[2]": Expected(F, 1),
        "240[3]": Expected(A),
        "240[4]": Expected(Q, nodes=""),
    },
    "array-ids-with-index": {"241[1]": Expected(C, 0), "241[2]": Expected(F, 4)},
    "bad-row": {"263": Expected(A), "266": Expected(C, 0)},  # 264 is another program's job
}
HISTORY: Mapping[str, Mapping[str, Expected]] = {
    "history": {"301": Expected(F, 3, nodes="node01,node02"), "302": Expected(C, 0, nodes="node03")},
    "history-killed": {
        "303": Expected(X, says="TERM_OWNER"),
        "304[2]": Expected(F, reason=EndReason.TIMEOUT, says="TERM_RUNLIMIT", nodes=""),
        "305": Expected(X, says="before it started", nodes=""),
        "306": Expected(A, nodes=""),  # requeued, and running again
        "307": Expected(F, 139, nodes=""),
    },
}
NO_JOBS = ("none", "none-unfinished", "not-found")


def documented(name: str) -> Recorded:
    [path] = FOLDER.glob(f"*/{name}.txt")
    return Recorded.read(path)


def scheduler(name: str) -> LSFScheduler:
    said = documented(name).output
    return LSFScheduler(run=Replay(lambda argv: Output(tuple(argv), said.rc, said.stdout, said.stderr)))


def says(record: SchedulerRecord, expected: Expected) -> None:
    found = record.status
    for name in ("state", "exit_code", "signal", "reason", "held", "nodes"):
        assert getattr(found, name) == getattr(expected, name), name
    assert expected.says in found.message
    assert bool(expected.says) == bool(found.message), found.message


def local(clock: str) -> float:
    return time.mktime(time.strptime(f"2026-11-26 {clock}", "%Y-%m-%d %H:%M:%S"))


# ---- jobs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_bjobs_tells_the_case_of_its_name(name: str) -> None:
    [record] = scheduler(name).qstat(lambda seen: ()).records.values()
    says(record, CASES[name])
    assert record.tag == "psij:0g5z3kw1ab"
    assert record.output.endswith("/jobs/0g5z3kw1ab/manager.log")
    assert record.status.native == documented(name).output.stdout.split("^STAT^")[-1].split("^")[0] or record.status


@pytest.mark.parametrize("name", ELEMENTS)
def test_each_element_and_each_sound_row_is_told(name: str, caplog: pytest.LogCaptureFixture) -> None:
    found = scheduler(name).qstat(lambda seen: ()).records
    assert set(found) == set(ELEMENTS[name])
    for job_id, expected in ELEMENTS[name].items():
        says(found[job_id], expected)


@pytest.mark.parametrize("name", HISTORY)
def test_bhist_tells_how_jobs_ended_although_its_lines_are_broken(name: str) -> None:
    found = {
        record.id: record for block in histories(documented(name).output.stdout) if (record := read_history(block))
    }
    assert set(found) == set(HISTORY[name])
    for job_id, expected in HISTORY[name].items():
        says(found[job_id], expected)


def test_the_tag_and_the_log_are_read_in_history_and_not_in_the_command() -> None:
    record = read_history(next(histories(documented("history").output.stdout)))
    assert record is not None
    assert record.tag == "psij:0g5z3kw1ab"
    assert record.output.endswith("/jobs/0g5z3kw1ab/manager.log")
    assert (record.status.started or 0) - (record.submitted or 0) == 2


def test_times_are_told_with_and_without_their_year() -> None:
    [record] = scheduler("completed").qstat(lambda seen: ()).records.values()
    assert (record.submitted, record.status.started) == (local("09:00:05"), local("09:00:07"))
    assert record.status.ended == local("09:10:11")
    now = time.time()
    shown = time.strftime("%b %e %H:%M", time.localtime(now - 40 * 86400))
    assert 0 <= (now - 40 * 86400) - (moment(shown) or 0) < 60
    assert moment("Foo 26 09:00") is None
    assert moment("-") is None


def test_every_documented_file_that_shows_a_job_has_an_expectation() -> None:
    shown = {
        path.stem
        for path in FOLDER.glob("*/*.txt")
        if Recorded.read(path).output.argv[0] in ("bjobs", "bhist")
        and any(
            (line.count("^") > 1 and "STAT" not in line) or "Job <" in line
            for line in Recorded.read(path).output.stdout.splitlines()
        )
    }
    ends = {"end-of-running", "end-of-pending", "end-unlimited", "cut-short"}
    assert shown == {*CASES, *ELEMENTS, *HISTORY, *ends}


@pytest.mark.parametrize("name", NO_JOBS)
def test_no_job_is_an_answer(name: str) -> None:
    assert scheduler(name).qstat(lambda seen: ()).records == {}
    found = scheduler(name).qstat(lambda seen: ["999"])
    assert (found.records, found.unheard) == ({}, frozenset())


@pytest.mark.parametrize("name", ["down", "down-lim", "concurrent", "cut-short"])
def test_no_answer_is_no_information(name: str) -> None:
    with pytest.raises(Unavailable):
        scheduler(name).qstat(lambda seen: ["201"])


def test_an_answer_without_names_of_columns_is_none() -> None:
    text = documented("running").output.stdout.split("\n", 1)[1]
    with pytest.raises(ValueError, match="names of columns"):
        [*rows(text)]


def test_a_row_that_lacks_columns_costs_that_job_only() -> None:
    header, row, _ = documented("running").output.stdout.split("\n")
    sound, short = rows(f"{header}\n{row}\n{row[:70]}\n")
    says(read_job(sound), CASES["running"])
    with pytest.raises(KeyError):
        read_job(short)


# ---- what the commands say -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "job_id", "alone"),
    [("submit", "201", True), ("submit-default", "202", True), ("submit-notices", "203", False)],
)
def test_the_id_is_read(name: str, job_id: str, alone: bool, tmp_path: Path) -> None:
    accepted = scheduler(name)
    stdout = documented(name).output.stdout
    assert accepted.job_ids(stdout) == [job_id]
    assert accepted.says_only(stdout, job_id) is alone


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("no-queue", "queue"),
        ("queue-user", "queue"),
        ("queue-closed", "queue"),
        ("too-many", "num_nodes"),
        ("too-long", "wall_time_min"),
        ("no-project", "project"),
        ("by-site-check", "project"),
        ("dependency", "after"),
        ("select", "resources"),
        ("rusage", "memory"),
        ("bad-option", ""),
        ("array-size", "array"),
    ],
)
def test_a_refusal_is_one_and_names_what_was_at_fault(name: str, limit: str) -> None:
    said = documented(f"refused-{name}").output
    error = LSFScheduler()._submission_error(said, ())
    assert isinstance(error, Rejected)
    assert error.limit == limit
    assert error.hint
    assert said.text in error.output


def test_a_sites_own_sentence_is_known_to_nobody_and_one_search_decides() -> None:
    error = LSFScheduler()._submission_error(documented("refused-site-rule").output, ())
    assert isinstance(error, Ambiguous)
    assert error.unknown


@pytest.mark.parametrize("name", ["host", "down"])
def test_what_passes_is_tried_again(name: str) -> None:
    error = LSFScheduler()._submission_error(documented(f"refused-for-now-{name}").output, ())
    assert isinstance(error, Unavailable)


@pytest.mark.parametrize(
    ("name", "ids", "unknown"),
    [
        ("kill", ["201", "202"], set()),
        ("kill-mixed", ["201", "210", "240[2]", "999"], {"999"}),
        ("kill-unknown", ["999"], {"999"}),
    ],
)
def test_cancelling_what_has_ended_is_fine_and_what_is_unknown_is_told(
    name: str, ids: list[str], unknown: set[str]
) -> None:
    assert scheduler(name).qdel(ids) == unknown


def test_a_cancel_that_did_not_get_through_is_told() -> None:
    with pytest.raises(Unavailable) as caught:
        scheduler("down").qdel(["201"])
    assert "lsid" in caught.value.hint


def test_a_wall_time_that_only_an_administrator_may_change() -> None:
    with pytest.raises(Rejected) as caught:
        scheduler("modify-running").extend("205", 90)
    assert caught.value.limit == "permission"


def test_the_end_of_a_limited_job_is_told() -> None:
    assert scheduler("end-of-running").end_time("205") == local("10:00:07")
    assert scheduler("end-of-pending").end_time("201") is None
    assert scheduler("end-unlimited").end_time("205") is None


def test_the_queues_and_their_limits() -> None:
    normal, night = scheduler("queues").queues()
    assert (normal.name, normal.up, normal.default, normal.minutes) == ("normal", True, True, 480)
    assert (night.name, night.up, night.default, night.minutes) == ("night", False, False, None)


# ---- the script ----------------------------------------------------------------------------------------------------


def lines(executor: BatchSchedulerExecutor, **fields: Any) -> list[str]:
    """The option lines of a job's script."""
    job = Job(**{"command": ["true"], "num_nodes": 2, "ranks_per_node": 4, "cpus_per_rank": 2, **fields})
    return [line[6:] for line in executor.render(job).splitlines() if line.startswith("#BSUB ")]


@pytest.fixture
def executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BatchSchedulerExecutor:
    monkeypatch.setenv("PSIJ_PARSL_HOME", str(tmp_path / "state"))
    return BatchSchedulerExecutor("lsf")


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        ({}, ["-R rusage[mem=4096MB]", "-M 8192MB"]),
        ({"memory_unit": "KB"}, ["-R rusage[mem=4194304]", "-M 8388608"]),
        ({"memory_unit": "GB"}, ["-R rusage[mem=4]", "-M 8"]),
        ({"memory_for": "slot"}, ["-R rusage[mem=512MB]", "-M 8192MB"]),
        ({"memory_for": "slot", "slots_per_node": 3}, ["-R rusage[mem=1366MB]", "-M 8192MB"]),
    ],
)
def test_memory_is_said_by_the_sites_rule(
    executor: BatchSchedulerExecutor, parameters: Mapping[str, object], wanted: list[str]
) -> None:
    found = [
        line.replace('"', "")
        for line in lines(executor, memory_per_node=4096, job_mode="script", parameters=parameters)
    ]
    assert [line for line in found if "mem=" in line or line.startswith("-M")] == wanted


def test_dependencies_are_one_expression() -> None:
    after = ["afterok:1", "afterany:2[3]", "afternotok:4", "after:5", "aftercorr:6"]
    assert [*map(condition, after)] == ["done(1)", "ended(2[3])", "exit(4)", "started(5)", "done(6[*])"]
    with pytest.raises(InvalidRequest, match="id of a job of LSF"):
        condition("afterok:1)||done(2")


def test_indices_are_counted_from_1(executor: BatchSchedulerExecutor) -> None:
    found = lines(executor, name="app", array=(0, 1, 2, 3, 7), array_limit=2)
    assert '-J "app[1-4,8]%2"' in found
    assert found[-1].startswith("-o ")
    assert found[-1].endswith("/JOB/manager.log.lsf%I")
    assert LSFScheduler().element("12", 0) == "12[1]"
    assert LSFScheduler().whole("12[1]") == "12"


def test_a_machine_with_launch_nodes_is_asked_for_nodes(executor: BatchSchedulerExecutor) -> None:
    parameters = {"nodes_option": "nnodes", "alloc_flags": ["gpumps", "smt4"]}
    found = lines(executor, gpus_per_rank=1, job_mode="script", parameters=parameters)
    assert "-nnodes 2" in found
    assert '-alloc_flags "gpumps smt4"' in found
    assert not [line for line in found if line.startswith(("-n ", "-R", "-gpu"))]
    with pytest.raises(InvalidRequest, match="whole nodes"):
        lines(executor, memory_per_node=4096, parameters=parameters)


def test_no_argument_can_be_an_option_line(executor: BatchSchedulerExecutor) -> None:
    """bsub reads them in the whole script."""
    script = executor.render(Job(command=["echo", "a\n#BSUB -q evil\n  #BSUB -x"]))
    assert "BSUB -q evil" in script
    body = script.partition("# ---- your job ----")[2]
    assert not [line for line in body.splitlines() if line.strip().startswith("#BSUB")]


@pytest.mark.parametrize(
    "text",
    [
        "Failed in an LSF library call: Failed in sending/receiving a message: Connection timed out. Job not submitted.",
        "Failed in an LSF library call: Communication time out. Job not submitted.",
        "A socket operation has failed: Broken pipe. Job not submitted.",
        "XDR operation failure. Job not submitted.",
        "LSF Batch protocol error. Job not submitted.",
        "End of file. Job not submitted.",
        "The moon is full. Job not submitted.",  # a text that nobody foresaw
    ],
)
def test_an_error_after_the_request_was_sent_is_no_refusal(text: str) -> None:
    error = LSFScheduler()._submission_error(Output(("bsub",), 255, "", text), [])
    assert isinstance(error, Ambiguous)


@pytest.mark.parametrize(
    ("keyword", "reason"),
    [
        ("TERM_PRE_EXEC_FAIL", EndReason.LAUNCH_FAILED),
        ("TERM_RC_RECLAIM", EndReason.PREEMPTED),
        ("TERM_SLURM", EndReason.NODE_FAILURE),
        ("TERM_SWAPLIMIT", EndReason.OUT_OF_MEMORY),
    ],
)
def test_an_end_by_lsf_is_not_told_with_lsfs_exit_code(keyword: str, reason: EndReason) -> None:
    assert ended(f"{keyword}: job killed for a reason", 137)[:3] == (F, reason, None)


def test_what_a_site_counts_by_slot_is_still_asked_for_by_host() -> None:
    """GPUs by `/host`; and the limit on memory is the whole job's, however it is reserved."""
    shape = {"num_nodes": 2, "ranks_per_node": 4, "gpus_per_rank": 1, "memory_per_node": 16384}
    text = BatchSchedulerExecutor("lsf").render(Job(command=["true"], parameters={"memory_for": "slot"}, **shape))  # type: ignore[arg-type]  # a test's own shorthand
    assert "num=4/host:" in text
    assert "rusage[mem=4096MB]" in text
    assert "#BSUB -M 32768MB\n" in text
