"""What a real HTCondor printed, read by our parsers. Expectations come from each case's name, not from a parser.

`htcondor` is of 25.14.1, `htcondor-23.9` of 23.9.6, which prints the same in other words or another order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.errors import Ambiguous, Rejected, Unavailable
from psij_parsl.platforms.queries import SchedulerRecord
from psij_parsl.providers.htcondor.records import LETTERS, STATES, ads, past_ads, read_end, read_job, read_status
from psij_parsl.providers.htcondor.scheduler import HTCondorScheduler
from psij_parsl.states import EndReason, JobState
from psij_parsl.system.commands import Output
from psij_parsl.testing.replay import Recorded, Replay

RECORDED = Path(__file__).parents[2] / "recorded"
Q, A, C, F, X = JobState.QUEUED, JobState.ACTIVE, JobState.COMPLETED, JobState.FAILED, JobState.CANCELED
TIMEOUT, LAUNCH, LOST = EndReason.TIMEOUT, EndReason.LAUNCH_FAILED, EndReason.LOST


@dataclass(frozen=True)
class Expected:
    """What a person knows of a job from its case's name and its header."""

    state: JobState
    exit_code: int | None = None
    signal: int | None = None
    reason: EndReason | None = None
    held: bool = False
    says: str = ""  # words of the message
    attempt: int = 0
    leftover: bool = False  # it has failed, and is in the queue until it is removed
    whole: str = ""  # the array that it belongs to


WALL = Expected(F, reason=TIMEOUT, says="exceeded allowed job duration", leftover=True)
WALL_EXECUTE = Expected(F, reason=TIMEOUT, says="exceeded allowed execute duration", leftover=True)
BAD_OUTPUT = Expected(F, reason=LAUNCH, says="Failed to open '/nosuch/x.out'", leftover=True)
ON_HOLD = Expected(Q, held=True, says="submitted on hold")
REMOVED = Expected(X, says="via condor_rm (by user alice)")
UNTOLD = Expected(F, reason=LOST, says="no exit code")  # that attribute was not asked for

