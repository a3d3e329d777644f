"""What a real OpenPBS printed, read by our parsers. Expectations come from each case's name, not from a parser.

`array-part-queued`, `cancel-mixed`, `dependency-failed`, `element-*`, `grouped-ids`, `history-off` and `walltime` were
recorded later, on a server of the same version.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.errors import Ambiguous, Rejected, Unavailable
from psij_parsl.platforms.queries import SchedulerRecord
from psij_parsl.providers.pbspro.records import ENDED, STATES, jobs, read_job
from psij_parsl.providers.pbspro.scheduler import PBSProScheduler
from psij_parsl.states import EndReason, JobState
from psij_parsl.system.commands import Output
from psij_parsl.testing.replay import Recorded, Replay

FOLDER = Path(__file__).parents[2] / "recorded" / "openpbs"
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


NODES = "node01,node02,node03,node04"
CASES: Mapping[str, Expected] = {
    "array-done": Expected(F, 1),  # as a whole: some of its elements failed
    "array-mid": Expected(A),
    "badoutput": Expected(A, nodes="node01"),  # its command is over, PBS still tries to deliver the output
    "cancel-on-dead-node": Expected(A, nodes="node04"),  # qdel could not reach the node: the job stays as it was
    "cancelled": Expected(X, says="terminated by alice@head", nodes=NODES),
    "cancelled-force": Expected(A, says="terminated by alice@head", nodes="node01"),  # caught halfway: not yet gone
    "cancelled-force-on-dead-node": Expected(X, says="terminated", nodes="node04"),
    "cancelled-while-queued": Expected(X, says="held by alice"),
    "cancelling": Expected(A, says="terminated by alice@head", nodes=NODES),
    "completed": Expected(C, 0, nodes="node01"),
    "dependency-failed": Expected(X, reason=EndReason.DEPENDENCY, says="afterok:239.head"),  # PBS deleted it
    "failed-exit137": Expected(F, 137, nodes="node01"),
    "failed-exit3": Expected(F, 3, nodes="node01"),
    "held": Expected(Q, held=True),
    "json-newline-in-env": Expected(C, 0, nodes="node01"),
    "json-odd-values": Expected(C, 0, nodes="node01"),
    "killed-by-signal11": Expected(F, 139, nodes="node01"),  # a shell's word for it: PBS saw the script exit
    "killed-by-signal9": Expected(F, 137, nodes="node01"),
    "killed-by-usr1": Expected(F, None, 10, nodes="node01"),
    "memory-exceeded": Expected(F, reason=EndReason.OUT_OF_MEMORY, says="exceeded resource mem", nodes="node02"),
    # After `pbs_mom -p` PBS says 0 of all of them: our exit file says 3 of the last, and the first never ended by itself.
    "mom-killed-all-processes-killed-restarted-with-p": Expected(C, 0, nodes="node04"),
    "mom-killed-restarted-with-p": Expected(X, says="terminated", nodes="node04"),
    "mom-killed-then-restarted": Expected(C, 0, nodes="node03"),
    "mom-restarted-with-p": Expected(C, 0, nodes="node04"),
    "never-can-run": Expected(Q, says="Can Never Run: Insufficient amount of resource: mem"),
    "node-killed": Expected(A, nodes="node04"),  # PBS goes on calling it running, for as long as was looked
    "node-killed-later": Expected(A, nodes="node04"),
    "node-killed-rerunnable": Expected(A, nodes="node04"),
    "queued": Expected(Q, says="Not enough free nodes available"),
    "queued-dependency": Expected(Q, says="afterok:24.head"),  # PBS calls it held, by the system: nobody holds it
    "queued-queue-stopped": Expected(Q, says="Queue not started"),
    "rerun": Expected(A, nodes="node01"),
    "running": Expected(A, nodes=NODES),
    "suspended": Expected(A, nodes="node01"),
    "walltime": Expected(F, reason=EndReason.TIMEOUT, says="exceeded resource walltime", nodes="head"),
}
ELEMENTS = {  # the script of 40[] was `sleep 2; exit $PBS_ARRAY_INDEX`
    f"40[{index}].head": Expected(F if index else C, index, nodes="node01") for index in range(6)
}
MANY = dict.fromkeys((f"{number}.head" for number in range(43, 63)), Expected(C, 0, nodes="node01"))


def recorded(name: str) -> Recorded:
    return Recorded.read(FOLDER / f"{name}.txt")


def says(record: SchedulerRecord | None, expected: Expected) -> None:
    assert record is not None
    found = record.status
    for name in ("state", "exit_code", "signal", "reason", "held", "nodes"):
        assert getattr(found, name) == getattr(expected, name), name
    assert expected.says in found.message
    assert bool(expected.says) == bool(found.message), found.message


def in_full(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The jobs of `qstat -f`: lines `name = value`, which go on after a tab."""
    for block in re.split(r"^Job Id: ", text.replace("\n\t", ""), flags=re.MULTILINE)[1:]:
        job_id, *lines = block.splitlines()
        said = dict(line.strip().partition(" = ")[::2] for line in lines if " = " in line)
        yield job_id, {**said, "substate": int(said["substate"])}


