"""What a real Torque printed, read by our parsers. Expectations come from each case's name, not from a parser.

The jobs: 0 ends well; 1 with 3; 2 kills itself with signal 9, 3 with 11; 4 is `exit 137`; 5 is long, is held while it
runs, is sent USR1, which ends it; 6 (wall) is deleted after 5 s, before its wall time is over; 7 is submitted held, and
deleted; 8[] is an array whose element N ends with N; 9 follows 1 (afterok), which fails; 16 to 18 wait.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from psij_parsl.errors import Ambiguous, Rejected, SchedulerError, Unavailable
from psij_parsl.platforms.queries import Query, SchedulerRecord
from psij_parsl.providers.torque.records import (
    ENDED,
    STATES,
    end,
    job_record,
    jobs,
    long_form,
    read_end,
    read_job,
    seconds,
)
from psij_parsl.providers.torque.scheduler import TorqueScheduler
from psij_parsl.states import EndReason, JobState
from psij_parsl.system.commands import Output
from psij_parsl.testing.replay import Recorded, Replay
from tests.providers.readings import Reading

FOLDER = Path(__file__).parents[2] / "recorded" / "torque"
Q, A, C, F, X = JobState.QUEUED, JobState.ACTIVE, JobState.COMPLETED, JobState.FAILED, JobState.CANCELED


@dataclass(frozen=True)
class Expected:
    """What a person knows of a job at that time."""

    state: JobState
    exit_code: int | None = None
    signal: int | None = None
    reason: EndReason | None = None
    held: bool = False
    says: str = ""  # words of the message
    nodes: str = ""


WAITS = Expected(Q)
QUEUED: Mapping[str, Expected] = {
    **dict.fromkeys((f"{number}.tq1" for number in (0, 1, 2, 3, 4, 5, 6, 16, 17, 18)), WAITS),
    "7.tq1": Expected(Q, held=True),
    "8[].tq1": WAITS,
    "9.tq1": Expected(Q, says="afterok:1.tq1"),  # Torque calls it held, by the system: nobody holds it
}
OVER = {
    "0.tq1": Expected(C, 0, nodes="tq1"),
    "1.tq1": Expected(F, 3, nodes="tq1"),
    "2.tq1": Expected(F, 137, nodes="tq1"),  # the shell above the script says so
    "3.tq1": Expected(F, 139, nodes="tq1"),
    "4.tq1": Expected(F, 137, nodes="tq1"),
    "9.tq1": Expected(X, reason=EndReason.DEPENDENCY, says="dependency on job 1.tq1"),
}
RUNNING = {**QUEUED, **OVER, "5.tq1": Expected(A, nodes="tq1"), "6.tq1": Expected(A, nodes="tq1")}
LATER = {
    **RUNNING,
    "5.tq1": Expected(F, signal=10, nodes="tq1"),
    "6.tq1": Expected(X, nodes="tq1"),
    "7.tq1": Expected(X),
}
XML = {"stat-queued-xml": QUEUED, "running-xml": RUNNING, "end-all-xml": LATER, "ended-xml": LATER}
LONG = {
    "stat-queued-f": QUEUED["1.tq1"],
    "stat-queued-f1": QUEUED["1.tq1"],
    "running-f": RUNNING["5.tq1"],
    "end-wall-f": LATER["6.tq1"],
    "ended-ok-f": LATER["0.tq1"],
    "ended-exit3-f": LATER["1.tq1"],
    "ended-sig9-f": LATER["2.tq1"],
    "ended-sig11-f": LATER["3.tq1"],
    "ended-cancelled-held-f": LATER["7.tq1"],
}
TABLES = {"running-t": RUNNING, "ended-plain": LATER}
ELEMENTS = {"8[0].tq1": C, "8[1].tq1": F, "8[2].tq1": Q, "8[3].tq1": Q}


def recorded(name: str) -> Recorded:
    return Recorded.read(FOLDER / f"{name}.txt")


def says(record: SchedulerRecord | None, expected: Expected) -> None:
    assert record is not None
    found = record.status
    for name in ("state", "exit_code", "signal", "reason", "held", "nodes"):
        assert getattr(found, name) == getattr(expected, name), (record.id, name)
    assert expected.says in found.message
    assert bool(expected.says) == bool(found.message), found.message


def read(text: str) -> dict[str, SchedulerRecord]:
    return {record.id: record for piece in jobs(text) if (record := read_job(piece)) is not None}


def document(*pieces: str) -> str:
    return '<?xml version="1.0"?>\n<Data>' + "".join(f"<Job>{piece}</Job>" for piece in pieces) + "</Data>\n"


def piece(name: str, job_id: str) -> str:
    """One job's part of a recorded answer."""
    [found] = [part for part in jobs(recorded(name).output.stdout) if f"<Job_Id>{job_id}<" in part]
    return found


