"""What real Slurm printed, read by our parsers. Expectations come from each case's name, not from a parser.

`recorded/slurm/live/*.txt` are answers to our own questions (made by `recorded/record_slurm.py`);
`recorded/slurm/*.txt` were recorded with wider columns, which `as_asked` cuts to ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psij_parsl.errors import Ambiguous, Rejected, Unavailable
from psij_parsl.platforms.queries import Query, SchedulerRecord
from psij_parsl.providers.slurm.records import (
    REASONS,
    STATES,
    read_partition,
    read_sacct,
    read_scontrol,
    read_squeue,
    status,
)
from psij_parsl.providers.slurm.scheduler import SlurmScheduler
from psij_parsl.states import EndReason, JobState
from psij_parsl.system.commands import Output

FOLDER = Path(__file__).parents[2] / "recorded" / "slurm"
Q, A, C, F, X = JobState.QUEUED, JobState.ACTIVE, JobState.COMPLETED, JobState.FAILED, JobState.CANCELED


@dataclass(frozen=True)
class Expected:
    """What a case's name says about its job. `None` for the exit code where the manager ended it."""

    state: JobState
    exit_code: int | None = None
    signal: int | None = None
    reason: EndReason | None = None
    held: bool = False
    attempt: int = 0


DONE = Expected(C, 0)
CASES = {
    "badchdir": Expected(F, reason=EndReason.LAUNCH_FAILED),
    "cancelled": Expected(X),
    "cancelled-while-pending": Expected(X),
    "cancelling": Expected(X),
    "completed": DONE,
    "failed-127": Expected(F, 127),
    "failed-exit3": Expected(F, 3),
    "failed-step4-exit5": Expected(F, 5),
    "held": Expected(Q, held=True),
    "held-by-admin": Expected(Q, held=True),
    "held-by-user": Expected(Q, held=True),
    "killed-by-signal11": Expected(F, signal=11),
    "killed-by-signal9": Expected(F, signal=9),
    "node-fail": Expected(F, reason=EndReason.NODE_FAILURE),
    "pending-dependency": Expected(Q),
    "pending-priority": Expected(Q),
    "pending-resources": Expected(Q),
    "requeued": Expected(A, attempt=1),  # its first attempt is still being cleaned up
    "requeuehold": Expected(Q, held=True, attempt=1),
    "running": Expected(A),
    "timeout": Expected(F, reason=EndReason.TIMEOUT),
    "timeout-with-usr1-trap": Expected(F, 7),  # it ended itself when it was warned
}
LIVE = {
    "array-ended": None,  # see the array's own test
    "array-pending": None,
    "array-running": None,
    "bad-output": Expected(F, reason=EndReason.LAUNCH_FAILED),
    "cancelled": Expected(X),
    "cancelled-while-pending": Expected(X),
    "completed": DONE,
    "dependency-cancelled": Expected(X, reason=EndReason.DEPENDENCY),
    "dependency-never-satisfied": Expected(Q),
    "failed-127": Expected(F, 127),
    "failed-exit137": Expected(F, 137),
    "failed-exit3": Expected(F, 3),
    "held": Expected(Q, held=True),
    "killed-by-signal11": Expected(F, signal=11),
    "killed-by-signal9": Expected(F, signal=9),
    "node-failed": Expected(F, reason=EndReason.NODE_FAILURE),
    "pending-begin-time": Expected(Q),
    "pending-resources": Expected(Q),
    "requeued": Expected(Q, attempt=1),
    "requeued-and-held": Expected(Q, held=True, attempt=1),
    "running": Expected(A),
    "running-with-long-comment": Expected(A),
    "running-with-odd-comment": Expected(A),
    "special-exit": Expected(Q, held=True, attempt=1),
    "suspended": Expected(A),
    "timeout": Expected(F, reason=EndReason.TIMEOUT),
    "timeout-after-its-own-end": Expected(F, 7),
}
# Where accounting tells less than the controller. What it folds, our exit file tells: see test_tracking.py.
ACCOUNTED = {"dependency-cancelled": Expected(X), "failed-exit137": Expected(F, 9)}