def answers(kind: str) -> list[str]:
    """The recorded answers of that kind that show a job."""
    return sorted(path.name.removesuffix(".txt") for path in FOLDER.glob(f"*.{kind}.txt"))


# ---- every file that shows a job ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*answers("qstat-f-json-x"), "json-newline-in-env", "json-odd-values"])
def test_json_tells_the_case_of_its_name(name: str) -> None:
    said = recorded(name)
    [piece] = jobs(said.output.stdout)
    says(read_job(piece), CASES[said.case.partition(".")[0]])


@pytest.mark.parametrize("name", [*answers("qstat-f-x"), *answers("qstat-f")])
def test_the_long_form_has_the_same_attributes(name: str) -> None:
    said = recorded(name)
    case = said.case.partition(".")[0]
    found = list(in_full(said.output.stdout))
    if said.output.rc == 35:  # it has ended, which is all that it says
        assert not found
        assert CASES[case].state.final or case == "cancelled-force"
        return
    [piece] = found
    says(read_job(piece), CASES[case])


@pytest.mark.parametrize("name", [*answers("qstat-x"), *answers("qstat"), "running.qstat-an1", "array-mid.qstat-t"])
def test_the_letter_in_the_table_is_the_case_of_its_name(name: str) -> None:
    said = recorded(name)
    case = said.case.partition(".")[0]
    rows = re.findall(r"^(\d+(?:\[\d*\])?\.head).*\s([A-Z])\s", said.output.stdout, re.MULTILINE)
    if case in ("many", "server-down"):
        assert bool(rows) == (case == "many")
        return
    if not rows:
        assert said.output.rc == 35
        assert CASES[case].state.final
    for _, letter in rows:
        if letter in ENDED:
            assert CASES[case].state.final or case == "cancelled-force"  # in the table it has gone already
        else:
            assert STATES[letter] is CASES[case].state


@pytest.mark.parametrize("name", ["array-mid.json-t", "array-done.json-t"])
def test_each_element_of_an_array_has_its_own_end(name: str) -> None:
    found = {record.id: record for piece in jobs(recorded(name).output.stdout) if (record := read_job(piece))}
    assert set(found) == {"40[].head", *ELEMENTS}
    for job_id, expected in ELEMENTS.items():
        if found[job_id].status.final:
            says(found[job_id], expected)
        else:
            assert name == "array-mid.json-t"


def test_json_of_many_ids_holds_the_first_alone() -> None:
    """Which is why we never ask so: see `PBSProScheduler.history`."""
    said = recorded("many.json")
    assert len([word for word in said.output.argv if word.endswith(".head")]) == 20
    [(job_id, attributes)] = jobs(said.output.stdout)
    says(read_job((job_id, attributes)), MANY[job_id])


def test_no_recorded_file_that_shows_a_job_is_left_out() -> None:
    shown = {
        path.name.removesuffix(".txt")
        for path in FOLDER.glob("*.txt")
        if re.search(r"^(\s+\"|Job Id: |)\d+(\[\d*\])?\.head", Recorded.read(path).output.stdout, re.MULTILINE)
        and "qstat" in Recorded.read(path).output.argv
    }
    kinds = ("qstat-f-json-x", "qstat-f-x", "qstat-f", "qstat-x", "qstat")
    read = {name for kind in kinds for name in answers(kind)} | {
        "running.qstat-an1",
        "array-mid.qstat-t",
        "array-mid.json-t",
        "array-done.json-t",
        "many.json",
        "json-newline-in-env",
        "json-odd-values",
        "array-part-queued.json-t",
        "element-deleted.json-t",
        "element-forgotten.json-t",
        "grouped-ids.json",
        "history-off.json",
    }
    elsewhere = {"array-done.qstat-xt", "many.user", "server-hung-after"}  # tables of letters, F or Q or R
    assert shown - read == elsewhere & shown


def read(name: str) -> dict[str, SchedulerRecord]:
    found = (read_job(piece) for piece in jobs(recorded(name).output.stdout))
    return {record.id: record for record in found if record is not None}