#: By case and id. 25.14.1 did not give TotalSubmitProcs in the first of them: it was not asked for.
CASES: Mapping[str, Mapping[str, Expected]] = {
    "cancel-running-status-at-once": {"6.0": Expected(A, says="via condor_rm", attempt=1)},  # not gone yet
    "held-by-user": {"6.0": Expected(Q, held=True, says="via condor_hold", attempt=1)},
    "history-array": {f"12.{proc}": Expected(F if proc % 2 else C, proc % 2) for proc in range(4)},
    "history-array-of-indices": {
        f"2.{proc}": Expected(F if code else C, code, whole="2") for proc, code in enumerate((0, 2, 5))
    },
    "history-badout": {"15.0": REMOVED},
    "history-cancelled-held": {"11.0": REMOVED},
    "history-cancelled-held-code": {"5.0": REMOVED},
    "history-cancelled-pending": {"13.0": REMOVED},
    "history-cancelled-running": {"6.0": Expected(X, says="via condor_rm", attempt=1)},
    "history-exit3": {"3.0": Expected(F, 3)},
    "history-ok": {"1.0": Expected(C, 0)},
    "history-periodic-remove": {"9.0": Expected(F, says="PeriodicRemove expression")},  # nobody cancelled it
    "history-sig11": {"5.0": Expected(F, signal=11)},
    "history-sig9": {"4.0": Expected(F, signal=9)},
    "history-since": {**{f"{cluster}.0": Expected(X) for cluster in (15, 13, 6, 11)}, "10.0": UNTOLD},
    "history-started-twice": {"10.0": Expected(F, 7, attempt=1)},
    "history-wall-time-removed": {"3.0": Expected(F, reason=TIMEOUT, says="exceeded allowed job duration")},
    "later-queue-final": {"7.0": WALL, "8.0": WALL_EXECUTE},
    "later-queue-json": {
        **{f"{cluster}.0": Expected(A) for cluster in (6, 8, 10)},
        "7.0": WALL,
        "11.0": ON_HOLD,
        "13.0": Expected(Q),
        "15.0": BAD_OUTPUT,
    },
    "queue-array-and-others": {
        **{f"2.{proc}": Expected(A, whole="2") for proc in range(3)},
        **{f"{cluster}.0": Expected(A) for cluster in (3, 4, 6)},
        "5.0": ON_HOLD,
    },
    "queue-bad-interpreter": {
        "9.0": Expected(F, reason=LAUNCH, says="invalid interpreter (/no/such/shell)", leftover=True)
    },
    "queue-bad-output": {"7.0": BAD_OUTPUT},
    "queue-being-removed": {"4.0": Expected(A, says="via condor_rm")},  # it ignores SIGTERM: its processes live on
    "queue-held-while-running": {"10.0": Expected(Q, held=True, says="via condor_hold", attempt=1)},
    "queue-json": {
        **{f"{cluster}.0": Expected(A) for cluster in (1, 2, 3, 4, 5)},
        **{f"{cluster}.0": Expected(Q) for cluster in (6, 7, 8, 9, 10, 13, 15, 16, 18, 19, 20)},
        **{f"12.{proc}": Expected(Q) for proc in range(4)},
        "11.0": ON_HOLD,
    },
    "queue-json-full": {"19.0": Expected(Q), "20.0": Expected(Q)},
    "queue-released": {"10.0": Expected(Q, attempt=1)},
    "queue-wall-time-exceeded": {"3.0": WALL},
    "schedd-down-history": {"1.0": Expected(C, 0)},
}
#: The ids of the second version's jobs, where they differ.
CASES_23 = {
    "history-array-of-indices": {
        f"4.{proc}": Expected(F if code else C, code, whole="4") for proc, code in enumerate((0, 2, 5))
    },
    "history-cancelled-held-code": {"7.0": REMOVED},
    "history-started-twice": {"12.0": Expected(F, 7, attempt=1)},
    "history-wall-time-removed": {"5.0": Expected(F, reason=TIMEOUT, says="exceeded allowed job duration")},
    "queue-array-and-others": {**{f"{cluster}.0": Expected(A) for cluster in (5, 6, 8)}, "7.0": ON_HOLD},
    "queue-bad-interpreter": {
        "11.0": Expected(F, reason=LAUNCH, says="invalid interpreter (/no/such/shell)", leftover=True)
    },
    "queue-bad-output": {"9.0": BAD_OUTPUT},
    "queue-being-removed": {"6.0": Expected(A, says="via condor_rm")},
    "queue-held-while-running": {"12.0": Expected(Q, held=True, says="via condor_hold", attempt=1)},
    "queue-released": {"12.0": Expected(Q, attempt=1)},
    "queue-wall-time-exceeded": {"5.0": WALL},
    "schedd-down-history": {"1.0": Expected(C, 0)},
    "schedd-hung-history": {"1.0": Expected(C, 0)},
}
ALL = {
    **{f"htcondor/{name}": expected for name, expected in CASES.items()},
    **{f"htcondor-23.9/{name}": expected for name, expected in CASES_23.items()},
}


def recorded(name: str) -> Recorded:
    return Recorded.read(RECORDED / f"{name if '/' in name else f'htcondor/{name}'}.txt")


def read(said: Output) -> dict[str, SchedulerRecord]:
    """The records of an answer, as the scheduler reads that command's."""
    past = said.argv[0] == "condor_history"
    pieces = past_ads(said.stdout) if past else ads(said.stdout)
    return {record.id: record for record in map(partial(read_job, past=past), pieces)}


def says(record: SchedulerRecord, expected: Expected) -> None:
    for name in ("state", "exit_code", "signal", "reason", "held", "attempt"):
        assert getattr(record.status, name) == getattr(expected, name), (record.id, name)
    assert expected.says in record.status.message, record.id
    assert (record.leftover, record.whole) == (expected.leftover, expected.whole), record.id


# ---- every file that shows a job ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_json_tells_the_case_of_its_name(name: str) -> None:
    found = read(recorded(name).output)
    assert set(found) == set(ALL[name])
    for job_id, expected in ALL[name].items():
        says(found[job_id], expected)