def readings() -> list[Reading]:
    """The answers, and what they say of each job, for the tests of damaged ones."""
    query = TorqueScheduler().end_query("1")
    query = Query(query.argv, read_job, jobs)
    texts = {name: recorded(name).output.stdout for name in XML}
    single = {
        f"ended-{number}": document(part) for number, part in enumerate(jobs(recorded("ended-xml").output.stdout))
    }
    return [Reading(name, TorqueScheduler, query, text) for name, text in {**texts, **single}.items()]


# ---- every file that shows a job ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", XML)
def test_each_job_in_the_xml_is_as_it_was(name: str) -> None:
    found = read(recorded(name).output.stdout)
    assert set(found) == set(XML[name])
    for job_id, expected in XML[name].items():
        says(found[job_id], expected)


@pytest.mark.parametrize("name", LONG)
def test_the_long_form_has_the_same_attributes(name: str) -> None:
    [attributes] = long_form(recorded(name).output.stdout)
    says(job_record(attributes), LONG[name])


@pytest.mark.parametrize("name", TABLES)
def test_the_letter_in_the_table_is_the_state(name: str) -> None:
    rows = re.findall(r"^(\S+\.tq1).* ([A-Z]) batch", recorded(name).output.stdout, re.MULTILINE)
    assert len(rows) >= 13
    for job_id, letter in rows:
        state = ELEMENTS[job_id] if job_id in ELEMENTS else TABLES[name][job_id].state
        assert STATES[letter] is state if letter != ENDED else state.final, job_id


def test_no_recorded_file_that_shows_a_job_is_left_out() -> None:
    shown = {
        path.stem
        for path in FOLDER.glob("*.txt")
        if Recorded.read(path).output.argv[0] == "qstat"
        and re.search(r"<Job>|^Job Id: |^\d+\S*\.tq1 ", Recorded.read(path).output.stdout, re.MULTILINE)
    }
    assert shown == {*XML, *LONG, *TABLES}


def test_times_and_owner_and_log_are_read() -> None:
    record = read(recorded("ended-xml").output.stdout)["1.tq1"]
    assert (record.submitted, record.status.started, record.status.ended) == (1795667519, 1795667520, 1795667520)
    assert (record.output, record.tag, record.status.attempt) == ("/home/torq/exit3.o1", "", 0)
    assert read_job(piece("ended-xml", "1.tq1"), owner="torq") is not None
    assert read_job(piece("ended-xml", "1.tq1"), owner="tor") is None
    assert read_end(piece("running-xml", "5.tq1")) == 1795667520 + 300
    assert read_end(piece("stat-queued-xml", "5.tq1")) is None


def test_our_tag_is_among_the_variables() -> None:
    tagged = piece("running-xml", "5.tq1").replace("PBS_O_HOST=", "PSIJ_JOB_TAG=psij:0123456789,PBS_O_HOST=")
    [record] = read(document(tagged)).values()
    assert record.tag == "psij:0123456789"


# ---- of the same kind, and not recorded ----------------------------------------------------------------------------


def changed(job_id: str, **attributes: str) -> SchedulerRecord:
    """The record of an ended job with other attributes."""
    text = piece("ended-xml", job_id)
    for name, value in attributes.items():
        text = re.sub(rf"<{name}>.*?</{name}>", f"<{name}>{value}</{name}>", text)
    [record] = read(document(text)).values()
    return record


