"""What a real OAR 2.5.9 printed, read by our parsers. Expectations come from each case's name, not from a parser.

All jobs are of one user and one run: 1 and 2 did well, 3 ended with 3, 4 with 99, 5 by kill -9, 6 by kill -11, 7 with
137, 8 was cancelled while it ran, 9 ran out of wall time, 10 was cancelled and got USR1, 11 was held, released and
cancelled, 12 to 18 are elements of arrays, 22 asked for 9999 hours, 24 waited for a job that is not there, 25 and 26
had a directory and an output file that are not there.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.errors import Ambiguous, Rejected, Unavailable
from psij_parsl.platforms.queries import SchedulerRecord
from psij_parsl.providers.oar.records import STATES, jobs, read_end, read_job
from psij_parsl.providers.oar.scheduler import OARScheduler
from psij_parsl.states import EndReason, JobState
from psij_parsl.system.commands import Output
from psij_parsl.testing.replay import Recorded, Replay

FOLDER = Path(__file__).parents[2] / "recorded" / "oar"
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
    nodes: str = ""


ONE, TWO = "127.0.0.11", "127.0.0.12"
#: The full form, which has exit codes and events.
FULL: Mapping[str, Expected] = {
    "endfull-bad-dependency-json": Expected(X, says="broar requested"),  # cancelled while it waited
    "endfull-bad-output-json": Expected(F, reason=EndReason.LAUNCH_FAILED, says="Cannot create .stdout", nodes=TWO),
    "endfull-cancelled-after-usr1-json": Expected(X, says="broar requested", nodes=TWO),
    "endfull-exit137-json": Expected(F, 137, nodes=TWO),
    "endfull-exit3-json": Expected(F, 3, nodes=ONE),  # somebody cancelled it after its end
    "endfull-exit99-json": Expected(F, 99, nodes=ONE),
    "endfull-idempotent-json": Expected(F, 99, nodes=ONE),  # too short for OAR to submit it again
    "endfull-ok-json": Expected(C, 0, nodes=f"{ONE},{TWO}"),
    "endfull-sig11-json": Expected(F, 139, nodes=ONE),  # the shell above the script speaks, not a signal
    "endfull-sig9-json": Expected(F, 137, nodes=ONE),
    "endfull-toolong-json": Expected(C, 0, nodes=ONE),
    "endfull-wall-json": Expected(F, reason=EndReason.TIMEOUT, says="(Elapsed)", nodes=TWO),
}
WAITING, RUNNING = Expected(Q), Expected(A)
AT_ONCE = {
    "9": RUNNING,
    "10": RUNNING,
    "5": RUNNING,
    "8": RUNNING,
    "11": Expected(Q, held=True),
    **dict.fromkeys(map(str, range(12, 27)), WAITING),
}
#: The short form: it tells of open jobs, and of others only that they have ended.
SHORT: Mapping[str, Mapping[str, Expected]] = {
    "held-json": {"11": Expected(Q, held=True)},
    "running-json": {"8": RUNNING},
    "running2-submit-json": {"27": Expected(A, nodes=ONE)},
    "stat-json-at-once": AT_ONCE,
    "stat-user-json": AT_ONCE,
    "stat-mixed-json": {"1": Expected(UNKNOWN)},
    "sql": dict.fromkeys(("8", "9", "24", "25", "26"), Expected(UNKNOWN)),
    "end-array-json": dict.fromkeys(("12", "13", "14"), Expected(UNKNOWN)),
    "end-array-element-json": {"12": Expected(UNKNOWN)},
    "end-array-param-element-json": {"17": Expected(UNKNOWN)},
    "end-bad-directory-json": {"25": Expected(UNKNOWN)},
    "end-cancelled-held-json": {"11": Expected(UNKNOWN)},
    "end-cancelled-running-json": {"8": Expected(UNKNOWN)},
    "end-exit137-json": {"7": Expected(UNKNOWN)},
    "end-exit3-json": {"3": Expected(UNKNOWN)},
    "end-exit99-json": {"4": Expected(UNKNOWN)},
    "end-idempotent-json": {"19": Expected(UNKNOWN)},
    "end-inline-exit4-json": {"21": Expected(UNKNOWN)},
    "end-sig11-json": {"6": Expected(UNKNOWN)},
    "end-toolong-json": {"22": Expected(UNKNOWN)},
    "end-wall-json": {"9": Expected(UNKNOWN)},
}
#: Tables and texts, which are not asked for.
TEXTS: Mapping[str, Mapping[str, JobState]] = {
    "running-full": {"8": A},
    "end-full-wall": {"9": F},
    "stat-plain": {"5": A, "8": A, "9": A, "10": A, **dict.fromkeys(map(str, range(11, 27)), Q)},
    "who-am-i": dict.fromkeys(("8", "9", "10", "11", "22", "23"), A),
    "stat-state-many": dict.fromkeys("123", UNKNOWN),
    "end-state-many": dict.fromkeys("2389", UNKNOWN),
    "history-between": {},  # another form, with times that are planned
}


def recorded(name: str) -> Recorded:
    return Recorded.read(FOLDER / f"{name}.txt")


def says(record: SchedulerRecord | None, expected: Expected) -> None:
    assert record is not None
    found = record.status
    for name in ("state", "exit_code", "signal", "reason", "held"):
        assert getattr(found, name) == getattr(expected, name), name
    assert not expected.nodes or found.nodes == expected.nodes
    assert expected.says in found.message
    if not expected.says and found.state is not UNKNOWN:
        assert not found.message


# ---- every file that shows a job ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FULL)
def test_the_full_form_tells_the_case_of_its_name(name: str) -> None:
    [piece] = jobs(recorded(name).output.stdout)
    says(read_job(piece), FULL[name])


@pytest.mark.parametrize("name", SHORT)
def test_the_short_form_tells_of_open_jobs_alone(name: str) -> None:
    found = {piece[0]: read_job(piece) for piece in jobs(recorded(name).output.stdout)}
    assert found.keys() == SHORT[name].keys()
    for job_id, record in found.items():
        says(record, SHORT[name][job_id])
        assert record is not None
        assert (record.status.native in ("Terminated", "Error")) == (record.status.state is UNKNOWN)


@pytest.mark.parametrize("name", TEXTS)
def test_other_forms_show_the_same_states(name: str) -> None:
    text = recorded(name).output.stdout
    letters = {"W": Q, "L": Q, "H": Q, "R": A, "F": A, "S": A}
    rows = {number: letters[letter] for number, letter in re.findall(r"^(\d+) +([A-Z]) ", text, re.MULTILINE)}
    blocks = re.findall(r"^Job_Id: (\d+)$(?:.*\n)*?    state = (\w+)$", text, re.MULTILINE)
    rows |= {number: STATES.get(state, F) for number, state in blocks}
    if name.endswith("state-many"):
        rows = {number: STATES.get(state, UNKNOWN) for number, state in json.loads(text).items()}
    assert rows == TEXTS[name]


def test_no_recorded_file_that_shows_a_job_is_without_an_expectation() -> None:
    shows = re.compile(r'"state" :|^    state = |^Job id +S |" : "(Terminated|Error)"', re.MULTILINE)
    found = {path.stem for path in FOLDER.glob("*.txt") if shows.search(recorded(path.stem).output.stdout)}
    assert found == {*FULL, *SHORT, *TEXTS}


def test_a_record_has_all_by_which_a_job_is_told_ours() -> None:
    [piece] = jobs(recorded("endfull-wall-json").output.stdout)
    record = read_job(piece)
    assert record is not None
    assert (record.id, record.submitted, record.output, record.tag) == ("9", 1795665286.0, "OAR.wall.9.stdout", "")
    assert (record.status.started, record.status.ended) == (1795665289.0, 1795665323.0)


def test_elements_of_an_array_have_ids_of_their_own() -> None:
    found = [read_job(piece) for piece in jobs(recorded("end-array-json").output.stdout)]
    assert sorted((record.id, record.whole, record.place) for record in found if record) == [
        ("12", "12", 0),
        ("13", "12", 1),
        ("14", "12", 2),
    ]


@pytest.mark.parametrize("name", ["stat-user-nojobs", "plain-all-user", "stat-unknown-json", "endfull-unknown-json"])
def test_no_jobs_are_nothing_at_all(name: str) -> None:
    said = recorded(name)
    assert said.output.rc == 0
    assert not list(OARScheduler(run=Replay(lambda argv: said.output)).ask(OARScheduler().live()))


# ---- other answers of the kind -----------------------------------------------------------------------------------


def changed(**changes: Any) -> SchedulerRecord | None:
    """A recorded job with other attributes, the last ones first."""
    [(key, job)] = jobs(recorded("endfull-exit3-json").output.stdout)
    return read_job((key, dict(reversed([*{**job, **changes}.items()]))))


def event(kind: str, description: str = "", at: int = 5) -> dict[str, Any]:
    return {"type": kind, "description": description, "date": at, "event_id": at}


ASKED = event("FRAG_JOB_REQUEST", "User broar requested to frag the job 3", 1)
BY_ROOT = event("FRAG_JOB_REQUEST", "User root requested to frag the job 3", 1)
KILLED, ENDED = event("SWITCH_INTO_ERROR_STATE", at=3), event("SWITCH_INTO_TERMINATE_STATE", at=3)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"exit_code": "1024"}, Expected(F, 4)),
        ({"exit_code": 15}, Expected(F, None, 15)),
        ({"exit_code": 0, "events": [ASKED, ENDED]}, Expected(C, 0)),  # it had ended before the cancel reached it
        ({"exit_code": 35072, "events": [ENDED, ASKED]}, Expected(X, says="broar")),  # in another order
        ({"exit_code": None, "events": [ENDED]}, Expected(F, reason=EndReason.LOST, says="no exit code")),
        ({"state": "Error", "exit_code": None, "events": [BY_ROOT, KILLED]}, Expected(X, says="root")),
        (
            {"state": "Error", "exit_code": None, "events": [BY_ROOT, event("WALLTIME", "over", 2), KILLED]},
            Expected(F, reason=EndReason.TIMEOUT, says="over"),
        ),
        (
            {"state": "Error", "exit_code": None, "events": [ASKED, event("WALLTIME", "over", 2), KILLED]},
            Expected(X, says="broar"),
        ),
        (
            {"state": "Error", "exit_code": None, "events": [BY_ROOT, event("BESTEFFORT_KILL", "make room"), KILLED]},
            Expected(F, reason=EndReason.PREEMPTED, says="make room"),
        ),
        (
            {"state": "Error", "exit_code": None, "events": [event("WORKING_DIRECTORY", "no /nosuch", 2), KILLED]},
            Expected(F, reason=EndReason.LAUNCH_FAILED, says="/nosuch"),
        ),
        (
            {"state": "Error", "exit_code": None, "events": [event("LAUNCHING_OAREXEC_TIMEOUT", "n1 is silent")]},
            Expected(F, reason=EndReason.NODE_FAILURE, says="n1"),
        ),
        ({"state": "Error", "exit_code": None, "events": [event("NEW_IN_2_6", "why")]}, Expected(F, says="why")),
        ({"state": "Error", "exit_code": None, "events": []}, Expected(F)),
        ({"state": "toError"}, Expected(UNKNOWN)),
        ({"state": "Dreaming"}, Expected(UNKNOWN)),
        ({"state": "Suspended"}, Expected(A)),
        ({"state": "toLaunch", "startTime": "0"}, Expected(Q)),
        ({"state": "Waiting", "message": "No enough matching resources"}, Expected(Q, says="No enough")),
        ({"state": "Running", "assigned_network_address": "a+b"}, Expected(A, nodes="a,b")),
        ({"events": None, "exit_code": 0}, Expected(C, 0)),
    ],
)
def test_other_values_are_read_as_well(changes: dict[str, Any], expected: Expected) -> None:
    says(changed(**changes), expected)


def test_a_job_that_oar_has_submitted_again_is_told_by_the_new_one() -> None:
    events = [event("PING_CHECKER_NODE_SUSPECTED", "node01"), event("RESUBMIT_JOB_AUTOMATICALLY", "3 => 4", 6)]
    changes = {"state": "Error", "exit_code": None, "events": events}
    assert changed(**changes, initial_request="oarsub -S ./a.sh; #OAR -n a") is None
    element = changed(**changes, initial_request="oarsub -S ./a.sh; #OAR --array 3")
    says(element, Expected(F, reason=EndReason.NODE_FAILURE, says="node01"))  # the new one is no element that we know
    again = changed(Job_Id=4, array_id=3, resubmit_job_id=3, state="Waiting")
    assert again is not None
    assert (again.id, again.whole) == ("4", "4")


def test_our_tag_is_found_in_the_name() -> None:
    record = changed(name="my.job-1.psij:0g5z3kw1ab")
    assert record is not None
    assert OARScheduler().tagged(record.tag) == "0g5z3kw1ab"
    assert changed(name=None) is not None


@pytest.mark.parametrize("text", ["Use of uninitialized value\n", '{\n   "3" : {\n      "state" : "Run', "[]", "3"])
def test_what_is_no_document_of_jobs_is_no_answer(text: str) -> None:
    scheduler = OARScheduler(run=Replay(lambda argv: Output(tuple(argv), 0, text, "")))
    with pytest.raises(Unavailable):
        list(scheduler.ask(scheduler.live()))


def test_one_bad_record_harms_one_job() -> None:
    document = json.loads(recorded("stat-user-json").output.stdout)
    document["5"] = "F"
    document["8"]["submissionTime"] = "yesterday"
    scheduler = OARScheduler(run=Replay(lambda argv: Output(tuple(argv), 0, f"Welcome\n{json.dumps(document)}", "")))
    answer = scheduler.qstat(lambda seen: [])
    assert answer.of("9") is not None
    assert answer.of("5") is None
    assert answer.of("8") is None


def test_when_a_running_job_ends() -> None:
    [(key, job)] = jobs(recorded("endfull-wall-json").output.stdout)
    assert read_end((key, {**job, "state": "Running"})) == 1795665289 + 20
    assert read_end((key, job)) is None


# ---- submitting and cancelling -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "job_id", "elements"),
    [
        ("submit-ok", "2", ()),
        ("submit-exit3r", "3", ()),
        ("submit-exit99", "4", ()),
        ("submit-sig9", "5", ()),
        ("submit-sig11", "6", ()),
        ("submit-wall", "9", ()),
        ("submit-json", "10", ()),
        ("submit-hold", "11", ()),
        ("submit-array", "12", ("12", "13", "14")),
        ("submit-array-json", "15", ("15", "16")),
        ("submit-array-param", "17", ("17", "18")),
        ("submit-idempotent", "19", ()),
        ("submit-after", "20", ()),
        ("submit-inline", "21", ()),
        ("submit-toolong", "22", ()),
        ("submit-badproject", "23", ()),  # accepted without a word
        ("submit-bad-dependency", "24", ()),
        ("submit-bad-directory", "25", ()),
        ("submit-bad-output", "26", ()),
        ("submit-long2", "27", ()),
    ],
)
def test_an_accepted_submission_gives_its_id(
    name: str, job_id: str, elements: tuple[str, ...], tmp_path: Path
) -> None:
    said = recorded(name)
    (tmp_path / "a.sh").touch()
    scheduler = OARScheduler(run=Replay(lambda argv: said.output))
    accepted = scheduler.submit(tmp_path / "a.sh", array=len(elements))
    assert (list(accepted.ids), tuple(accepted.elements)) == ([job_id], elements)
    assert accepted.alone == ("json" not in name)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("submit-badqueue", "queue"),
        ("submit-toobig-nodes", "nodes"),
        ("submit-badprop", "resources"),
        ("submit-exit3", "resources"),  # it asks for `core`, which this OAR does not have
        ("submit-bad-walltime", "resources"),
        ("submit-bad-option", ""),
        ("submit-stdin-script", ""),
    ],
)
def test_a_refusal_is_certain_and_says_what_to_do(name: str, limit: str, tmp_path: Path) -> None:
    said = recorded(name)
    (tmp_path / "a.sh").touch()
    scheduler = OARScheduler(run=Replay(lambda argv: said.output))
    with pytest.raises(Rejected) as caught:
        scheduler.submit(tmp_path / "a.sh")
    assert caught.value.limit == limit
    assert caught.value.hint


def test_every_recorded_submission_has_an_expectation() -> None:
    refused = {"badqueue", "toobig-nodes", "badprop", "exit3", "bad-walltime", "bad-option", "stdin-script"}
    for path in FOLDER.glob("submit-*.txt"):
        assert (recorded(path.stem).output.rc != 0) == (path.stem.removeprefix("submit-") in refused), path


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("OAR_JOB_ID=702\n[ERROR] Cannot connect to executor 127.0.0.1:6666. Job is killed.\n", Ambiguous),
        ("OAR_JOB_ID=702\nOAR_JOB_ID=-5\n[ERROR] Oarsub failed, please verify your request syntax.\n", Ambiguous),
        ("DBI connect('database=oar;host=x','oar',...) failed: could not connect to server\n", Unavailable),
        ("something new\n", Ambiguous),
    ],
)
def test_a_job_that_may_be_in_the_database_is_looked_for(
    text: str, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    (tmp_path / "a.sh").touch()
    with pytest.raises(kind):
        OARScheduler(run=Replay(lambda argv: Output(tuple(argv), 9, text, ""))).submit(tmp_path / "a.sh")


@pytest.mark.parametrize(
    ("name", "unknown"),
    [
        ("cancel-running", set()),
        ("cancel-waiting", set()),
        ("cancel-finished", set()),
        ("cancel-two", set()),
        ("cancel-array", set()),
        ("cancel-mixed", {"99998", "99999"}),
        ("cancel-garbage", {"abc"}),
    ],
)
def test_cancelling_names_the_unknown(name: str, unknown: set[str]) -> None:
    said = recorded(name)
    ids = [word for word in said.output.argv[1:] if not word.startswith("-")]
    assert OARScheduler(run=Replay(lambda argv: said.output)).qdel(ids) == unknown


def test_a_cancel_that_the_server_did_not_hear_is_carried_out_later(caplog: pytest.LogCaptureFixture) -> None:
    text = "Deleting the job = 8 ...REGISTERED.\n"
    output = Output(("oardel", "8"), 2, text, "Could not connect to the socket 127.0.0.1:6666\n")
    assert not OARScheduler(run=Replay(lambda argv: output)).qdel(["8"])
    assert "8 is out of reach" in caplog.text


def test_a_second_cancel_is_no_error() -> None:
    output = Output(
        ("oardel", "8"), 6, "Deleting the job = 8 ...ERROR.\n", "Cannot frag 8 ; This job was already killed.\n"
    )
    assert not OARScheduler(run=Replay(lambda argv: output)).qdel(["8"])


@pytest.mark.parametrize(("name", "hint"), [("hold-running", ""), ("walltime-change", "ask for enough")])
def test_other_refusals(name: str, hint: str) -> None:
    said = recorded(name)
    scheduler = OARScheduler(run=Replay(lambda argv: said.output))
    with pytest.raises(Rejected) as caught:
        scheduler.extend("10", 20) if name == "walltime-change" else scheduler.hold(["10"])
    assert hint in caught.value.hint


def test_the_version_tells_whose_command_it_is() -> None:
    assert re.search(OARScheduler.probe_answer, recorded("version").output.stdout)


def test_a_plain_path_of_the_script_stands_as_it_is() -> None:
    folder = "/home/a/jobs/0g5z3kw1ab"
    assert OARScheduler().submit_argv(Path(f"{folder}/s.sh")) == ["oarsub", "-d", folder, "-S", f"{folder}/s.sh"]


@pytest.mark.parametrize("path", ["/sp ool/it's/n\u00e9\u20ac/x*/s.sh", "/a\\b%j/$HOME/`id`/#/-rf/~", "/tab\there"])
def test_a_shell_reads_an_odd_path_of_the_script_from_one_word_without_blanks(path: str) -> None:
    *options, word = OARScheduler().submit_argv(Path(path))
    assert options == ["oarsub", "-d", "/", "-S"]
    assert word.split() == [word]
    for shell in ("sh", "bash"):
        done = subprocess.run([shell, "-c", f"printf %s {word}"], capture_output=True, text=True, check=True)
        assert done.stdout == path


def test_a_job_that_was_cancelled_on_a_node_that_does_not_answer_is_cancelled() -> None:
    """Leon, which ends jobs, gives up the node ("exterminates" the job): it does so only where somebody asked."""
    [(job_id, job)] = jobs(recorded("endfull-cancelled-after-usr1-json").output.stdout)
    frag = next(event for event in job["events"] if event["type"] == "FRAG_JOB_REQUEST")
    gave_up = {**frag, "type": "EXTERMINATE_JOB", "description": "[Leon] I exterminate the job 9"}
    ended = {**frag, "type": "SWITCH_INTO_ERROR_STATE"}
    record = read_job((job_id, {**job, "state": "Error", "exit_code": None, "events": [frag, gave_up, ended]}))
    assert record
    assert (record.status.state, record.status.reason) == (JobState.CANCELED, None)


def test_a_notice_of_a_rule_is_no_refusal() -> None:
    stdout = "[ADMISSION RULE] Only 5 jobs are shown in the portal\n"
    error = OARScheduler()._submission_error(Output(("oarsub",), 255, stdout, "Can't locate object at line 5"), [])
    assert isinstance(error, Ambiguous)