@dataclass(frozen=True)
class Recorded:
    """One recorded command."""

    argv: Sequence[str]
    rc: int
    stdout: str
    stderr: str

    @property
    def output(self) -> Output:
        return Output(tuple(self.argv), self.rc, self.stdout, self.stderr, 1.0)


def recorded(name: str) -> Recorded:
    text = (FOLDER / f"{name}.txt").read_text()
    head, _, rest = text.partition("#--stdout--\n")
    out, _, errors = rest.rpartition("#--stderr--\n")
    command = re.search(r"^# command: (\S+)", head, re.MULTILINE)
    rc = re.search(r"^# rc: (\d+)", head, re.MULTILINE)
    assert command
    assert rc
    return Recorded([command[1]], int(rc[1]), out, errors)


def as_asked(case: str) -> str:
    """The line that `SlurmScheduler.live` would have got: the columns of two wider answers, put in our order."""
    job_id, state, reason, nodes, _, _, _, _, _, _, _, start, end, _, _ = (
        recorded(f"{case}.squeue").stdout.splitlines()[0].split("|")
    )
    wide = recorded(f"{case}.squeueO").stdout  # fixed widths: 20, 6, 40, 12, 40
    told = recorded(f"{case}.scontrol").stdout
    restarts, submitted = re.search(r"Restarts=(\d+)", told), re.search(r"SubmitTime=(\S+)", told)
    assert restarts
    assert submitted
    code = wide[66:78].strip()
    return f"{job_id}|{state}|{code}|{restarts[1]}|{submitted[1]}|{start}|{end}|{nodes}|(null)|/dev/null|{reason} "


def says(record: SchedulerRecord | None, expected: Expected, *, but: Sequence[str] = ()) -> None:
    assert record is not None
    found = record.status
    for name in ("state", "exit_code", "signal", "reason", "held", "attempt"):
        if name not in but:
            assert getattr(found, name) == getattr(expected, name), name


# ---- live and past, case by case -----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_squeue_tells_the_case_of_its_name(case: str) -> None:
    says(read_squeue(as_asked(case)), CASES[case])


@pytest.mark.parametrize("case", [name for name, expected in LIVE.items() if expected])
def test_our_own_question_to_squeue_tells_the_case_of_its_name(case: str) -> None:
    expected = LIVE[case]
    assert expected
    answer = recorded(f"live/{case}.squeue").stdout.splitlines()
    assert len(answer) == 1
    says(read_squeue(answer[0]), expected)


@pytest.mark.parametrize("case", CASES)
def test_scontrol_tells_the_case_of_its_name(case: str) -> None:
    line = " ".join(recorded(f"{case}.scontrol").stdout.split("\n"))
    says(read_scontrol(line), CASES[case])


@pytest.mark.parametrize("case", [name for name, expected in LIVE.items() if expected])
def test_our_own_question_to_scontrol_tells_the_case_of_its_name(case: str) -> None:
    expected = LIVE[case]
    assert expected
    answer = recorded(f"live/{case}.scontrol").stdout.splitlines()
    assert len(answer) == 1
    says(read_scontrol(answer[0]), expected)


def accounted(lines: Sequence[str], *, commanded: bool = False) -> list[SchedulerRecord]:
    return [record for line in lines if (record := read_sacct(line, commanded=commanded)) is not None]


def live_accounted(case: str) -> list[SchedulerRecord]:
    return accounted(recorded(f"live/{case}.sacct").stdout.splitlines(), commanded=True)


def live_squeue(case: str) -> SchedulerRecord:
    record = read_squeue(recorded(f"live/{case}.squeue").stdout.splitlines()[0])
    assert record
    return record