@pytest.mark.parametrize(
    ("exit_status", "expected"),
    [
        ("-11", Expected(F, reason=EndReason.TIMEOUT, says="-11", nodes="tq1")),
        ("-12", Expected(F, reason=EndReason.TIMEOUT, says="-12", nodes="tq1")),
        ("-10", Expected(F, reason=EndReason.OUT_OF_MEMORY, says="-10", nodes="tq1")),
        ("-1", Expected(F, reason=EndReason.LAUNCH_FAILED, says="-1", nodes="tq1")),
        ("-9", Expected(F, reason=EndReason.LAUNCH_FAILED, says="-9", nodes="tq1")),
        ("-4", Expected(F, reason=EndReason.NODE_FAILURE, says="-4", nodes="tq1")),
        ("-99", Expected(F, says="-99", nodes="tq1")),
        ("271", Expected(X, nodes="tq1")),
        ("265", Expected(F, signal=9, nodes="tq1")),
        ("255", Expected(F, 255, nodes="tq1")),
    ],
)
def test_each_exit_status_has_its_meaning(exit_status: str, expected: Expected) -> None:
    says(changed("1.tq1", exit_status=exit_status), expected)


def test_a_job_that_was_ended_when_its_wall_time_was_over_has_timed_out() -> None:
    """As older versions say it: 271, as if somebody had deleted it."""
    text = piece("ended-xml", "6.tq1").replace("<walltime>00:00:05<", "<walltime>00:00:17<")
    [record] = read(document(text)).values()
    says(record, Expected(F, reason=EndReason.TIMEOUT, nodes="tq1"))


@pytest.mark.parametrize(
    ("holds", "depend", "held"),
    [("u", "", True), ("o", "", True), ("s", "", True), ("s", "afterok:1.tq1", False), ("us", "afterok:1.tq1", True)],
)
def test_a_job_that_waits_for_another_is_not_held(holds: str, depend: str, held: bool) -> None:
    text = piece("stat-queued-xml", "7.tq1").replace("<Hold_Types>u", f"<Hold_Types>{holds}")
    [record] = read(document(text.replace("<queue>", f"<depend>{depend}</depend><queue>"))).values()
    assert (record.status.state, record.status.held) == (Q, held)


def test_a_state_that_is_not_known_is_unknown() -> None:
    text = piece("running-xml", "5.tq1").replace("<job_state>R<", "<job_state>Z<")
    [record] = read(document(text)).values()
    assert record.status.state is JobState.UNKNOWN


def test_a_started_job_without_an_exit_status_is_lost_until_its_exit_file_says_more() -> None:
    [record] = read(document(piece("ended-xml", "1.tq1").replace("<exit_status>3</exit_status>", ""))).values()
    assert (record.status.state, record.status.reason) == (F, EndReason.LOST)


def test_a_version_that_gives_no_times_and_no_comments_says_the_same() -> None:
    for name in ("end-all-xml", "ended-xml"):
        for part in jobs(recorded(name).output.stdout):
            text = re.sub(r"<(start_time|comp_time|start_count|comment)>.*?</\1>", "", part)
            [record] = read(document(text.replace("<queue>", "<depend>afterany:0.tq1</depend><queue>"))).values()
            expected = XML[name][record.id]
            if record.status.final:
                assert (record.status.state, record.status.reason) == (expected.state, expected.reason)


def test_the_order_of_the_fields_and_further_ones_do_not_matter() -> None:
    for name, expected in XML.items():
        for part in jobs(recorded(name).output.stdout):
            fields = re.findall(r"<(\w+)>.*?</\1>", part)
            whole = [match[0] for match in re.finditer(r"<(\w+)>.*?</\1>", part)]
            assert len(fields) == len(whole)
            more = ["<new_thing kind='x'>7</new_thing>", "<list><a>1</a><a>2</a></list>", "<nothing/>"]
            [record] = read(document("".join([*more, *reversed(whole)]))).values()
            says(record, expected[record.id])