def test_no_recorded_file_that_shows_a_job_is_left_out() -> None:
    shown = {
        f"{path.parent.name}/{path.stem}"
        for folder in ("htcondor", "htcondor-23.9")
        for path in (RECORDED / folder).glob("*.txt")
        if Recorded.read(path).output.argv[0] in ("condor_q", "condor_history")
        and re.search(r'"ClusterId"|^\s*\d+(\t|\.\d)', Recorded.read(path).output.stdout, re.MULTILINE)
    }
    tables = {f"htcondor/{name}" for name in ("history-af", "later-queue-af", "queue-nobatch")}  # see below
    assert shown == set(ALL) | tables


#: The columns of the tables that were recorded.
COLUMNS = {
    "history-af": "ClusterId ProcId JobStatus ExitCode ExitBySignal ExitSignal CompletionDate RemoveReason",
    "later-queue-af": "ClusterId ProcId JobStatus ExitCode ExitBySignal ExitSignal HoldReasonCode HoldReasonSubCode"
    " RemoteHost JobBatchName HoldReason",
}
TABLES: Mapping[str, Mapping[str, tuple[JobState, int | None, int | None]]] = {
    "history-af": {
        **{f"{cluster}.0": (X, None, None) for cluster in (15, 13, 6, 11)},
        "9.0": (F, None, None),  # by its own expression
        **{f"{cluster}.0": (C, 0, None) for cluster in (10, 20, 19, 18, 16, 2, 1)},
        **{f"12.{proc}": (F if proc % 2 else C, proc % 2, None) for proc in range(4)},
        "5.0": (F, None, 11),
        "4.0": (F, None, 9),
        "3.0": (F, 3, None),
    },
    "later-queue-af": {
        **{f"{cluster}.0": (A, None, None) for cluster in (6, 8, 10)},
        "7.0": (F, None, None),
        "15.0": (F, None, None),
        "11.0": (Q, None, None),
        "13.0": (Q, None, None),
    },
}


@pytest.mark.parametrize("name", TABLES)
def test_the_same_attributes_from_a_table_tell_the_same(name: str) -> None:
    found = {}
    for line in recorded(name).output.stdout.splitlines():
        cells = dict(zip(COLUMNS[name].split(), line.split("\t"), strict=True))
        ad: dict[str, Any] = {
            key: int(value) if value.isdigit() else value == "true" if value in ("true", "false") else value
            for key, value in cells.items()
            if value != "undefined"
        }
        status = read_status(ad, past=name.startswith("history"))
        found[f"{ad['ClusterId']}.{ad['ProcId']}"] = (status.state, status.exit_code, status.signal)
    assert found == TABLES[name]


def test_the_letter_in_the_table_is_the_case_of_its_name() -> None:
    rows = re.findall(r"^ *(\d+\.\d+) .*? ([A-Z<>]) +\d+ ", recorded("queue-nobatch").output.stdout, re.MULTILINE)
    states = {LETTERS[number]: state for number, state in STATES.items()}
    found = {job_id: states[letter] for job_id, letter in rows}
    later = CASES["queue-json"] | {"5.0": Expected(Q)}  # a moment before
    assert found == {job_id: later[job_id].state for job_id in later}


# ---- details -----------------------------------------------------------------------------------------------------


def test_a_record_has_its_tag_times_host_and_log() -> None:
    record = read(recorded("htcondor/history-started-twice").output)["10.0"]
    assert (record.tag, record.output, record.alias) == ("psij:again.sh", "/dev/null", "10")
    assert record.submitted is not None
    assert record.status.started is not None
    assert record.status.ended is not None
    assert record.submitted < record.status.started < record.status.ended
    assert (record.status.nodes, record.status.native) == ("head", "C")


def test_the_wall_time_ends_so_long_after_the_start() -> None:
    [piece] = [piece for piece in ads(recorded("queue-array-and-others").output.stdout) if piece["ClusterId"] == 3]
    assert read_end(piece) == piece["JobCurrentStartDate"] + 4
    assert read_end({"JobStatus": 1}) is None