@pytest.mark.parametrize("case", CASES)
def test_accounting_tells_an_end_and_nothing_else(case: str) -> None:
    """It lags behind: "failed-exit3" was recorded when accounting still called that job pending."""
    found = []
    for line in recorded(f"{case}.sacct").stdout.splitlines():
        job_id, _, _, _, _, state, code, _, reason, start, end, _, _, nodes = line.split("|")
        if "." not in job_id:  # what -X leaves out
            found.append(f"{job_id}|{state}|{code}|{start}|{start}|{end}|{nodes}||{reason}")
    records = accounted(found)
    if not CASES[case].state.final or case == "failed-exit3":
        assert not records
    else:
        assert len(records) == 1
        says(records[0], CASES[case])


@pytest.mark.parametrize("case", [name for name, expected in LIVE.items() if expected])
def test_our_own_question_to_accounting_tells_an_end_and_nothing_else(case: str) -> None:
    expected = LIVE[case]
    assert expected
    records = live_accounted(case)
    if not expected.state.final:
        assert not records
    elif records:  # it may lag, and then it says nothing
        says(records[0], ACCOUNTED.get(case, expected))


def test_most_ends_were_recorded_from_accounting_too() -> None:
    ends = [name for name, expected in LIVE.items() if expected and expected.state.final]
    told = [name for name in ends if live_accounted(name)]
    assert len(told) > len(ends) / 2


def test_every_recorded_case_has_a_row() -> None:
    assert {path.name.split(".")[0] for path in (FOLDER / "live").glob("*.squeue.txt")} == set(LIVE)
    alone = {path.name.removesuffix(".squeueO.txt") for path in FOLDER.glob("*.squeueO.txt")}
    assert alone == set(CASES)


# ---- details -------------------------------------------------------------------------------------------------------


def test_an_array_is_one_record_for_each_element() -> None:
    for case, states in {
        "array-running": {"3": A, "7": A},
        "array-pending": {"0": Q, "1": Q, "2": Q, "8": Q},
        "array-ended": {"0": C, "1": F},
    }.items():
        answer = recorded(f"live/{case}.squeue").stdout.splitlines()
        records = [record for line in answer if (record := read_squeue(line)) is not None]
        assert {record.id.partition("_")[2]: record.status.state for record in records} == states
        assert len({record.id.partition("_")[0] for record in records}) == 1


def test_an_ended_array_is_in_accounting_element_by_element() -> None:
    records = live_accounted("array-ended")
    assert {record.id.partition("_")[2]: record.status.exit_code for record in records} == {"0": 0, "1": 1}


def test_nodes_and_times_are_told() -> None:
    found = live_squeue("running").status
    assert re.fullmatch(r"node\[0\d-0\d\]", found.nodes)
    assert found.started
    assert found.ended is None
    ended = live_squeue("completed").status
    assert ended.started
    assert ended.ended
    assert ended.started <= ended.ended


def test_a_time_that_is_only_expected_is_no_start() -> None:
    assert live_squeue("pending-begin-time").status.started is None


def test_a_comment_is_not_cut_and_an_odd_one_spoils_nothing() -> None:
    assert live_squeue("running-with-long-comment").tag == "x" * 300
    odd = live_squeue("running-with-odd-comment")
    assert (odd.status.state, odd.status.nodes) == (A, "node01")


def test_a_reason_that_says_no_more_than_the_state_is_left_out() -> None:
    for case in ("completed", "failed-exit3", "killed-by-signal9", "killed-by-signal11"):
        assert live_squeue(case).status.message == "", case
    assert live_squeue("pending-resources").status.message == "Resources"


def test_a_person_reads_what_happened() -> None:
    def line(case: str) -> str:
        return live_squeue(case).status.describe()

    assert line("failed-exit3") == "FAILED, exit code 3"
    assert line("failed-exit137") == "FAILED, exit code 137 (likely SIGKILL)"
    assert line("killed-by-signal9") == "FAILED, signal SIGKILL"
    assert line("timeout").startswith("FAILED, TIMEOUT")
    assert line("completed") == "COMPLETED"