@pytest.mark.parametrize("value", ["a&b", "a<b", "\x1b[0m", "é\udcff", 'it\'s "x"', "</Job_Id>", "<b>", "a,b=c"])
def test_odd_characters_in_a_variable_cost_nothing(value: str) -> None:
    """Torque does not see to it that its XML is any."""
    good = piece("ended-xml", "1.tq1")
    odd = good.replace("PBS_O_MAIL=", f"X={value},PBS_O_MAIL=")
    found = read(document(piece("ended-xml", "0.tq1"), odd, piece("ended-xml", "2.tq1")))
    assert set(found) == {"0.tq1", "1.tq1", "2.tq1"}
    says(found["1.tq1"], LATER["1.tq1"])


def test_a_record_without_a_state_costs_itself_alone() -> None:
    damaged = piece("ended-xml", "1.tq1").replace("<job_state>C</job_state>", "")
    text = document(piece("ended-xml", "0.tq1"), damaged, piece("ended-xml", "2.tq1"))
    found = TorqueScheduler(run=Replay(lambda argv: Output(tuple(argv), 0, text, "")))
    assert set(found.qstat(lambda seen: ["1.tq1"]).records) == set()  # they are of another owner
    pieces = list(jobs(text))
    assert [read_job(part) is not None for part in (pieces[0], pieces[2])] == [True, True]
    with pytest.raises(KeyError):
        read_job(pieces[1])


def test_several_ids_have_a_document_each() -> None:
    text = "".join(document(piece("ended-xml", job_id)) for job_id in ("0.tq1", "1.tq1"))
    assert set(read(text)) == {"0.tq1", "1.tq1"}


@pytest.mark.parametrize("text", ["<Data></Data>", '<?xml version="1.0"?>\n<Data></Data>\n', ""])
def test_no_jobs_is_an_answer(text: str) -> None:
    assert read(text) == {}


@pytest.mark.parametrize("size", [1, 5, 30, 300, 5000, -3, -9])
def test_an_answer_that_is_cut_short_is_no_answer(size: int) -> None:
    text = recorded("ended-xml").output.stdout.strip()
    with pytest.raises(Unavailable, match="cut short"):
        read(text[:size])


# ---- what the commands say ---------------------------------------------------------------------------------------


def scheduler(name: str) -> TorqueScheduler:
    said = recorded(name).output
    return answering(said.rc or 0, said.stdout, said.stderr)


def answering(rc: int, stdout: str = "", stderr: str = "") -> TorqueScheduler:
    return TorqueScheduler(run=Replay(lambda argv: Output(tuple(argv), rc, stdout, stderr)))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psij_parsl.platforms.scheduler.backoff", lambda **settings: iter(()))


@pytest.mark.parametrize(
    ("name", "job_id"),
    [
        ("submit-ok", "0.tq1"),  # ids begin at 0
        ("submit-exit3", "1.tq1"),
        ("submit-array", "8[].tq1"),
        ("submit-held", "7.tq1"),
        ("submit-dep", "9.tq1"),
        ("submit-longname", "16.tq1"),
        ("submit-badname", "17.tq1"),
        ("submit-badout", "18.tq1"),
    ],
)
def test_the_id_is_read(name: str, job_id: str, tmp_path: Path) -> None:
    assert scheduler(name).qsub(tmp_path / "script.sh") == job_id


@pytest.mark.parametrize(
    ("text", "job_id", "alone"),
    [
        ("12.tq1.site.org\n", "12.tq1.site.org", True),
        ("12\n", "12", True),  # a server that does not display its name
        ("12[]\n", "12[]", True),
        ("Notice: project chem has 2 jobs left today\n122.tq1\n", "122.tq1", False),
        ("122.tq1 queued, 2 ahead\n", "122.tq1", False),
        ("Balance on 2026.11: 5.5 kSU\n122.tq1\n", "122.tq1", False),
        ("Connection to server timed out. Trying again122.tq1\n", "122.tq1", False),
    ],
)
def test_an_id_among_notices_is_found_and_is_not_alone(text: str, job_id: str, alone: bool) -> None:
    found = TorqueScheduler()
    assert found.job_ids(text)[0] == job_id
    assert found.says_only(text, job_id) is alone