@pytest.mark.parametrize("name", ["queue-unknown-ids-mixed", "queue-none"])
def test_nothing_at_all_means_no_jobs(name: str) -> None:
    assert recorded(name).output.stdout == ""
    assert read(recorded(name).output) == {}


@pytest.mark.parametrize("name", ["history-wall", "history-wallx", "history-none"])
def test_an_empty_list_means_no_jobs(name: str) -> None:
    assert read(recorded(name).output) == {}


# ---- other answers of the kind -----------------------------------------------------------------------------------

AD = {"ClusterId": 5, "ProcId": 0, "JobStatus": 4, "ExitBySignal": False, "ExitCode": 3, "QDate": 100}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ExitCode": 0, "Frob": ["new"], "ToE": {"ExitCode": 9}}, Expected(C, 0)),
        ({"ExitCode": "\\/Expr(3 + 4)\\/"}, UNTOLD),
        ({"ExitBySignal": True, "ExitSignal": 15}, Expected(F, signal=15)),
        ({"JobBatchName": ["a", "list"], "Out": None, "QDate": "\\/Expr(time())\\/"}, Expected(F, 3)),
        ({"JobStatus": 6}, Expected(A)),
        ({"JobStatus": 7}, Expected(A)),
        ({"JobStatus": 42}, Expected(JobState.UNKNOWN)),
        ({"JobStatus": "\\/Expr(1)\\/"}, Expected(JobState.UNKNOWN)),
        ({"JobStatus": 5, "HoldReasonCode": 16}, Expected(Q)),  # its files are on their way
        (
            {"JobStatus": 5, "HoldReasonCode": 3, "HoldReason": "PeriodicHold"},
            Expected(Q, held=True, says="Periodic"),
        ),
        ({"JobStatus": 5, "HoldReasonCode": 26}, Expected(Q, held=True)),  # the pool's policy may release it again
        ({"JobStatus": 5, "HoldReasonCode": 999}, Expected(Q, held=True)),
        ({"JobStatus": 5, "HoldReasonCode": 34}, Expected(F, reason=EndReason.OUT_OF_MEMORY, leftover=True)),
        ({"JobStatus": 5}, Expected(Q, held=True)),
        ({"JobStatus": 3, "LastJobStatus": 5}, Expected(Q)),
    ],
)
def test_an_ad_with_other_attributes_is_read(changes: dict[str, Any], expected: Expected) -> None:
    ad = dict(reversed((AD | changes).items()))
    [piece] = ads(json.dumps([ad], indent=1))
    says(read_job(piece), expected)


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("via condor_rm (by user alice)", X),
        ("Python-initiated action. (by user root)", X),
        ("The system macro SYSTEM_PERIODIC_REMOVE expression 'x' evaluated to TRUE", F),
    ],
)
def test_who_removed_a_job_tells_whether_it_was_cancelled(reason: str, state: JobState) -> None:
    assert read_status({"JobStatus": 3, "RemoveReason": reason}, past=True).state is state