def test_partitions_are_read_with_their_limits() -> None:
    found = [read_partition(line) for line in recorded("live/partitions").stdout.splitlines()]
    queues = {queue.name: queue for queue in found if queue}
    assert set(queues) == {"debug", "batch", "short", "small", "closed"}
    assert queues["debug"].default
    assert not queues["batch"].default
    assert {name: queue.minutes for name, queue in queues.items()} == {
        "debug": 30,
        "batch": 1440,
        "short": 1,
        "small": 120,
        "closed": 120,
    }
    assert {name: queue.max_nodes for name, queue in queues.items() if queue.max_nodes} == {"small": 1}
    assert [name for name, queue in queues.items() if not queue.up] == ["closed"]


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("UNLIMITED", None), ("NONE", None), ("", None), ("00:00:30", 0), ("7-00:00:00", 10080), ("1-02:03:04", 1563)],
)
def test_a_wall_time_limit_is_in_minutes(text: str, minutes: int | None) -> None:
    queue = read_partition(f"PartitionName=x State=UP MaxTime={text}")
    assert queue
    assert queue.minutes == minutes


# ---- states --------------------------------------------------------------------------------------------------------

# https://slurm.schedmd.com/job_state_codes.html and slurm_protocol_defs.c, with what each means for a job.
DOCUMENTED = {
    "BOOT_FAIL": (F, EndReason.NODE_FAILURE),
    "CANCELLED": (X, None),
    "COMPLETED": (C, None),
    "CONFIGURING": (Q, None),
    "COMPLETING": (A, None),
    "DEADLINE": (F, EndReason.DEADLINE),
    "EXPEDITING": (Q, None),
    "FAILED": (F, None),
    "LAUNCH_FAILED": (F, EndReason.LAUNCH_FAILED),
    "NODE_FAIL": (F, EndReason.NODE_FAILURE),
    "OUT_OF_MEMORY": (F, EndReason.OUT_OF_MEMORY),
    "PENDING": (Q, None),
    "POWER_UP_NODE": (Q, None),
    "PREEMPTED": (F, EndReason.PREEMPTED),
    "RECONFIG_FAIL": (F, EndReason.LAUNCH_FAILED),
    "REQUEUED": (Q, None),
    "REQUEUE_FED": (Q, None),
    "REQUEUE_HOLD": (Q, None),
    "RESIZING": (A, None),
    "RESV_DEL_HOLD": (Q, None),
    "REVOKED": (JobState.UNKNOWN, None),
    "RUNNING": (A, None),
    "SIGNALING": (A, None),
    "SPECIAL_EXIT": (Q, None),
    "STAGE_OUT": (A, None),
    "STOPPED": (A, None),
    "SUSPENDED": (A, None),
    "TIMEOUT": (F, EndReason.TIMEOUT),
    "UPDATE_DB": (A, None),
}


@pytest.mark.parametrize("native", DOCUMENTED)
def test_every_documented_state_has_its_meaning(native: str) -> None:
    found = status(native, 0, 0, "", "", 0, "", "")
    assert (found.state, found.reason) == DOCUMENTED[native]
    assert found.native == native


def test_no_state_is_in_the_tables_that_is_not_documented() -> None:
    assert STATES.keys() | REASONS.keys() == DOCUMENTED.keys()
    assert not STATES.keys() & REASONS.keys()


@pytest.mark.parametrize("native", ["REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"])
def test_a_state_that_waits_for_a_release_is_held(native: str) -> None:
    assert status(native, 0, 0, "", "", 0, "", "").held


@pytest.mark.parametrize(
    "reason",
    [
        "JobHeldUser",
        "JobHeldAdmin",
        "JobHoldMaxRequeue",
        "launch failed requeued held",
        "launch_failed_requeued_held",
        "job requeued in held state",
        "job_requeued_in_held_state",
    ],
)
def test_held_is_held_however_it_is_spelled(reason: str) -> None:
    assert status("PENDING", 0, 0, "", reason, 0, "", "").held
    assert not status("RUNNING", 0, 0, "", reason, 0, "", "").held