def test_elements_that_wait_are_told_one_by_one() -> None:
    found = read("array-part-queued.json-t")
    assert set(found) == {"242[].head", "242[0].head", "242[1].head", "242[2].head"}
    assert {record.status.state for record in found.values()} == {Q}


@pytest.mark.parametrize(
    "start", ["Sat Nov 21 21:34:27 2026", int(time.mktime((2026, 11, 21, 21, 34, 27, 0, 0, -1)))]
)
def test_the_schedulers_estimate_of_the_start_is_that_of_a_job_that_waits(start: str | int) -> None:
    """`estimated.start_time` of a top job, by the reference guide; none was recorded."""
    job = {"job_state": "Q", "substate": 10, "estimated": {"exec_vnode": "(node01:ncpus=4)", "start_time": start}}
    waits, runs = read_job(("7.head", job)), read_job(("7.head", {**job, "job_state": "R"}))
    assert waits is not None
    assert runs is not None
    assert waits.status.expected == time.mktime((2026, 11, 21, 21, 34, 27, 0, 0, -1))
    assert runs.status.expected is None
    for other in ("UNSET", 0, True, None, {}):
        odd = read_job(("7.head", {**job, "estimated": {"start_time": other}}))
        assert odd is not None
        assert odd.status.expected is None


def test_an_element_that_was_deleted_is_not_given_the_arrays_exit_status() -> None:
    """PBS forgets it and shows the array's words in its place; what became of it, our exit file tells."""
    during, after = read("element-deleted.json-t"), read("element-forgotten.json-t")
    assert set(during) == {"242[].head", "242[0].head", "242[2].head"}
    assert set(after) == {"242[].head", "242[0].head", "242[2].head"}
    for job_id in ("242[0].head", "242[2].head"):
        says(after[job_id], Expected(X, says="terminated by alice@head", nodes="head"))


def test_grouped_ids_are_all_told() -> None:
    found = read("grouped-ids.json")
    says(found["239.head"], Expected(F, 1, nodes="head"))
    says(found["240.head"], CASES["dependency-failed"])
    assert found["243.head"].status.state is X


def test_a_server_without_history_says_success_and_no_jobs() -> None:
    """So -x is never part of the question about jobs that are there."""
    said = recorded("history-off.json-x").output
    assert (said.rc, list(jobs(said.stdout))) == (0, [])
    assert "not configured to maintain job history" in said.stderr
    assert read("history-off.json")["244.head"].status.held
    assert "-x" not in PBSProScheduler().live().argv


# ---- what the commands say ---------------------------------------------------------------------------------------


def scheduler(name: str) -> PBSProScheduler:
    said = recorded(name).output
    return PBSProScheduler(
        run=Replay(lambda argv: Output(tuple(argv), said.rc, said.stdout, said.stderr, said.seconds))
    )


