"""What Cobalt's commands print by their public source (1.0.33), read by our parsers. Nothing here is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from psij_parsl.errors import Ambiguous, Rejected, Unavailable
from psij_parsl.platforms.queries import Queue, SchedulerRecord
from psij_parsl.providers.cobalt.records import (
    COLUMNS,
    DONE,
    STATES,
    blocks,
    queue_blocks,
    read_end,
    read_job,
    read_queue,
)
from psij_parsl.providers.cobalt.scheduler import CobaltScheduler
from psij_parsl.states import EndReason, JobState
from psij_parsl.system.commands import Output
from psij_parsl.testing.replay import Replay

Q, A, X = JobState.QUEUED, JobState.ACTIVE, JobState.CANCELED
SUBMITTED = "Thu Nov 05 17:29:30 2020 +0000 (UTC)"  # 1604597370
STARTED = "Thu Nov 05 11:31:00 2020 -0600 (CST)"  # 90 s later
FIELDS: Mapping[str, str] = {
    "JobID": "471850",
    "State": "running",
    "Location": "3834-3835,3840",
    "SubmitTime": SUBMITTED,
    "StartTime": STARTED,
    "WallTime": "00:30:00",
    "OutputPath": "/home/alice/psij/jobs/0abc/manager.log",
    "Envs": "PSIJ_JOB_TAG=psij.0abc",
    "Index": "None",
}

SCRIPT = Path("/home/alice/psij/jobs/0abc/script.sh")


def printed(*records: Mapping[str, str]) -> str:
    """As `print_vertical` has it: names as wide as the widest, an empty line after each record."""
    text = ""
    for record in records:
        (first, value), *others = record.items()
        text += f"{first}: {value}\n" + "".join(f"    {name:<11}: {value}\n" for name, value in others) + "\n"
    return text


def read(**fields: str) -> SchedulerRecord | None:
    [block] = blocks(printed({**FIELDS, **fields}))
    return read_job(block)


def answering(stdout: str, stderr: str = "", rc: int = 0) -> CobaltScheduler:
    return CobaltScheduler(run=Replay(lambda argv: Output(tuple(argv), rc, stdout, stderr)))


# ---- states --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expected:
    """What the source says of a state."""

    state: JobState
    held: bool = False
    reason: EndReason | None = None
    says: str = ""
    leftover: bool = False


CASES: Mapping[str, Expected] = {
    "queued": Expected(Q),
    "starting": Expected(Q),  # its nodes are prepared
    "running": Expected(A),
    "killing": Expected(A),
    "exiting": Expected(A),
    "preempting": Expected(A),
    "preempted": Expected(Q),
    "maxrun_hold": Expected(Q, says="no more jobs"),  # nobody holds it
    "user_hold": Expected(Q, held=True),
    "admin_hold": Expected(Q, held=True, says="administrator"),
    "dep_hold": Expected(Q, says="waits for another job"),
    "dep_fail": Expected(X, reason=EndReason.DEPENDENCY, says="did not end with exit code 0", leftover=True),
}


@pytest.mark.parametrize("native", CASES)
def test_a_state_is_what_the_source_says(native: str) -> None:
    expected = CASES[native]
    record = read(State=native)
    assert record is not None
    status = record.status
    assert (status.state, status.held, status.reason) == (expected.state, expected.held, expected.reason)
    assert (status.native, record.leftover) == (native, expected.leftover)
    assert expected.says in status.message
    assert bool(expected.says) == bool(status.message)
    assert (status.exit_code, status.signal) == (None, None)  # its answers tell no end


def test_every_state_has_an_expectation() -> None:
    assert {*CASES} == {*STATES}


def test_a_job_that_is_over_is_as_good_as_gone() -> None:
    assert read(State=DONE) is None


def test_a_state_that_nobody_foresaw_is_unknown() -> None:
    record = read(State="hibernating")
    assert record is not None
    assert (record.status.state, record.status.native) == (JobState.UNKNOWN, "hibernating")


# ---- the other columns -----------------------------------------------------------------------------------------------


def test_a_record_has_its_tag_its_times_and_its_nodes() -> None:
    record = read()
    assert record is not None
    assert (record.id, record.tag, record.output) == ("471850", "psij.0abc", FIELDS["OutputPath"])
    assert record.submitted == 1604597370.0
    assert record.status.started == 1604597460.0  # each time is in the zone that it names
    assert record.status.nodes == "nid03834,nid03835,nid03840"


@pytest.mark.parametrize(
    ("location", "nodes"),
    [
        ("None", ""),
        ("-", ""),
        ("3835", "nid03835"),
        ("cc[001-004]", "cc[001-004]"),
        ("MIR-04000-37B71-512", "MIR-04000-37B71-512"),
    ],
)
def test_nodes_are_cray_numbers_or_names(location: str, nodes: str) -> None:
    record = read(Location=location)
    assert record is not None
    assert record.status.nodes == nodes


@pytest.mark.parametrize("envs", ["", "-", "OTHER=1", "XPSIJ_JOB_TAG=psij.0abc"])
def test_a_job_of_another_program_has_no_tag(envs: str) -> None:
    record = read(Envs=envs)
    assert record is not None
    assert record.tag == ""


def test_a_tag_is_found_among_other_variables() -> None:
    record = read(Envs="A=b c PSIJ_JOB_TAG=psij.0abc Z=1")
    assert record is not None
    assert record.tag == "psij.0abc"


def test_a_job_that_waits_has_no_start_and_no_end() -> None:
    record = read(State="queued", StartTime="N/A", Location="None")
    assert record is not None
    assert record.status.started is None
    [block] = blocks(printed({**FIELDS, "StartTime": "N/A"}))
    assert read_end(block) is None


def test_the_end_of_the_wall_time_is_start_and_limit() -> None:
    [block] = blocks(printed(FIELDS))
    assert read_end(block) == 1604597460.0 + 1800


# ---- whole answers ---------------------------------------------------------------------------------------------------


def test_columns_go_by_their_names_and_further_ones_do_no_harm() -> None:
    first, *others = FIELDS.items()
    turned = dict([first, *reversed(others), ("Score", "  30.0  "), ("user_list", "alice:bob")])
    [block] = blocks(printed(turned))
    assert read_job(block) == read()


def test_ids_are_padded_to_the_widest() -> None:
    text = printed({**FIELDS, "JobID": "    99"}, FIELDS)
    records = [read_job(block) for block in blocks(text)]
    assert [record.id for record in records if record] == ["99", "471850"]


def test_an_answer_without_jobs_is_one() -> None:
    assert answering("").qstat(lambda seen: ()).records == {}


@pytest.mark.parametrize("form", ["Notice: down on Friday\n{}", "{}Bye: see you\n", "State: of the machine\n\n{}"])
def test_what_a_wrapper_prints_around_an_answer_does_no_harm(form: str) -> None:
    answer = answering(form.replace("{}", printed(FIELDS))).qstat(lambda seen: ())
    assert answer.records["471850"].status.state is A


def test_an_answer_that_is_cut_short_is_none() -> None:
    text = printed({**FIELDS, "JobID": "7"}, FIELDS)
    second = text.index("JobID: 471850")
    last = text.index(f"    {COLUMNS[-1]}", second)
    ends_in_a_line = [size for size in range(1, second) if text[size - 1] != "\n"]
    for size in (*ends_in_a_line, *range(second + 1, last + len(f"    {COLUMNS[-1]}      : Non"))):
        with pytest.raises(Unavailable, match="cut short"):
            answering(text[:size]).qstat(lambda seen: ())
    assert {*answering(text.rstrip() + "\n").qstat(lambda seen: ()).records} == {"7", "471850"}


def test_lines_that_are_doubled_or_missing_say_nothing_else() -> None:
    text = printed({**FIELDS, "JobID": "7", "State": "user_hold"}, FIELDS)
    lines = text.splitlines(keepends=True)
    whole = {"7": "user_hold", "471850": "running"}
    for number in range(len(lines)):
        for damaged in (lines[:number] + lines[number + 1 :], lines[: number + 1] + lines[number:]):
            try:
                records = answering("".join(damaged)).qstat(lambda seen: ()).records
            except Unavailable:
                continue
            assert {job_id: record.status.native for job_id, record in records.items()}.items() <= whole.items()


def test_a_damaged_block_harms_its_own_job_alone() -> None:
    damaged = "JobID: 7\n    junk\n\n"
    for text in (damaged + printed(FIELDS), printed(FIELDS) + damaged):
        answer = answering(text).qstat(lambda seen: ["7"])
        assert {*answer.records} == {"471850"}
        assert answer.unheard == {"7"}


def test_no_answer_is_no_information() -> None:
    with pytest.raises(Unavailable, match="cn:queue-manager"):
        answering("", "component error: Failed to connect to queue-manager: x.py:L#2:cn:queue-manager\n", 1).qstat(
            lambda seen: ()
        )


def test_one_question_is_about_all_jobs_of_the_user() -> None:
    replay = Replay(lambda argv: Output(tuple(argv), 0, "", ""))
    CobaltScheduler(run=replay).qstat(lambda seen: ["1", "2"])
    [call] = replay.calls  # nobody knows anything of jobs that are gone
    assert call[:3] == ["qstat", "-l", f"--header={':'.join(COLUMNS)}"]
    assert call[3] == "-u"


# ---- queues ----------------------------------------------------------------------------------------------------------


def test_queues_have_their_limits() -> None:
    def queue(name: str, longest: str, state: str) -> dict[str, str]:
        return {"Name": name, "Users": "None", "MinTime": "None", "MaxTime": longest, "State": state}

    text = printed(
        queue("default", "72:00:00", "running"), queue("R.big", "None", "running"), queue("old", "01:00:00", "dead")
    )
    assert [read_queue(block) for block in queue_blocks(text)] == [
        Queue("default", True, True, minutes=4320),
        Queue("R.big"),
        Queue("old", False, minutes=60),
    ]


# ---- submissions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stdout", "ids", "alone"),
    [
        ("471850\n", ["471850"], True),
        ('Job routed to queue "debug-cache-quad".\nMemory mode set to cache quad\n471850\n', ["471850"], False),
        ("471850 charged to chem at half the rate\n", ["471850"], False),  # what a site says of a job follows its id
        ("Down on 2026.11\n2 jobs left\n471850\n", ["471850", "2"], False),
        ("7\n471850\n", ["471850", "7"], False),
        ("", [], False),
        ("WARNING: nothing\n", [], False),
    ],
)
def test_the_id_is_the_number_alone_on_its_line(stdout: str, ids: Sequence[str], alone: bool) -> None:
    scheduler = CobaltScheduler()
    assert scheduler.job_ids(stdout) == ids
    assert scheduler.job_id(stdout) == (ids[0] if ids else "")
    assert bool(ids and scheduler.says_only(stdout, ids[0])) == alone


REFUSALS = {
    "<Fault 1001: \"trying to add job to non-existent queue 'nope'\">": "queue",
    "<Fault 1001: \"The 'closed' queue is draining\">": "queue",
    "<Fault 1001: \"You are not allowed to submit to the 'vip' queue (group restriction)\\n\">": "queue",
    "<Fault 1001: \"Walltime greater than the 'short' queue max walltime of 01:00:00\\n\">": "wall_time_min",
    "component error: XMLRPC failure <Fault 1004: 'Walltime less than minimum'> in system.validate_job\n": (
        "wall_time_min"
    ),
    "component error: XMLRPC failure <Fault 1004: 'Job requested 9000 nodes.  Maximum permitted size is 4392'> in "
    "system.validate_job\n": "num_nodes",
    "component error: XMLRPC failure <Fault 1004: 'Node count out of realistic range'> in system.validate_job": (
        "num_nodes"
    ),
    "node count out of realistic range": "num_nodes",
    "<Fault 1001: \"The limit of 20 jobs per user in the 'default' queue has been reached\\n\">": "account limits",
    "component error: XMLRPC failure <Fault 1004: 'mcdram flt not valid must be one of: flat, cache'> in "
    "system.validate_job": "attrs",
    "Project 'chem' is invalid\nFilter /usr/bin/project-filter failed": "project",
    "command /home/alice/script.sh is not executable": "",
    "directory /nowhere/x does not exist": "",
    "'time' not provided": "",
    "Usage: qsub.py [options] <executable>\n\nqsub.py: error: no such option: --gpus": "",
}


@pytest.mark.parametrize("stderr", REFUSALS)
def test_a_refusal_names_what_was_refused_and_what_to_do(stderr: str) -> None:
    with pytest.raises(Rejected) as caught:
        answering("", stderr, 1).qsub(SCRIPT)
    assert caught.value.limit == REFUSALS[stderr]
    assert caught.value.hint


@pytest.mark.parametrize(
    "stderr",
    [
        "component error: Failed to connect to system: client_utils.py:L#213:cn:system\n",
        "client_utils.py:L#213:cn:queue-manager",  # it is asked last, and was not there to be asked
        "component error: Following exception occurred while trying to execute system.validate_job: timed out\n",
    ],
)
def test_a_server_that_was_not_reached_has_taken_nothing(stderr: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psij_parsl.platforms.scheduler.backoff", lambda **settings: iter(()))
    with pytest.raises(Unavailable):
        answering("", stderr, 1).qsub(SCRIPT)


@pytest.mark.parametrize("stderr", ["<Fault 20: 'Server Failure'>", "The read operation timed out", "no such words"])
def test_what_may_have_been_taken_is_looked_for(stderr: str) -> None:
    with pytest.raises(Ambiguous):
        answering("", stderr, 1).qsub(SCRIPT)


# ---- cancelling, holding, altering -----------------------------------------------------------------------------------

DELETED = "      Deleted Jobs\nJobID  User   \n==============\n12     alice  \n14     alice  \n"


@pytest.mark.parametrize(
    ("stdout", "unknown"), [(DELETED, {"13"}), ("", {"12", "13", "14"})], ids=["mixed", "all unknown"]
)
def test_a_job_that_qdel_does_not_name_is_unknown(stdout: str, unknown: set[str]) -> None:
    assert answering(stdout).qdel(["12", "13", "14"]) == unknown


def test_a_qdel_that_failed_tells_nothing_of_any_job() -> None:
    text = "component error: Failed to connect to queue-manager: client_utils.py:L#213:cn:queue-manager\n"
    with pytest.raises(Unavailable):
        answering("", text, 1).qdel(["12"])


@pytest.mark.parametrize(
    ("stdout", "error"),
    [
        ("Placed user hold on jobs: \n      12\n", ""),
        ("   Failed to place user hold on jobs: \n      job 12 already in state 'user hold'\n", ""),
        ("   Failed to remove user hold on jobs: \n      job 12 does not have a 'user hold'\n", ""),
        ("   Failed to place user hold on jobs: \n      job 12 is already active\n", "job 12 is already active"),
        (
            "   Failed to remove user hold on jobs: \n      job 12 is already active and does not have a pending "
            "'user hold'\n",
            "job 12 is already active",
        ),
        ("   Failed to place user hold on jobs: \n      job 12 not found\n", "job 12 not found"),
        ("   Failed to place user hold on jobs: \n      job 12 has already completed\n", "has already completed"),
    ],
)
def test_a_hold_that_failed_is_an_error_although_the_exit_code_is_0(stdout: str, error: str) -> None:
    if not error:
        answering(stdout).hold(["12"])
        return
    with pytest.raises(Rejected, match=error):
        answering(stdout).hold(["12"])


def test_a_wall_time_can_be_changed_while_the_job_waits() -> None:
    answering("walltime changed from 10.0 to 20.0\n").extend("12", 20)
    with pytest.raises(Rejected, match="running job") as caught:
        answering("", "cannot change wall time of a running job\n", 1).extend("12", 20)
    assert "while it waits" in caught.value.hint
    with pytest.raises(Rejected, match="Failed to match any jobs"):
        answering("", "Failed to match any jobs or queues\n").extend("12", 20)