@pytest.mark.parametrize(
    "reason",
    ["Dependency", "Priority", "Resources", "JobHeldUser", "BeginTime", "JobArrayTaskLimit", "QOSMaxCpuPerUser"],
)
@pytest.mark.parametrize("native", ["CANCELLED", "FAILED", "COMPLETED"])
def test_why_a_job_waited_is_no_reason_of_its_end(native: str, reason: str) -> None:
    found = status(native, 1, 0, "", reason, 0, "", "")
    assert (found.reason, found.message) == (None, "")


def test_a_dependency_that_could_never_be_met_is_the_reason_of_an_end() -> None:
    found = status("CANCELLED", 0, 0, "", "DependencyNeverSatisfied", 0, "", "")
    assert found.reason is EndReason.DEPENDENCY


def test_a_state_that_nobody_knows_is_unknown_and_keeps_its_word() -> None:
    found = status("HIBERNATING", 0, 0, "", "", 0, "", "")
    assert (found.state, found.native) == (JobState.UNKNOWN, "HIBERNATING")


# ---- garbage -------------------------------------------------------------------------------------------------------

GARBAGE = st.text(st.sampled_from("0123456789|:=_ ,()[]-RUNNINGJobId\t\x00é") | st.characters(), max_size=80)


def one_line(text: str) -> bool:
    return len(text.splitlines()) == 1


@given(before=st.lists(GARBAGE.filter(one_line), max_size=3), after=st.lists(GARBAGE.filter(one_line), max_size=3))
@pytest.mark.parametrize("question", ["live", "accounting", "controller", "partitions"])
def test_a_garbage_line_costs_that_record_only(question: str, before: list[str], after: list[str]) -> None:
    scheduler = SlurmScheduler()
    queues = scheduler.queues_query()
    accounting, _, controller = scheduler.history(["8"], 0)
    query, good = {
        "live": (scheduler.live(), recorded("live/failed-exit3.squeue").stdout.rstrip("\n")),
        "accounting": (accounting, recorded("live/failed-exit137.sacct").stdout.rstrip("\n")),
        "controller": (controller, recorded("live/failed-exit3.scontrol").stdout.rstrip("\n")),
        "partitions": (queues, recorded("live/partitions").stdout.splitlines()[1]),
    }[question]
    whole = Output(tuple(query.argv), 0, "\n".join([*before, good, *after, ""]), "")
    wanted = query.parse(good)
    assert wanted in list(SlurmScheduler(run=lambda *a, **k: whole).ask(query))


@pytest.mark.parametrize("word", ["", "x", "-", "1.5", "0x1", "99999999999999999999"])
@pytest.mark.parametrize("position", range(11))
def test_any_odd_word_is_read_or_costs_that_record_only(position: int, word: str) -> None:
    words = recorded("live/failed-exit3.squeue").stdout.splitlines()[0].split("|")
    words[position] = word
    try:
        found = read_squeue("|".join(words))
    except ValueError:
        return
    assert found
    assert found.status.state in (F, JobState.UNKNOWN)


# ---- complaints ----------------------------------------------------------------------------------------------------

