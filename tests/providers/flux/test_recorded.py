"""What a real Flux (flux-core 0.88) printed, read by our parsers. Expectations come from each case's name and header.

`held`, `never-can-run`, `missing-binary`, `requires-unknown`, `shell-killed`, `dependency-failed`, `cancel-mixed`,
`*-id*`, `nothing`, `urgency-*`, `update-*`, `server-down.*`, `submit-dep-failed`, `submit-bad-queue` and
`info.queue-list-columns` were recorded later, with the same version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.errors import Ambiguous, Rejected, SchedulerError, Unavailable
from psij_parsl.platforms.queries import SchedulerRecord
from psij_parsl.providers.flux.ids import ascii_id, number
from psij_parsl.providers.flux.records import STATES, jobs, read_end, read_job
from psij_parsl.providers.flux.scheduler import FluxScheduler
from psij_parsl.states import EndReason, JobState
from psij_parsl.system.commands import Output
from psij_parsl.testing.replay import Recorded, Replay

FOLDER = Path(__file__).parents[2] / "recorded" / "flux"
Q, A, C, F, X = JobState.QUEUED, JobState.ACTIVE, JobState.COMPLETED, JobState.FAILED, JobState.CANCELED


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


CASES: Mapping[str, Expected] = {
    "batch-done": Expected(C, 0, nodes="node[01-02]"),
    "cancelled": Expected(X, nodes="node[01-04]"),
    "cancelled-while-pending": Expected(X),
    "cancelling": Expected(X, nodes="node[01-04]"),  # it was over by then
    "completed": Expected(C, 0, nodes="node01"),
    "dependency-failed": Expected(F, reason=EndReason.DEPENDENCY, says="job never started"),
    "failed-bad-cwd": Expected(C, 0, nodes="node01"),  # Flux runs it in /tmp
    "failed-exit137": Expected(F, 137, nodes="node01"),
    "failed-exit3": Expected(F, 3, nodes="node01"),
    "held": Expected(Q, held=True),
    "killed-by-signal11": Expected(F, 139, nodes="node01"),  # Flux's shell saw the signal, and gives 128 and more
    "killed-by-signal9": Expected(F, 137, nodes="node01"),
    "killed-by-usr1": Expected(F, 138, nodes="node01"),
    "missing-binary": Expected(
        F, 127, reason=EndReason.LAUNCH_FAILED, says="/nosuch/binary: No such file", nodes="node01"
    ),
    "never-can-run": Expected(F, reason=EndReason.LAUNCH_FAILED, says="unsatisfiable request: need 40"),
    "pending-begin-time": Expected(Q, says="begin@22:43:54"),
    "pending-dependency": Expected(Q, says="after-success=ƒUmxvbdR"),
    "raised": Expected(F, says="myexc: testing", nodes="node01"),  # somebody ended it with an exception
    "requires-unknown": Expected(F, reason=EndReason.LAUNCH_FAILED, says="unsatisfiable request"),
    "running": Expected(A, nodes="node[01-04]"),
    "shell-killed": Expected(F, None, 9, nodes="node01"),
    "timeout": Expected(F, reason=EndReason.TIMEOUT, says="resource allocation expired", nodes="node01"),
    "timeout-5s": Expected(F, reason=EndReason.TIMEOUT, says="resource allocation expired", nodes="node02"),
}
#: Every second of 20 jobs slept; the script of the others was `exit N`.
ENDS = (0, 2, 4, 1, 3, 0, 2, 4, 1, 3)


def recorded(name: str) -> Recorded:
    return Recorded.read(FOLDER / f"{name}.txt")


def says(record: SchedulerRecord, expected: Expected) -> None:
    found = record.status
    for name in ("state", "exit_code", "signal", "reason", "held", "nodes"):
        assert getattr(found, name) == getattr(expected, name), name
    assert expected.says in found.message
    assert bool(expected.says) == bool(found.message), found.message
    assert record.submitted is not None
    assert 1.79e9 < record.submitted < 1.8e9
    if found.state.final:
        assert found.ended is not None
        assert found.ended >= (found.started or record.submitted)


def by_columns(said: Recorded) -> Iterator[dict[str, Any]]:
    """The jobs of the recorder's own columns, as `flux jobs --json` has them."""
    columns = re.findall(r"\{([\w.]+)\}", said.output.argv[said.output.argv.index("-o") + 1])
    for line in said.output.stdout.splitlines():
        row: dict[str, Any] = dict(zip(columns, line.split("|"), strict=True))
        fields: dict[str, Any] = {"id": int(row["id.dec"]), "jobid": row["id.f58"]}
        fields |= {name: text for name, text in row.items() if "." not in name and name != "returncode"}
        if row["returncode"]:
            fields["returncode"] = int(row["returncode"])
        fields["urgency"] = 0 if row["contextual_info"] == "held" else 16
        fields["dependencies"] = row["contextual_info"].removeprefix("depends:") if row["state"] == "DEPEND" else ""
        if kind := row["exception.type"]:
            severity = int(row["exception.severity"])
            fields["exception"] = {
                "occurred": True,
                "type": kind,
                "severity": severity,
                "note": row["exception.note"],
            }
        yield fields


