"""What a real Grid Engine 8.1.9 printed, read by our parsers. Expectations come from each case's name and header.

`held-and-waiting`, `history`, `memory-exceeded`, `pe-tasks`, `running-with-limit`, `cancel-mixed`, `cancel-twice` and
`version.qsub-version` were recorded later, on a cluster of the same version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from psij_parsl.errors import Ambiguous, Rejected, Unavailable
from psij_parsl.platforms import command_owners
from psij_parsl.platforms.queries import SchedulerRecord
from psij_parsl.providers.gridengine.records import ended_jobs, jobs, moment, read_end, read_ended, read_job, status
from psij_parsl.providers.gridengine.scheduler import GridEngineScheduler
from psij_parsl.states import EndReason, JobState
from psij_parsl.system.commands import Output
from psij_parsl.testing.replay import Recorded, Replay

FOLDER = Path(__file__).parents[2] / "recorded" / "gridengine"
Q, A, C, F, X = JobState.QUEUED, JobState.ACTIVE, JobState.COMPLETED, JobState.FAILED, JobState.CANCELED
LAUNCH, TIME = EndReason.LAUNCH_FAILED, EndReason.TIMEOUT


@dataclass(frozen=True)
class Expected:
    """What a person knows of a case from its name and its header."""

    state: JobState
    exit_code: int | None = None
    signal: int | None = None
    reason: EndReason | None = None
    held: bool = False
    nodes: str = ""
    attempt: int = 0


ERROR = Expected(F, reason=LAUNCH)
ON_NODE4 = Expected(A, nodes="node04")
#: Jobs that qstat shows, by case: the job of the case, and what it is.
LIVE: Mapping[str, Mapping[str, Expected]] = {
    "array-mid": {
        "71.1": Expected(A, nodes="node01"),
        "71.2": ON_NODE4,
        **{f"71.{task}": Expected(Q) for task in range(3, 7)},
    },
    "cancelled-on-dead-node": {"97": ON_NODE4},  # qdel was accepted, and is carried out when the node is back
    "cancelling": {"56": Expected(A, nodes="node01")},
    "error-bad-output": {"52": ERROR},
    "error-bad-shell": {"53": ERROR},
    "error-bad-workdir": {"51": ERROR},
    "failed-exit100": {"62": ERROR},  # the code asks for the error state
    "failed-exit99": {"61": Expected(Q, attempt=1)},  # the code asks for another run
    "held": {"66": Expected(Q, held=True)},
    "held-qhold": {"67": Expected(Q, held=True)},
    "held-running": {"68": ON_NODE4},  # a hold is for the next start
    "many": {
        str(number): Expected(A, nodes=f"node{node:02}")
        for number, node in {77: 1, 79: 3, 81: 2, 83: 4, 87: 1, 89: 2, 91: 3}.items()
    },
    "node-killed": {"97": ON_NODE4},  # Grid Engine goes on calling it running, for as long as was looked
    "node-killed-later": {"97": ON_NODE4},
    "pending-just-submitted": {"55": Expected(Q)},
    "rescheduled": {"68": ON_NODE4},  # it was refused: the job is not to be rerun
    "rescheduled-rerunnable": {"70": Expected(Q, attempt=1)},
    "running": {"56": Expected(A, nodes="node01"), "55": Expected(Q)},
    "suspended": {"68": ON_NODE4},
}
#: Without -r, which the recorder did not say, it looks as if somebody held it: see `held-and-waiting`.
LOOKS_HELD: Mapping[str, Mapping[str, Expected]] = {"pending-dependency": {"57": Expected(Q, held=True)}}
#: Ended jobs by case, as qacct has them; None: what it has was no end.
ENDED: Mapping[str, Expected | None] = {
    "cancelled": Expected(F, signal=9, nodes="node01"),  # as if it had killed itself: our own record tells
    "cancelled-by-force": Expected(X, nodes="node03"),  # qacct says 0 of it
    "completed": Expected(C, 0, nodes="node01"),
    "crlf": Expected(C, 0, nodes="node01"),
    "error-bad-output": Expected(F, reason=LAUNCH, nodes="node03"),
    "error-bad-shell": Expected(F, reason=LAUNCH, nodes="node02"),
    "error-bad-workdir": Expected(F, reason=LAUNCH, nodes="node04"),
    "failed-127": Expected(F, 127, nodes="node04"),
    "failed-exit100": Expected(F, 100, nodes="node01"),
    "failed-exit99": None,
    "killed-by-signal11": Expected(F, signal=11, nodes="node03"),
    "killed-by-signal9": Expected(F, signal=9, nodes="node02"),
    "memory-exceeded": Expected(F, reason=EndReason.OUT_OF_MEMORY, nodes="node03"),
    "rescheduled-rerunnable": None,
    "server-down": Expected(F, 3, nodes="node03"),  # qacct reads a file
    "timeout-h_rt-job": Expected(F, reason=TIME, nodes="node04"),
    "timeout-queue-limit": Expected(F, reason=TIME, nodes="node01"),
    "timeout-s_rt-notify": Expected(F, 7, nodes="node03"),  # its trap ended it
}


def recorded(name: str) -> Recorded:
    return Recorded.read(FOLDER / f"{name}.txt")


def names(*kinds: str) -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.txt") if path.stem.rpartition(".")[2].startswith(kinds))


def case(name: str) -> str:
    return name.partition(".")[0]


def is_as(record: SchedulerRecord | None, expected: Expected) -> None:
    assert record is not None
    for name in ("state", "exit_code", "signal", "reason", "held", "nodes", "attempt"):
        assert getattr(record.status, name) == getattr(expected, name), name


def live(text: str) -> dict[str, SchedulerRecord]:
    return {record.id: record for piece in jobs(text) if (record := read_job(piece))}


def ended(text: str) -> dict[str, SchedulerRecord]:
    return {record.id: record for piece in ended_jobs(text) if (record := read_ended(piece))}


# ---- every file that shows a job ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names("qstat-xml", "qstat-r-xml", "qstat-g-d-xml", "qstat-f-xml"))
def test_qstat_tells_the_case_of_its_name(name: str) -> None:
    said = recorded(name).output
    if case(name) in ("server-down", "server-hung", "held-and-waiting", "info"):
        return  # elsewhere in this module; `info` shows queues
    found = live(said.stdout)
    for job_id, expected in {**LIVE, **LOOKS_HELD}.get(case(name), {}).items():
        is_as(found[job_id], expected)
    if case(name) in ("crlf", "empty"):
        assert case(name) != "empty" or not found
        assert "50" not in found  # it has ended


@pytest.mark.parametrize("name", names("qstat", "qstat-t", "qstat-g-d", "qstat-u"))
def test_the_letters_in_the_table_mean_the_same(name: str) -> None:
    if name.endswith("xml") or name.rpartition(".")[2].startswith(("qstat-j", "qstat-s-z", "qstat-f", "qstat-g-c")):
        return
    expected = {**LIVE, **LOOKS_HELD}.get(case(name), {})
    rows = re.findall(
        r"^ +(\d+) \d\.\d+ \S+ +alice +(\w+) +[\d/]+ [\d:]+ .*?(?: +(\d+))?$",
        recorded(name).output.stdout,
        re.MULTILINE,
    )
    for number, letters, _ in rows:
        states = {one.state for job_id, one in expected.items() if job_id.partition(".")[0] == number}
        if states:
            assert status(letters, {}).state in states


@pytest.mark.parametrize("name", names("qacct-j"))
def test_qacct_tells_the_case_of_its_name(name: str) -> None:
    said = recorded(name).output
    if case(name) == "pe-tasks":
        return  # see below
    found = list(ended(said.stdout).values())
    if "not found" in said.stderr:
        assert not found
        return
    expected = ENDED[case(name)]
    if expected is None:
        assert not found
    else:
        is_as(found[0], expected)
        assert len(found) == 1
        assert found[0].submitted


@pytest.mark.parametrize("name", names("qstat-s-z"))
def test_a_job_that_qstat_shows_after_its_end_is_asked_of_qacct(name: str) -> None:
    """It has the state z, be it well or badly ended."""
    said = recorded(name).output.stdout
    if name.endswith("xml"):
        assert "<state>z</state>" in said
        assert not live(said)
    else:
        assert set(re.findall(r"alice +(\w+) ", said)) == {"z"}


def test_no_recorded_file_that_shows_a_job_is_left_out() -> None:
    shown = {
        path.stem
        for path in FOLDER.glob("*.txt")
        if re.search(r"<JB_job_number>|^jobnumber|^job_number:|^ +\d+ \d\.\d+ ", path.read_text(), re.MULTILINE)
    }
    by_number = {name for name in shown if name.rpartition(".")[2].startswith("qstat-j")}  # they have no state
    queues_with_jobs = {"info.qstat-f", "info.qstat-f-xml", "running.qstat-f", "node-killed-later.qstat-f"}
    read = {
        *names(
            "qstat-xml",
            "qstat-r-xml",
            "qstat-g-d",
            "qacct-j",
            "qacct-o",
            "qacct-m",
            "qstat-s-z",
            "qstat-t",
            "qstat-u",
        ),
        *(name for name in shown if name.endswith(".qstat")),
    }
    assert shown - by_number - queues_with_jobs - read == set()
    known = {
        *LIVE,
        *LOOKS_HELD,
        *ENDED,
        "crlf",
        "held-and-waiting",
        "history",
        "pe-tasks",
        "running-with-limit",
        "server-hung-after",
    }
    ended_well = {"cancelled-while-pending"}
    assert {case(name) for name in shown} - known - ended_well == {"info"} & {case(name) for name in shown}


def test_a_job_that_waits_for_another_is_held_by_nobody() -> None:
    found = live(recorded("held-and-waiting.qstat-r-xml").output.stdout)
    held = {job_id: record.status.held for job_id, record in found.items()}
    assert held == {
        "144": False,
        "149": False,
        "143": True,
        "145": False,
        "146": False,
        "147.1": True,
        "147.5": True,
        "147.9": True,
    }
    assert found["145"].status.message == "waits for 144"
    assert found["143"].tag == "psij.0123456789"
    assert found["147.5"].tag == "psij.dddddddddd"
    assert found["143"].submitted == moment("2026-11-26T23:05:40")


def test_names_may_hold_what_is_no_xml() -> None:
    found = [read_job(piece) for piece in jobs(recorded("many.qstat-xml").output.stdout)]
    assert len(found) == len([record for record in found if record]) >= 7


def test_of_a_parallel_jobs_tables_the_last_is_its_own() -> None:
    every, masters = (recorded(f"pe-tasks.{kind}").output.stdout for kind in ("qacct-j", "qacct-m-j"))
    assert (every.count("jobnumber"), masters.count("jobnumber")) == (3, 1)
    for text in (every, masters):
        (record,) = ended(text).values()
        is_as(record, Expected(F, 3, nodes="node04"))


def test_a_history_of_all_jobs_ends_with_a_summary_that_is_no_job() -> None:
    found = ended(recorded("history.qacct-m-o").output.stdout)
    assert {record.id for record in found.values()} == {"142", "144", "148", "149"} & {*found} | {*found}
    is_as(found["149"], Expected(F, 3, nodes="node04"))
    many = ended(recorded("many.qacct-o").output.stdout)
    is_as(many["1"], Expected(F, 3, nodes="node01"))
    assert not ended(recorded("history-empty.qacct-m-o").output.stdout)


# ---- other forms -------------------------------------------------------------------------------------------------

UNIVA = """<?xml version='1.0'?>
<job_info xmlns:xsd="x"><queue_info>
<job_list state="running"><extra/><state>r</state><JB_owner>alice</JB_owner>
<JAT_start_time>2026-11-21T21:42:35.123</JAT_start_time><JB_submission_time>1795297355123</JB_submission_time>
<queue_name>all.q@node01.site.org</queue_name><jclass_name></jclass_name><full_job_name>long.psij.0123456789</full_job_name>
<JB_name>long.psij.</JB_name><JB_job_number>56</JB_job_number><tasks>7,9-10</tasks></job_list>
<job_list state="pending"><JB_job_number>x</JB_job_number><state>qw</state></job_list>
<job_list state="pending"><JB_job_number>57</JB_job_number><state>(-)</state></job_list>
<job_list state="pending"><JB_job_number>58</JB_job_number><tasks>some</tasks><state>qw</state></job_list>
<job_list state="pending"><JB_job_number>59</JB_job_number><state>hqw</state></job_list>
</queue_info><job_info></job_info></job_info>
"""


def test_fields_in_another_order_more_of_them_and_times_with_milliseconds() -> None:
    asked = GridEngineScheduler(run=Replay(lambda argv: Output(tuple(argv), 0, UNIVA, "")))
    found = asked.qstat(lambda seen: []).records
    assert {*found} == {"56.7", "56.9", "56.10", "57", "59"}  # two records that cannot be read cost themselves
    is_as(found["56.9"], Expected(A, nodes="node01.site.org"))
    assert (found["56.9"].tag, found["56.9"].submitted) == ("psij.0123456789", 1795297355.123)
    assert found["57"].status.state is JobState.UNKNOWN
    assert found["59"].status.held


def test_who_deleted_a_job_is_told_by_univa() -> None:
    text = recorded("cancelled.qacct-j").output.stdout
    times = re.sub(r"(?m)^(\w+_time +)\w+ \w+ (\d+) (\S+) (\d+)$", r"\g<1>11/\2/\4 \3.123", text)
    (record,) = ended(times.replace("exit_status", "deleted_by   bob@head\npe_taskid NONE\nexit_status")).values()
    assert (record.status.state, record.status.message) == (X, "deleted by bob@head")
    assert record.submitted == moment("Sat Nov 21 21:42:35 2026")
    assert not ended(text.replace("exit_status", "pe_taskid  1.node02\nexit_status"))


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ("8   : in prolog", Expected(F, reason=LAUNCH)),
        ("15  : in epilog", Expected(C, 0)),
        ("18  : shepherd returned error", Expected(F, reason=EndReason.NODE_FAILURE)),
        ("24  : migrating", None),
        ("77  : something new", Expected(F)),
    ],
)
def test_failure_codes_that_were_not_seen(failed: str, expected: Expected | None) -> None:
    text = re.sub(r"(?m)^failed .*$|^hostname.*\n", f"failed {failed}", recorded("completed.qacct-j").output.stdout)
    found = list(ended(re.sub(r"failed [^\n]*group", "group", text)).values())
    if expected is None:
        assert not found
    else:
        is_as(found[0], expected)


@pytest.mark.parametrize(
    ("letters", "state"),
    [
        ("t", A),
        ("Rr", A),
        ("dr", A),
        ("hr", A),
        ("S", A),
        ("tT", A),
        ("Rq", Q),
        ("hRwq", Q),
        ("dqw", Q),
        ("EhRqw", F),
        ("", None),
        ("qx", None),
    ],
)
def test_letters_come_in_any_combination(letters: str, state: JobState | None) -> None:
    assert status(letters, {}).state is (state or JobState.UNKNOWN)


def test_no_time_is_none() -> None:
    assert [moment(text) for text in ("", "-/-", "0", "Thu Jan  1 00:00:00 1970", "soon")] == [None] * 5


def test_the_end_of_a_wall_time_is_its_start_and_its_limit() -> None:
    text = recorded("running-with-limit.qstat-j-xml").output.stdout
    began = re.search(r"<JAT_start_time>(\d+)<", text)
    assert began is not None
    assert read_end(text) == float(began[1]) + 1800
    assert read_end(recorded("running.qstat-j-xml").output.stdout) is None  # it has no limit


# ---- what the commands say ---------------------------------------------------------------------------------------


def scheduler(name: str) -> GridEngineScheduler:
    said = recorded(name).output
    return GridEngineScheduler(
        run=Replay(lambda argv: Output(tuple(argv), said.rc, said.stdout, said.stderr, said.seconds))
    )


@pytest.mark.parametrize(
    ("name", "job_id"),
    [
        ("submit-ok", "28"),
        ("submit-ok-terse", "29"),
        ("submit-ok-array", "30"),
        ("submit-ok-array-terse", "31"),
        ("submit-w-w", "36"),  # after a warning of the site's
    ],
)
def test_the_id_is_read(name: str, job_id: str, tmp_path: Path) -> None:
    answer = scheduler(name).submit(tmp_path / "script.sh")
    assert answer.ids == [job_id]
    assert answer.alone == (name != "submit-w-w")


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("submit-bad-queue", "queue"),
        ("submit-bad-project", "project"),
        ("submit-bad-pe", "pe"),
        ("submit-bad-priority", "priority"),
        ("submit-bad-resource", "resources"),
        ("submit-bad-time", "resources"),
        ("submit-too-long-w-e", "queue limits"),
        ("submit-too-many-slots-w-e", "queue limits"),
        ("submit-bad-name", ""),
        ("submit-bad-pe-count", ""),
        ("submit-badpragma", ""),
        ("submit-empty", ""),
        ("submit-invalid-option", ""),
        ("submit-invalid-option2", ""),
        ("submit-no-script", ""),
    ],
)
def test_a_refusal_is_one_and_names_what_was_at_fault(name: str, limit: str, tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        scheduler(name).submit(tmp_path / "script.sh")
    assert caught.value.limit == limit
    assert caught.value.hint


def test_a_server_that_is_down_took_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psij_parsl.platforms.scheduler.backoff", lambda **settings: iter(()))
    with pytest.raises(Unavailable):
        scheduler("server-down.qsub").submit(tmp_path / "script.sh")


@pytest.mark.parametrize(
    "text",
    [
        "Unable to run job: failed receiving gdi request response for mid=1 (got syncron message receive timeout error).",
        "Unable to run job: got read error (closing connection).",
    ],
)
def test_a_server_that_hung_or_went_may_have_taken_it(text: str, tmp_path: Path) -> None:
    with pytest.raises(Ambiguous):
        scheduler("server-hung.qsub").submit(tmp_path / "script.sh")
    gone = GridEngineScheduler(run=Replay(lambda argv: Output(tuple(argv), 1, "", f"{text}\nExiting.\n")))
    with pytest.raises(Ambiguous):
        gone.submit(tmp_path / "script.sh")


@pytest.mark.parametrize("name", ["server-down.qstat-xml", "server-hung.qstat-xml", "server-down.qstat"])
def test_no_answer_is_no_information(name: str) -> None:
    with pytest.raises(Unavailable):
        scheduler(name).qstat(lambda seen: ["97"])


@pytest.mark.parametrize(
    ("name", "job_id", "unknown"),
    [
        ("cancel-pending", "67", False),
        ("cancel-on-dead-node", "97", False),
        ("cancel-already-finished", "56", True),  # Grid Engine says the same of a job that it never had
        ("cancel-nonexistent", "999999", True),
        ("cancel-two", "999998", True),
        ("cancel-mixed", "99999", True),
        ("cancel-mixed", "147.4", True),
        ("cancel-mixed", "144", False),
        ("cancel-twice", "144", False),
        ("array-cancel-one-dot", "71.5", False),
    ],
)
def test_what_is_unknown_is_told_by_a_cancel(name: str, job_id: str, unknown: bool) -> None:
    asked = recorded(name).output.argv[1:] if name.startswith("cancel") else [job_id]
    assert (job_id in scheduler(name).qdel(asked)) == unknown


@pytest.mark.parametrize("name", ["server-down.qdel", "server-hung.qdel"])
def test_a_cancel_that_did_not_get_through_is_told(name: str) -> None:
    with pytest.raises((Unavailable, Ambiguous)):
        scheduler(name).qdel(["1198"])


def test_a_cancel_that_waits_for_a_node_is_told_with_the_way_out(caplog: pytest.LogCaptureFixture) -> None:
    """As Grid Engine said it of a node that had died just then."""
    said = 'alice unable to sync state with remote execd for the deletion of job "5"\n'
    asked = GridEngineScheduler(run=Replay(lambda argv: Output(tuple(argv), 1, said, "")))
    assert asked.qdel(["5"]) == set()
    assert "qdel -f" in caplog.text


def test_a_job_that_is_gone_from_qstat_is_asked_of_qacct_once_with_all_others() -> None:
    def answer(argv: Sequence[str]) -> Output:
        name = "history.qacct-m-o" if argv[0] == "qacct" else "empty.qstat-xml"
        return Output(tuple(argv), 0, recorded(name).output.stdout, "")

    replay = Replay(answer)
    found = GridEngineScheduler(run=replay).qstat(lambda seen: ["149", "99", *map(str, range(1000, 3000))], 1e9)
    is_as(found.of("149"), Expected(F, 3, nodes="node04"))
    assert found.of("99") is None
    assert not found.unheard
    assert [call[:4] for call in replay.calls if call[0] == "qacct"] == [["qacct", "-m", "-o", replay.calls[0][2]]]


@pytest.mark.parametrize(
    ("gone", "asked"),
    [
        (["7"], [["-j", "7"]]),
        (["7.1", "8", "7.2"], [["-j", "7"], ["-j", "8"]]),
        (["7", "8", "9"], [["-j", "7"], ["-j", "8"], ["-j", "9"]]),
        (["6", "7", "8", "9"], [["-b"]]),
        ([], []),
    ],
)
def test_a_few_jobs_are_asked_by_their_ids_so_that_those_that_never_started_are_found(
    gone: list[str], asked: list[list[str]]
) -> None:
    replay = Replay(lambda argv: Output(tuple(argv), 0, recorded("empty.qstat-xml").output.stdout, ""))
    GridEngineScheduler(run=replay).qstat(lambda seen: gone, 1e9)
    calls = [call for call in replay.calls if call[0] == "qacct" and "-m" in call]
    assert [call[2:] if "-b" not in call else ["-b"] for call in calls] == asked


def test_a_qacct_without_m_is_asked_without_it_from_then_on() -> None:
    def answer(argv: Sequence[str]) -> Output:
        if argv[0] == "qstat":
            return recorded("empty.qstat-xml").output
        said = recorded("qacct-bad-option" if "-m" in argv else "many.qacct-o").output
        return Output(tuple(argv), said.rc, said.stdout, said.stderr)

    replay = Replay(answer)
    asked = GridEngineScheduler(run=replay)
    for _ in range(2):
        is_as(asked.qstat(lambda seen: ["1"]).of("1"), Expected(F, 3, nodes="node01"))
    assert ["-m" in call for call in replay.calls if call[0] == "qacct"] == [True, False, False]


@pytest.mark.parametrize(
    "text",
    [
        "no jobs running since startup\n",
        "/x/common/accounting: No such file or directory\nno jobs running since startup\n",
    ],
)
def test_a_cluster_without_any_ended_job_has_answered(text: str) -> None:
    def answer(argv: Sequence[str]) -> Output:
        return recorded("empty.qstat-xml").output if argv[0] == "qstat" else Output(tuple(argv), 1, "", text)

    found = GridEngineScheduler(run=Replay(answer)).qstat(lambda seen: ["1"])
    assert (found.records, found.unheard) == ({}, frozenset())


def test_the_queues_and_their_limits() -> None:
    queues = scheduler("info.qconf-sq-all").queues()
    assert [(queue.name, queue.up, queue.minutes) for queue in queues] == [
        ("all.q", True, None),
        ("short.q", True, 1),
    ]


def test_whose_commands_they_are_is_asked_without_a_submission() -> None:
    """`qsub -help` would be a submission to PBS."""
    refused = recorded("version.qsub-version").output
    assert refused.rc != 0
    for name in ("version.qsub-version", "version"):
        said = recorded(name).output
        assert re.search(command_owners.BANNERS["Grid Engine"], said.text, re.MULTILINE)
    assert GridEngineScheduler.probes[0] == ("qsub", "--version")


# ---- other versions, and other sites -----------------------------------------------------------------------------


def refused_or_not(text: str) -> Exception:
    return GridEngineScheduler()._submission_error(Output(("qsub",), 1, "", text), [])


def test_a_job_that_is_submitted_with_a_warning_is_looked_for() -> None:
    """What qsub says, with exit code 1, where no host is up yet (as on clusters that start them on demand)."""
    text = (
        "Unable to run job: warning: alice's job is not allowed to run in any queue\n"
        'Your job 7 ("x.psij.abc") has been submitted\nExiting.'
    )
    assert isinstance(refused_or_not(text), Ambiguous)
    assert list(GridEngineScheduler().job_ids('Your job 7 ("x") has been submitted.\n')) == ["7"]


def test_a_rule_about_run_time_is_no_timeout() -> None:
    text = "Unable to run job: denied: requested run time out of range (max 72h).\nExiting."
    assert isinstance(refused_or_not(text), Rejected)


def past(name: str, **fields: str) -> SchedulerRecord | None:
    [table] = ended_jobs(recorded(name).output.stdout)
    return read_ended({**table, **fields})


def test_a_job_that_was_deleted_by_force_has_used_nothing_however_that_is_printed() -> None:
    for nothing in ("0", "0.000", "0.000B", "0.000KB"):
        record = past("completed.qacct-j", ru_minflt="0", ru_maxrss=nothing)
        assert record
        assert (record.status.state, record.status.exit_code) == (JobState.CANCELED, None)


@pytest.mark.parametrize("failed", ["21 : in recognizing job", "22 : removed manually"])
def test_a_node_that_has_forgotten_a_job_that_ran_has_failed(failed: str) -> None:
    record = past("completed.qacct-j", failed=failed)
    assert record
    assert record.status.reason is EndReason.NODE_FAILURE


def test_times_of_the_open_cluster_scheduler() -> None:
    assert moment("2026-11-21 21:42:35.123456") == moment("2026-11-21T21:42:35")
    assert moment("1795297355123456") == 1795297355.123456


@pytest.mark.parametrize(
    ("letters", "state", "message"),
    [("rN", JobState.ACTIVE, "suspended"), ("N", JobState.QUEUED, "preempted"), ("P", JobState.QUEUED, "preempted")],
)
def test_univas_states_of_jobs_that_others_displace(letters: str, state: JobState, message: str) -> None:
    told = status(letters, {})
    assert (told.state, told.message) == (state, message)


def test_a_single_job_is_asked_for_by_its_id_for_b_hides_jobs_that_never_started() -> None:
    scheduler = GridEngineScheduler()
    assert scheduler.history(["7.1", "7.2"], 1e9)[0].argv == ["qacct", "-m", "-j", "7"]
    assert "-b" in scheduler.history(["7", "8"], 1e9)[0].argv