def test_an_answer_that_is_cut_short_is_no_answer() -> None:
    text = recorded("queue-json").output.stdout
    for length in (1, 2, 300, len(text) // 2, len(text) - 3):
        with pytest.raises(Unavailable):
            ads(text[:length])


def test_a_bad_record_costs_one_job() -> None:
    text = recorded("queue-json").output.stdout
    odd = text.replace('"NumJobStarts": 0', '"NumJobStarts": 0x', 1).replace('"ProcId": 0', '"ProcId": null', 2)
    replay = HTCondorScheduler(run=Replay(lambda argv: Output(tuple(argv), 0, odd, "", 0.1)))
    records = replay.qstat(lambda seen: []).records
    assert len(records) == len(CASES["queue-json"]) - 2
    says(records["11.0"], ON_HOLD)


def test_the_newest_record_of_an_id_that_was_used_again_comes_last() -> None:
    text = recorded("history-array").output.stdout
    assert [piece["ProcId"] for piece in ads(text)] == [3, 2, 1, 0]
    assert [piece["ProcId"] for piece in past_ads(text)] == [0, 1, 2, 3]


def test_notices_around_the_list_are_passed_over() -> None:
    text = "Welcome to head7 [login]\n" + recorded("history-exit3").output.stdout
    says(read_job(ads(text)[0]), Expected(F, 3))


# ---- what the commands say ---------------------------------------------------------------------------------------


def scheduler(name: str) -> HTCondorScheduler:
    said = recorded(name).output
    return HTCondorScheduler(
        run=Replay(lambda argv: Output(tuple(argv), said.rc, said.stdout, said.stderr, said.seconds))
    )


@pytest.mark.parametrize(
    ("name", "job_id"),
    [
        *((f"submit-{case}", job_id) for case, job_id in (("ok-terse", "2.0"), ("exit3", "3.0"), ("sig9", "4.0"))),
        *((f"submit-{case}", job_id) for case, job_id in (("wall", "7.0"), ("wallx", "8.0"), ("periodic", "9.0"))),
        *((f"submit-{case}", job_id) for case, job_id in (("held", "11.0"), ("array", "12"), ("toobig", "13.0"))),
        *((f"submit-{case}", job_id) for case, job_id in (("badout", "15.0"), ("badinput", "16.0"))),
        ("submit-unknown-key", "18.0"),  # with a warning
        ("submit-append", "20.0"),
        ("submit-array-of-indices", "2"),
        ("htcondor-23.9/submit-array-of-indices", "4"),
        ("submit-bad-line", "12.0"),
    ],
)
def test_the_id_is_read(name: str, job_id: str, tmp_path: Path) -> None:
    answer = scheduler(name).submit(tmp_path / "script.sh")
    assert (answer.ids, answer.alone) == ([job_id], True)


def test_the_elements_of_an_array_have_ids_in_their_order(tmp_path: Path) -> None:
    assert scheduler("submit-array").submit(tmp_path / "script.sh", array=4).elements == [
        "12.0",
        "12.1",
        "12.2",
        "12.3",
    ]


def test_an_answer_without_an_id_is_looked_into(tmp_path: Path) -> None:
    with pytest.raises(Ambiguous):
        scheduler("submit-ok").qsub(tmp_path / "script.sh")  # not -terse: nothing that we would send


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("submit-badcwd", "description"),
        ("submit-bad-option", "description"),
        ("submit-file-not-there", "description"),
        ("submit-garbage", "description"),
        ("submit-noexe", "description"),
        ("submit-not-there", "description"),
        ("submit-bad-memory", "memory_per_node"),
        ("submit-bad-requirements", "requirements"),
        ("submit-unknown-schedd", "schedd"),
        ("htcondor-23.9/submit-not-there", "description"),
        ("htcondor-23.9/submit-bad-memory", "memory_per_node"),
        ("htcondor-23.9/submit-bad-requirements", "requirements"),
        ("htcondor-23.9/submit-unknown-schedd", "schedd"),
    ],
)
def test_a_refusal_is_one_and_names_what_was_at_fault(name: str, limit: str, tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        scheduler(name).qsub(tmp_path / "script.sh")
    assert caught.value.limit == limit
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "limit"),
    [  # from HTCondor's source, src/condor_submit.V6/submit.cpp, and its manual
        (
            "\nERROR: Failed to create cluster\nNumber of submitted jobs would exceed MAX_JOBS_PER_OWNER\n",
            "account limits",
        ),
        ("\nERROR: Failed to commit job submission into the queue.\nERROR: This pool needs a project.\n", "policy"),
        ("\nERROR: Failed to create cluster\nUser is disabled\n", "policy"),
    ],
)
def test_what_the_pool_refuses_is_told_in_its_own_words(text: str, limit: str, tmp_path: Path) -> None:
    refused = HTCondorScheduler(run=Replay(lambda argv: Output(tuple(argv), 1, "", text, 0.1)))
    with pytest.raises(Rejected) as caught:
        refused.qsub(tmp_path / "script.sh")
    assert caught.value.limit == limit


def test_a_connection_that_was_lost_at_the_end_may_have_brought_the_job(tmp_path: Path) -> None:
    text = "\nERROR: Failed to commit job submission into the queue.\n"
    lost = HTCondorScheduler(run=Replay(lambda argv: Output(tuple(argv), 1, "", text, 0.1)))
    with pytest.raises(Ambiguous):
        lost.qsub(tmp_path / "script.sh")