def answers(kind: str) -> list[str]:
    """The recorded answers of that kind, of cases that are one job."""
    found = sorted(path.name.removesuffix(".txt") for path in FOLDER.glob(f"*.{kind}.txt"))
    return [name for name in found if name.partition(".")[0] in CASES]


# ---- every file that shows a job ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", answers("jobs-json"))
def test_json_has_the_case_of_its_name(name: str) -> None:
    said = recorded(name)
    [job] = jobs(said.output.stdout)
    record = read_job(job)
    says(record, CASES[name.partition(".")[0]])
    assert record.id == ascii_id(said.output.argv[-1])


@pytest.mark.parametrize("name", answers("jobs"))
def test_columns_have_the_case_of_their_name(name: str) -> None:
    [fields] = by_columns(recorded(name))
    says(read_job(fields), CASES[name.partition(".")[0]])


@pytest.mark.parametrize("name", answers("jobs-default"))
def test_the_letters_in_the_table_are_the_case_of_their_name(name: str) -> None:
    words = {
        "D": "DEPEND",
        "S": "SCHED",
        "R": "RUN",
        "CD": "COMPLETED",
        "F": "FAILED",
        "CA": "CANCELED",
        "TO": "TIMEOUT",
    }
    [letters] = re.findall(r"^ +ƒ\w+ \w+ +alice +\S+ +([A-Z]+) ", recorded(name).output.stdout, re.MULTILINE)
    assert STATES[words[letters]] is CASES[name.partition(".")[0]].state