@pytest.mark.parametrize(
    ("name", "job_id"),
    [
        ("submit-ok", "1.head"),
        ("submit-ok-binary", "2.head"),
        ("array-submit", "41[].head"),
        ("submit-empty", "18.head"),
    ],
)
def test_the_id_is_read(name: str, job_id: str, tmp_path: Path) -> None:
    assert scheduler(name).qsub(tmp_path / "script.sh") == job_id


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("submit-bad-queue", "queue"),
        ("submit-queue-disabled", "queue"),
        ("submit-too-long", "queue limits"),
        ("submit-bad-resource", "resources"),
        ("submit-bad-select", "resources"),
        ("submit-bad-walltime", "resources"),
        ("submit-bad-group", "group_list"),
        ("array-too-large", "array"),
        ("submit-badpragma", "resources"),
        ("submit-bad-name", ""),
        ("submit-badpragma2", ""),
        ("submit-crlf", ""),
        ("submit-no-script", ""),
        ("submit-nodes-and-select", ""),
    ],
)
def test_a_refusal_is_one_and_names_what_was_at_fault(name: str, limit: str, tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        scheduler(name).qsub(tmp_path / "script.sh")
    assert caught.value.limit == limit
    assert recorded(name).output.stderr.strip() in caught.value.output
    assert caught.value.hint or not limit


def test_a_server_that_is_down_took_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psij_parsl.platforms.scheduler.backoff", lambda **settings: iter(()))
    with pytest.raises(Unavailable):
        scheduler("server-down.qsub").qsub(tmp_path / "script.sh")


def test_a_server_that_hung_may_have_taken_it(tmp_path: Path) -> None:
    """As `server-hung-after` shows: 1171 ran when the server woke up."""
    with pytest.raises(Ambiguous):
        scheduler("server-hung.qsub").qsub(tmp_path / "script.sh")


@pytest.mark.parametrize("name", ["server-down.qstat-json", "server-hung.qstat-json", "server-down.qstat"])
def test_no_answer_is_no_information(name: str) -> None:
    with pytest.raises(Unavailable):
        scheduler(name).qstat(lambda seen: ["1170.head"])


@pytest.mark.parametrize(
    ("name", "job_id", "unknown"),
    [
        ("cancel-ok", "23.head", False),
        ("cancel-already-finished", "23.head", False),
        ("cancel-nonexistent", "999999.head", True),
        ("array-cancel-one", "40[4].head", False),
        ("cancel-mixed", "99999.head", True),
        ("cancel-mixed", "239.head", False),
        ("cancel-on-dead-node", "68.head", False),  # PBS does it later
    ],
)
def test_cancelling_what_has_ended_is_fine_and_what_is_unknown_is_told(name: str, job_id: str, unknown: bool) -> None:
    assert scheduler(name).qdel([job_id]) == ({job_id} if unknown else set())


@pytest.mark.parametrize(("name", "hint"), [("server-down.qdel", "qstat -B"), ("server-hung.qdel", "")])
def test_a_cancel_that_did_not_get_through_is_told(name: str, hint: str) -> None:
    with pytest.raises((Unavailable, Ambiguous), match="qdel|could not cancel") as caught:
        scheduler(name).qdel(["68.head"])
    assert hint in caught.value.hint


def test_the_queues_and_their_limits() -> None:
    queues = {queue.name: queue for queue in scheduler("info.qstat-Qf-json").queues()}
    assert [(queue.up, queue.minutes) for queue in queues.values()] == [
        (True, 60),
        (True, 1),
        (False, None),
        (False, None),
    ]
    assert list(queues) == ["workq", "short", "closed", "stopped"]


def test_the_default_queue_is_the_servers_word() -> None:
    def answer(argv: Sequence[str]) -> Output:
        return recorded("info.qstat-Bf-json" if "-B" in argv else "info.qstat-Qf-json").output

    assert [q.name for q in PBSProScheduler(run=Replay(answer)).queues() if q.default] == ["workq"]


@pytest.mark.parametrize("name", ["server-down.qsub", "server-down.qdel", "server-down.qstat-Qf"])
def test_the_line_that_names_the_server_is_part_of_the_error(name: str) -> None:
    said, command = recorded(name).output, name.partition(".")[2].partition("-")[0]
    error = scheduler(name).classify_error(Output((command,), said.rc, "", said.stderr), "ask")
    assert isinstance(error, Unavailable)
    assert error.message.endswith(("cannot connect to server head (errno=15010)", "connect to cluster: head"))


def test_a_job_in_a_queue_that_does_not_run_and_one_that_never_can_are_queued_with_the_reason() -> None:
    for name in ("never-can-run", "queued-queue-stopped"):
        [piece] = jobs(recorded(f"{name}.qstat-f-json-x").output.stdout)
        record = read_job(piece)
        assert record is not None
        assert record.status.describe().startswith("QUEUED, ")


def test_a_qstat_that_cannot_group_ids_is_asked_about_one_by_one_and_never_about_everything() -> None:
    nothing = recorded("server-down.qstat-json").output.stdout

    def answer(argv: Sequence[str]) -> Output:
        if "-E" in argv:
            return Output(tuple(argv), 2, "", "qstat: invalid option -- 'E'\nusage: ...")
        past = recorded("failed-exit3.qstat-f-json-x").output.stdout
        return Output(tuple(argv), 0, past if "27.head" in argv else nothing, "")

    replay = Replay(answer)
    scheduler = PBSProScheduler(run=replay)
    found = scheduler.qstat(lambda seen: ["27.head", "999.head"])
    assert found.records["27"].status.exit_code == 3
    assert (found.unheard, found.queries) == (frozenset(), 5)
    asked = [[word for word in call if word.endswith(".head")] for call in replay.calls]
    assert asked == [[], ["27.head", "999.head"], [], ["27.head"], ["999.head"]]
    replay.calls.clear()
    many = [f"{number}.head" for number in range(100, 150)]
    found = scheduler.qstat(lambda seen: many)
    assert found.unheard == frozenset(many[20:])  # for the next time
    assert [sum(word.endswith(".head") for word in call) for call in replay.calls] == [0, *[1] * 20]
    assert not [call for call in replay.calls if "-x" in call and not call[-1].endswith(".head")]