REFUSALS = {
    "submit-account-not-allowed": "project",
    "submit-bad-constraint": "constraint",
    "submit-bad-gres": "gres",
    "submit-bad-mail": "mail_type",
    "submit-bad-partition": "queue",
    "submit-bad-qos": "qos",
    "submit-no-association": "project",
    "submit-qos-not-allowed": "qos",
    "submit-small-maxnodes": "num_nodes",
    "submit-too-long": "wall_time_min",
    "submit-too-many-cpus": "",  # cores or nodes: Slurm does not tell which
    "submit-too-many-nodes": "",
    "array-submit-too-large": "array",
    "submit-crlf": "",
    "submit-invalid-option": "",
    "submit-no-script": "",
    "submit-no-shebang": "",
    "live/refused-partition": "queue",
    "live/refused-account": "project",
    "live/refused-qos": "qos",
    "live/refused-time": "wall_time_min",
    "live/refused-nodes": "",
    "live/refused-nodes-of-partition": "num_nodes",
    "live/refused-cpus": "",
    "live/refused-cpus-of-a-node": "num_nodes",
    "live/refused-memory": "memory_per_node",
    "live/refused-gres": "gres",
    "live/refused-gpus": "num_nodes",
    "live/refused-constraint": "constraint",
    "live/refused-reservation": "reservation",
    "live/refused-nodelist": "nodelist",
    "live/refused-licenses": "licenses",
    "live/refused-array": "array",
    "live/refused-dependency": "after",
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_final_and_names_what_was_hit(case: str) -> None:
    answer = recorded(case)
    error = SlurmScheduler().classify_error(answer.output, "submit the job")
    assert isinstance(error, Rejected)
    assert error.limit == REFUSALS[case]
    assert error.output == answer.stderr.strip()
    assert error.limit == "" or error.hint
    assert "\n" not in error.message


def test_every_recorded_refusal_has_a_row() -> None:
    refused = {
        f"live/{path.stem}" for path in (FOLDER / "live").glob("refused-*.txt") if recorded(f"live/{path.stem}").rc
    }
    refused |= {path.stem for path in FOLDER.glob("submit-*.txt") if recorded(path.stem).rc}
    assert refused <= REFUSALS.keys()


@pytest.mark.parametrize("case", ["munge-down.sbatch", "dbd-down.sacct"])
def test_a_service_that_is_away_is_worth_another_try(case: str) -> None:
    assert isinstance(SlurmScheduler().classify_error(recorded(case).output, "do it"), Unavailable)


def test_a_hung_controller_may_have_taken_the_job() -> None:
    error = SlurmScheduler().classify_error(recorded("controller-hung.sbatch").output, "submit the job")
    assert isinstance(error, Ambiguous)
    assert error.output == "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"


@pytest.mark.parametrize("case", ["controller-hung.squeue-j", "munge-down.squeue", "dbd-down.sacct"])
def test_no_answer_is_no_information(case: str) -> None:
    answer = recorded(case)
    scheduler = SlurmScheduler(run=lambda *a, **k: answer.output)
    with pytest.raises(Unavailable):
        scheduler.ask(Query(answer.argv, read_squeue))


@pytest.mark.parametrize(("case", "job_id"), [("submit-ok-parsable", "6")])
def test_the_id_is_what_sbatch_printed(case: str, job_id: str) -> None:
    assert SlurmScheduler().job_id(recorded(case).stdout) == job_id


@pytest.mark.parametrize(
    ("text", "job_id"),
    [
        ("12\n", "12"),
        ("12;cluster\n", "12;cluster"),
        ("3\n12;cluster\n7\n", "12;cluster"),
        ("sbatch: warning: be nice\n12\n", "12"),
        ("", ""),
        ("no\n", ""),
    ],
)
def test_the_id_is_found_beside_warnings(text: str, job_id: str) -> None:
    assert SlurmScheduler().job_id(text) == job_id


# ---- cancelling ----------------------------------------------------------------------------------------------------


def test_ids_that_scancel_does_not_know_are_told() -> None:
    for case in ("cancel-nonexistent-verbose", "live/cancel-unknown", "live/cancel-unknown-and-ended"):
        assert "999999" in SlurmScheduler().unknown_ids(recorded(case).output), case
    ended = SlurmScheduler().unknown_ids(recorded("live/cancel-unknown-and-ended").output)
    element = re.search(r"\b(\d+_77)\b", recorded("live/cancel-unknown-and-ended").stderr)
    assert ended <= {"999999", element[1] if element else ""}  # and not the one that has only ended


def test_a_hung_controller_may_have_heard_a_cancel() -> None:
    answer = recorded("controller-hung.scancel").output
    with pytest.raises(Ambiguous):
        SlurmScheduler(run=lambda *a, **k: answer).qdel(["100"])