@pytest.mark.parametrize("text", ["", "submitted\n", "Balance on 2026.11: 5.5 kSU\n", "/home/x/12.sh\n"])
def test_what_is_no_id_is_none(text: str) -> None:
    assert TorqueScheduler().job_ids(text) == []


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("submit-badqueue", "queue"),
        ("submit-badresource", "resources"),
        ("submit-badwall", "resources"),
        ("submit-baddep", "after"),
        ("submit-badoption", ""),
        ("submit-noscript", ""),
    ],
)
def test_a_refusal_is_one_and_names_what_was_at_fault(name: str, limit: str, tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        scheduler(name).qsub(tmp_path / "script.sh")
    assert caught.value.limit == limit
    assert recorded(name).output.stderr.strip() in caught.value.output
    assert caught.value.hint


def test_root_is_told_so(tmp_path: Path) -> None:
    """The one refusal that qsub prints on standard output."""
    with pytest.raises(Rejected, match="can not be run as root") as caught:
        answering(1, "qsub can not be run as root\n").qsub(tmp_path / "script.sh")
    assert "ordinary user" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "kind", "limit"),
    [
        ("qsub: cannot connect to server tq1 (errno=111) Connection refused", Unavailable, ""),
        ("qsub: cannot connect to server tq1 (errno=15137) could not connect to trqauthd", Unavailable, ""),
        ("qsub: cannot connect to server tq1 (errno=15096) trqauthd unable to authenticate", Unavailable, ""),
        ("qsub: submit error (Request not allowed: Server shutting down)", Unavailable, ""),
        ("qsub: Your job has been administratively rejected by the queueing system.", Rejected, ""),
        ("qsub: submit error (Time out)", Ambiguous, ""),
        ("qsub: submit error (Premature End of File)", Ambiguous, ""),
        ("qsub: submit error (Batch protocol error)", Ambiguous, ""),
        ("qsub: submit error (Queue is not enabled)", Rejected, "queue"),
        ("qsub: submit error (Access to queue is denied MSG=user is not allowed)", Rejected, "queue"),
        ("qsub: submit error (Maximum number of jobs already in queue for user)", Rejected, "account limits"),
        (
            "qsub: submit error (Job exceeds queue resource limits MSG=cannot satisfy queue max walltime requirement)",
            Rejected,
            "queue limits",
        ),
        (
            "qsub: submit error (Job exceeds queue resource limits MSG=cannot locate feasible nodes (nodes file is"
            " empty, all systems are busy, or no nodes have the requested feature))",
            Rejected,
            "queue limits",
        ),
        ("qsub: submit error (Invalid Account)", Rejected, "project"),
        ("qsub: submit error (Bad Job Array Request)", Rejected, "array"),
        ("qsub: submit error (Bad UID for job execution MSG=ruserok failed)", Rejected, "permission"),
        ("qsub: submit error (The moon is full)", Ambiguous, ""),  # a text that nobody foresaw: it is looked for
    ],
)
def test_other_errors_of_torques_source(text: str, kind: type[SchedulerError], limit: str, tmp_path: Path) -> None:
    with pytest.raises(SchedulerError) as caught:
        answering(1, "", f"{text}\n").qsub(tmp_path / "script.sh")
    assert (type(caught.value), getattr(caught.value, "limit", "")) == (kind, limit)


@pytest.mark.parametrize(
    ("name", "ids", "unknown"),
    [
        ("cancel-running", ["5.tq1"], set()),
        ("cancel-held", ["7.tq1"], set()),
        ("cancel-finished", ["1.tq1"], set()),
        ("cancel-two", ["5.tq1", "6.tq1"], set()),
        ("cancel-unknown", ["9999.tq1"], {"9999.tq1"}),
        ("cancel-queued", ["10.tq1"], {"10.tq1"}),
        ("cancel-mixed", ["9999.tq1", "6.tq1"], {"9999.tq1"}),
    ],
)
def test_cancelling_what_has_ended_is_fine_and_what_is_unknown_is_told(
    name: str, ids: Sequence[str], unknown: set[str]
) -> None:
    assert scheduler(name).qdel(ids) == unknown