@pytest.mark.parametrize("name", ["many.json", "many.jobs"])
def test_each_of_many_jobs_has_its_own_end(name: str) -> None:
    said = recorded(name)
    pieces = jobs(said.output.stdout) if name == "many.json" else by_columns(said)
    found = [read_job(piece) for piece in pieces]
    assert [record.id for record in found] == [ascii_id(word) for word in said.output.argv if word[0] == "ƒ"]
    for place, record in enumerate(found):
        if place % 2:
            assert record.status.state is A
            continue
        code = ENDS[place // 2]
        assert (record.status.state, record.status.exit_code) == (F if code else C, code)


def test_the_states_of_all_jobs_of_a_user() -> None:
    states = [line.split()[1] for line in recorded("many.user").output.stdout.splitlines()]
    assert len(states) == 46
    assert all(state in STATES for state in states)
    assert states.count("RUN") == 10


def test_ids_of_which_some_are_unknown_give_the_others() -> None:
    said = recorded("mixed-ids.jobs-json").output
    assert (said.rc, said.stderr) == (0, "JobID f999 unknown\n")
    [job] = jobs(said.stdout)  # a list all the same: two were asked about
    assert read_job(job).status.exit_code == 1


def test_no_recorded_file_that_shows_a_job_is_left_out() -> None:
    shown = {
        path.name.removesuffix(".txt")
        for path in FOLDER.glob("*.txt")
        if Recorded.read(path).output.argv[:2] == ("flux", "jobs") and Recorded.read(path).output.stdout.strip()
    }
    read = {*answers("jobs-json"), *answers("jobs"), *answers("jobs-default")}
    assert shown - read == {"many.json", "many.jobs", "many.user", "mixed-ids.jobs-json", "nothing.jobs-json"}
    assert {name.partition(".")[0] for name in read} == CASES.keys()


# ---- answers of other versions, and damaged ones -----------------------------------------------------------------


def one(name: str) -> dict[str, Any]:
    job: dict[str, Any] = json.loads(recorded(f"{name}.jobs-json").output.stdout)
    return job


def test_the_order_of_fields_further_fields_and_lists_do_not_matter() -> None:
    job = dict(reversed(one("failed-exit3").items()))
    job |= {
        "new": {"a": [1]},
        "nodelist": ["node01", "node02"],
        "status": ["FAILED"],
        "t_submit": str(job["t_submit"]),
    }
    record = read_job(job)
    says(record, Expected(F, 3, nodes="node01,node02"))


def test_a_job_without_its_status_has_that_of_its_state_and_result() -> None:
    job = {name: value for name, value in one("timeout").items() if name not in ("status", "id")}
    says(read_job(job), CASES["timeout"])


def test_a_state_that_nobody_knows_is_unknown() -> None:
    record = read_job(one("completed") | {"status": "PONDERING"})
    assert (record.status.state, record.status.native) == (JobState.UNKNOWN, "PONDERING")


def test_one_bad_record_harms_one_job() -> None:
    answer = json.dumps({"jobs": [one("completed"), "odd", one("running") | {"id": "odd", "jobid": ""}, one("held")]})
    found = FluxScheduler(run=Replay(lambda argv: Output(tuple(argv), 0, answer, ""))).qstat(lambda seen: ())
    assert [record.status.state for record in found.records.values()] == [C, Q]


@pytest.mark.parametrize("name", ["many.json", "completed.jobs-json"])
def test_an_answer_that_is_cut_short_is_none(name: str) -> None:
    text = recorded(name).output.stdout
    for size in (1, len(text) // 2, len(text.rstrip()) - 1):
        with pytest.raises(Unavailable):
            list(jobs(text[:size]))
    assert list(jobs(f"Welcome to head7\n{text}bye\n")) == list(jobs(text))


def test_a_failed_node_is_the_reason_of_an_end() -> None:
    exception = {"occurred": True, "severity": 0, "type": "exec", "note": "node failure on node02 (shell rank 1)"}
    found = read_job(one("failed-exit137") | {"exception": exception}).status
    assert (found.state, found.reason, found.exit_code) == (F, EndReason.NODE_FAILURE, None)


def test_an_exception_that_does_not_end_a_job_is_no_reason() -> None:
    exception = {"occurred": True, "severity": 7, "type": "alloc", "note": "a remark"}
    says(read_job(one("failed-exit3") | {"exception": exception}), CASES["failed-exit3"])


def test_the_schedulers_estimate_of_the_start_is_that_of_a_job_that_waits() -> None:
    note = {"annotations": {"sched": {"t_estimate": 1700000000.5, "reason_pending": "not enough cores"}}}
    waits = read_job({"id": 7, "status": "SCHED", **note}).status
    assert (waits.expected, waits.message, waits.started) == (1700000000.5, "not enough cores", None)
    assert read_job({"id": 7, "status": "RUN", **note}).status.expected is None
    for other in (0, None, {}, ""):  # t_estimate is "" once it is out of date
        job = {"id": 7, "status": "SCHED", "annotations": {"sched": {"t_estimate": other}}}
        assert read_job(job).status.expected is None


def test_a_job_whose_priority_is_0_says_so_and_is_not_held() -> None:
    found = read_job(one("held") | {"urgency": 16}).status
    assert (found.held, "priority is 0" in found.message) == (False, True)


# ---- ids ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other", ["ƒcJjB1sV", "1344039550976", "0x138ef000000", "0000.0138.ef00.0000", "job.0000.0138.ef00.0000"]
)
def test_all_forms_of_an_id_are_one_job(other: str) -> None:
    assert FluxScheduler().same_id("fcJjB1sV", other)
    assert ascii_id(other) == "fcJjB1sV"
    assert not FluxScheduler().same_id("fcJjB1sW", other)


def test_every_recorded_id_is_the_number_that_stands_with_it() -> None:
    for name in answers("jobs"):
        [fields] = by_columns(recorded(name))
        assert number(fields["jobid"]) == fields["id"]
        assert ascii_id(str(fields["id"])) == "f" + fields["jobid"][1:]


@pytest.mark.parametrize("text", ["", "f", "nosuchjob", "f0", "flOI", "99999999999999999999999", "12.head"])
def test_what_is_no_id_is_none(text: str) -> None:
    assert number(text) is None
    assert FluxScheduler().plain_id(text) == text


# ---- what the commands say ---------------------------------------------------------------------------------------


def scheduler(name: str) -> FluxScheduler:
    said = recorded(name).output
    return FluxScheduler(
        run=Replay(lambda argv: Output(tuple(argv), said.rc, said.stdout, said.stderr, said.seconds))
    )


@pytest.mark.parametrize(
    ("name", "job_id"), [("submit-ok", "fPh6HShV"), ("submit-ok-batch", "fPncWmZy"), ("submit-bad-cwd", "fR7kqQ4f")]
)
def test_the_id_is_read_and_needs_no_proof(name: str, job_id: str, tmp_path: Path) -> None:
    answer = scheduler(name).submit(tmp_path / "script.sh")
    assert (answer.ids, answer.alone) == ([job_id], True)


@pytest.mark.parametrize("name", ["submit-cc", "bulk-submit"])
def test_several_ids_are_not_taken_for_one(name: str, tmp_path: Path) -> None:
    with pytest.raises(Ambiguous):
        scheduler(name).qsub(tmp_path / "script.sh")


def test_words_of_a_notice_are_less_likely_than_an_id() -> None:
    answer = "Welcome\nfarm\nfrom head7\nƒPh6HShV\nfast\n"
    assert FluxScheduler().job_ids(answer)[0] == "fPh6HShV"
    assert not FluxScheduler().says_only(answer, "fPh6HShV")


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("submit-bad-dep", "after"),
        ("submit-bad-queue", "queue"),
        ("submit-bad-urgency", "urgency"),
        ("submit-dep-failed", "after"),
        ("submit-no-command", ""),
        ("submit-queue-closed", "queue"),
        ("submit-too-long", "queue limits"),
        ("submit-too-many-nodes-queue", "queue limits"),
    ],
)
def test_a_refusal_is_certain_and_names_what_was_at_fault(name: str, limit: str, tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        scheduler(name).qsub(tmp_path / "script.sh")
    assert caught.value.limit == limit
    assert recorded(name).output.stderr.strip() in caught.value.output
    assert caught.value.hint


@pytest.mark.parametrize("name", ["submit-too-many-nodes", "submit-too-many-cores", "submit-bad-requires"])
def test_a_request_that_can_never_be_met_is_accepted_and_fails_at_once(name: str, tmp_path: Path) -> None:
    assert scheduler(name).qsub(tmp_path / "script.sh")


@pytest.mark.parametrize("name", ["server-down.submit", "server-down.cancel", "server-down.urgency"])
def test_a_flux_that_is_not_there_has_done_nothing(name: str) -> None:
    said = recorded(name).output
    error = scheduler(name).classify_error(said, "submit the job")
    assert isinstance(error, Unavailable)
    assert "flux uptime" in error.hint


@pytest.mark.parametrize("name", ["server-down.jobs-json", "invalid-id.jobs-json"])
def test_no_answer_is_no_information(name: str) -> None:
    with pytest.raises(Unavailable):
        scheduler(name).qstat(lambda seen: ["f1"])


@pytest.mark.parametrize("name", ["unknown-id.jobs-json", "unknown-ids.jobs-json"])
def test_ids_that_are_all_unknown_are_an_answer(name: str) -> None:
    """Though the command fails, and prints no document."""
    live, said = recorded("nothing.jobs-json").output, recorded(name).output

    def answer(argv: Any) -> Output:
        output = live if "-c" in argv else said
        return Output(tuple(argv), output.rc, output.stdout, output.stderr)

    found = FluxScheduler(run=Replay(answer)).qstat(lambda seen: ["f999", "f998", "nosuch"])
    assert (found.records, found.unheard) == ({}, frozenset())


@pytest.mark.parametrize(
    ("name", "unknown"),
    [
        ("cancel-ok", set()),
        ("cancel-pending", set()),
        ("cancel-already-finished", set()),
        ("cancel-nonexistent", {"f1"}),
        ("cancel-nonexistent2", {"999999"}),
        ("cancel-mixed", {"f999"}),
    ],
)
def test_cancelling_what_has_ended_is_fine_and_what_is_unknown_is_told(name: str, unknown: set[str]) -> None:
    assert scheduler(name).qdel(recorded(name).output.argv[2:]) == unknown


@pytest.mark.parametrize("name", ["urgency-unknown", "urgency-ended", "urgency-running"])
def test_a_job_that_cannot_be_held_is_an_error_with_fluxs_words(name: str) -> None:
    with pytest.raises(SchedulerError) as caught:
        scheduler(name).hold(["f999"])
    assert recorded(name).output.stderr.strip() in str(caught.value)


def test_the_queues_and_their_limits() -> None:
    queues = scheduler("info.queue-list-columns").queues()
    assert [(queue.name, queue.up, queue.default) for queue in queues] == [
        ("batch", True, True),
        ("debug", True, False),
        ("closed", False, False),
    ]
    assert [(queue.max_nodes, queue.minutes) for queue in queues] == [(None, 60), (2, 1), (None, 60)]


def test_when_a_job_ends_is_told_while_it_runs() -> None:
    [running] = jobs(recorded("running.jobs-json").output.stdout)
    assert read_end(running) == running["expiration"]
    assert read_end(running | {"expiration": 0}) is None
    for name in ("completed", "held"):
        [job] = jobs(recorded(f"{name}.jobs-json").output.stdout)
        assert read_end(job) is None


def test_a_job_is_ours_by_its_name_and_by_its_directory() -> None:
    job = one("running")
    assert (read_job(job).foreign, read_job(job).output) == (True, "")
    by_name = read_job(job | {"name": "train.psij:6fsndjdcrf"})
    assert (by_name.tag, by_name.foreign) == ("psij:6fsndjdcrf", False)
    by_folder = read_job(job | {"cwd": "/home/alice/.local/state/psij_parsl/jobs/6fsndjdcrf"})
    assert (by_folder.tag, by_folder.foreign) == ("", False)
    assert by_folder.output.endswith("/6fsndjdcrf/manager.log")


def test_the_commands_are_fluxs_own() -> None:
    version = recorded("version").output
    assert re.search(FluxScheduler.probe_answer, version.text, re.MULTILINE)