@pytest.mark.parametrize("version", ["htcondor", "htcondor-23.9"])
def test_a_schedd_that_is_down_took_no_job(version: str) -> None:
    down = scheduler(f"{version}/schedd-down-submit")
    error = down.classify_error(recorded(f"{version}/schedd-down-submit").output, "submit the job")
    assert isinstance(error, Unavailable)
    with pytest.raises(Unavailable):
        scheduler(f"{version}/schedd-down-cancel").qdel(["1.0"])


def test_a_schedd_that_hung_may_have_taken_it(tmp_path: Path) -> None:
    with pytest.raises(Ambiguous):
        scheduler("htcondor-23.9/schedd-hung-submit").qsub(tmp_path / "script.sh")
    with pytest.raises(Ambiguous):
        scheduler("htcondor-23.9/schedd-hung-cancel").qdel(["1.0"])


@pytest.mark.parametrize(
    "name", ["schedd-down-queue", "htcondor-23.9/schedd-down-queue", "htcondor-23.9/schedd-hung-queue"]
)
def test_no_answer_is_no_information(name: str) -> None:
    with pytest.raises(Unavailable):
        scheduler(name).qstat(lambda seen: ["1.0"])


@pytest.mark.parametrize(
    ("name", "ids", "unknown"),
    [
        ("cancel-finished", ["1"], {"1"}),
        ("cancel-garbage", ["frob-nicate"], {"frob-nicate"}),
        ("cancel-two", ["15", "16"], set()),
        ("cancel-unmatched", ["13"], set()),
        ("cancel-running-stubborn", ["4.0"], set()),
        ("cancel-again", ["4.0"], set()),
        ("cancel-proc-unknown", ["999999.0"], {"999999.0"}),
        ("cancel-procs-mixed", ["1.0", "5.0", "999999.0"], {"1.0", "999999.0"}),
        ("htcondor-23.9/cancel-again", ["6.0"], set()),
        ("htcondor-23.9/cancel-proc-unknown", ["999999.0"], {"999999.0"}),
        ("htcondor-23.9/cancel-procs-mixed", ["3.0", "7.0", "999999.0"], {"3.0", "999999.0"}),
    ],
)
def test_cancelling_tells_which_jobs_are_not_there(name: str, ids: list[str], unknown: set[str]) -> None:
    assert scheduler(name).qdel(ids) == unknown


@pytest.mark.parametrize("name", ["hold-nonexistent", "hold-proc-unknown"])
def test_holding_what_is_not_there_is_an_error(name: str) -> None:
    with pytest.raises(Rejected):
        scheduler(name).hold(["999999.0"])


@pytest.mark.parametrize("name", ["release-not-held", "release-proc-not-held"])
def test_releasing_what_is_not_held_is_an_error(name: str) -> None:
    with pytest.raises(Rejected):
        scheduler(name).release(["4.0"])


@pytest.mark.parametrize("name", ["hold-running", "release"])
def test_holding_and_releasing_a_job_that_is_there_is_none(name: str) -> None:
    scheduler(name).hold(["6.0"])
    scheduler(name).release(["6.0"])


@pytest.mark.parametrize(
    ("second", "reason"), [(102, EndReason.OUT_OF_MEMORY), (0, EndReason.OUT_OF_MEMORY), (104, None)]
)
def test_a_limit_of_the_disk_is_not_one_of_memory(second: int, reason: EndReason | None) -> None:
    held = {"ClusterId": 1, "ProcId": 0, "JobStatus": 5, "HoldReasonCode": 34, "HoldReasonSubCode": second}
    record = read_job({**held, "HoldReason": "exceeded its allocation"})
    assert (record.status.state, record.status.reason, record.leftover) == (JobState.FAILED, reason, True)
    assert not record.status.held


def test_an_error_that_nobody_foresaw_is_no_refusal() -> None:
    text = "ERROR: Some new text of the schedd's disconnect"
    error = HTCondorScheduler()._submission_error(Output(("condor_submit",), 1, "", text), [])
    assert isinstance(error, Ambiguous)