def test_an_id_that_is_none_cannot_be_cancelled() -> None:
    with pytest.raises(Rejected, match="illegally formed job identifier"):
        scheduler("cancel-garbage").qdel(["xyz"])


def test_the_other_commands_end_well() -> None:
    scheduler("hold-running").hold(["5.tq1"])
    scheduler("signal").signal("5.tq1", "USR1")


@pytest.mark.parametrize("name", ["stat-unknown-xml", "w-purged-f", "w-wall-f"])
def test_a_job_that_was_forgotten_has_no_record(name: str) -> None:
    said = recorded(name).output
    assert (said.rc, said.stdout) == (153, "")
    with pytest.raises(Unavailable):
        scheduler(name).end_time("1.tq1")


def test_the_queue_and_the_default() -> None:
    def answer(argv: Sequence[str]) -> Output:
        return recorded("server-f" if "-B" in argv else "queues-f").output

    [queue] = TorqueScheduler(run=Replay(answer)).queues()
    assert (queue.name, queue.up, queue.default, queue.max_nodes, queue.minutes) == ("batch", True, True, None, None)


def test_a_queues_limits() -> None:
    limits = "    resources_max.walltime = 48:00:00\n    resources_max.nodect = 8\n    resources_min.nodect = 2\n"
    text = recorded("queues-f").output.stdout.replace("    mtime", f"{limits}    mtime").replace("= True", "= False")
    [queue] = answering(0, text).queues()
    assert (queue.up, queue.minutes, queue.max_nodes, queue.min_nodes) == (False, 2880, 8, 2)


def test_the_version_is_torques_and_no_other_managers() -> None:
    said = recorded("version").output
    for text in (said.text, "Version: 6.1.2\nCommit: 661e092552de43a785c15d39a3634a541d86898e", "version: 2.5.12"):
        assert re.search(TorqueScheduler.probe_answer, text, re.MULTILINE)
    for text in ("pbs_version = 23.06.06", "SGE 8.1.9", "qsub.py $Revision$", "Version: 1.2.3", ""):
        assert not re.search(TorqueScheduler.probe_answer, text, re.MULTILINE)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("job killed: walltime 30 exceeded limit 15", EndReason.TIMEOUT),
        ("job killed: cput 70 exceeded limit 60", EndReason.TIMEOUT),
        ("job killed: pcput exceeded limit 60", EndReason.TIMEOUT),
        ("job killed: cput job total 70 secs exceeded limit 60 secs", EndReason.TIMEOUT),
        ("job killed: mem 425280kb exceeded limit 51200kb", EndReason.OUT_OF_MEMORY),
        ("job killed: pvmem exceeded limit 1073741824", EndReason.OUT_OF_MEMORY),
        ("job killed: mem job total 5243524 kb exceeded limit 5242880 kb", EndReason.OUT_OF_MEMORY),
    ],
)
def test_every_limit_that_a_daemon_names_is_known(line: str, reason: EndReason) -> None:
    """The forms are those of Torque's source (src/resmom)."""
    known = [why for pattern, why in TorqueScheduler.log_signs if re.search(pattern, f"=>> PBS: {line}")]
    assert known == [reason]


def test_an_exit_status_of_a_job_that_never_ran_is_no_exit_code() -> None:
    """A site's `exit_code_canceled_job`."""
    for code in (100, 143, 271):
        assert end(code, started=False, overran=False)[:2] == (X, None)
    assert end(-1, started=False, overran=False)[0] is F


def test_signals_of_daemons_on_other_systems() -> None:
    assert end(10009, started=True, overran=False)[:3] == (F, None, 9)
    assert end(10015, started=True, overran=False)[0] is X


def test_a_wall_time_may_have_days() -> None:
    assert [seconds(text) for text in ("90", "01:30", "01:30:00", "1:00:00:00", "1:0:0:0:0", "x")] == [
        *(90, 90, 5400, 86400),
        *(None, None),
    ]
