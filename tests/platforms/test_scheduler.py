"""The verbs that all managers share, through commands that stand in for a manager's own: real processes on PATH."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from psij_parsl.errors import Ambiguous, Rejected, SchedulerError, Unavailable, Unsupported
from psij_parsl.platforms.queries import ErrorPattern, Query, Queue, SchedulerRecord
from psij_parsl.platforms.scheduler import Scheduler
from psij_parsl.providers.slurm.scheduler import SlurmScheduler
from psij_parsl.states import JobState, JobStatus
from psij_parsl.system.commands import Output

STATES = {"Q": JobState.QUEUED, "R": JobState.ACTIVE, "C": JobState.COMPLETED}


def read(line: str) -> SchedulerRecord | None:
    if line.startswith("#"):
        return None
    job_id, state = line.split()
    return SchedulerRecord(job_id, JobStatus(STATES[state], state))


class Stand(Scheduler):
    """A manager of five commands; what they do is said by each test."""

    commands = ("sub", "stat")
    error_patterns = (
        ErrorPattern("busy", transient=True, hint="later"),
        ErrorPattern("maybe", accepted=True, hint="look for it"),
        ErrorPattern("too long", limit="wall_time_min", hint="ask for less"),
        ErrorPattern("no books", permanent=True),
    )
    chunk = 3

    def submit_argv(self, script: Path) -> Sequence[str]:
        return ["sub", str(script)]

    def job_id(self, stdout: str) -> str:
        return stdout.strip()

    def live(self) -> Query:
        return Query(["stat"], read)

    def history(self, ids: Sequence[str], since: float) -> Sequence[Query]:
        return (Query(["hist", *ids], read), Query(["hist2", *ids], read))

    def cancel_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["del", *ids]

    def unknown_ids(self, output: Output) -> set[str]:
        return {line.removeprefix("unknown ") for line in output.stderr.splitlines() if line.startswith("unknown ")}

    def failure(self, output: Output) -> str:
        return next((line for line in output.stdout.splitlines() if line.startswith("not held")), "")

    def hold_argv(self, ids: Sequence[str]) -> Sequence[str]:
        return ["hold", *ids]

    def queues_query(self) -> Query:
        return Query(["queues"], lambda line: Queue(line))


class Commands:
    """Commands made of bash text, each of which writes down how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def put(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(f'#!/bin/bash\ncd {self.folder}\nprintf "%s\\n" "$*" >>{name}.calls\n{text}\n')
        path.chmod(0o755)

    def calls(self, name: str) -> list[list[str]]:
        path = self.folder / f"{name}.calls"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    made = Commands(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{made.folder}:{os.environ['PATH']}")
    return made


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.sh"
    path.write_text("#!/bin/sh\n")
    return path


@pytest.fixture
def stand() -> Stand:
    return Stand()


# ---- submitting ----------------------------------------------------------------------------------------------------


def test_a_submit_gives_the_managers_id_as_it_is(stand: Stand, commands: Commands, script: Path) -> None:
    commands.put("sub", "echo '123[].server'")
    assert stand.qsub(script) == "123[].server"
    assert commands.calls("sub") == [[str(script)]]


def test_a_transient_error_is_tried_again_after_growing_pauses(
    stand: Stand, commands: Commands, script: Path
) -> None:
    commands.put(
        "sub", "date +%s.%N >>times; [ $(wc -l <times) -ge 3 ] && { echo 7; exit; }; echo 'error: busy' >&2; exit 1"
    )
    assert stand.qsub(script) == "7"
    times = [float(line) for line in (commands.folder / "times").read_text().splitlines()]
    first, second = times[1] - times[0], times[2] - times[1]
    assert first >= 0.35
    assert second > first


def test_a_refusal_that_ends_well_is_one_where_the_command_says_so_itself(commands: Commands, script: Path) -> None:
    class Frank(Stand):
        refusal = "job not submitted"

    commands.put("sub", "echo 'too long: job not submitted' >&2")
    with pytest.raises(Rejected) as caught:
        Frank().qsub(script)
    assert caught.value.limit == "wall_time_min"
    for text in ("", "too long", "job not submitted"):  # not by its own pattern, or for no known reason: looked for
        commands.put("sub", f"echo '{text}' >&2")
        with pytest.raises(Ambiguous):
            Frank().qsub(script)


def test_a_refusal_is_final_and_names_the_limit(stand: Stand, commands: Commands, script: Path) -> None:
    commands.put("sub", "echo note; echo 'sub: error:  too long ' >&2; exit 1")
    with pytest.raises(Rejected) as caught:
        stand.qsub(script)
    assert len(commands.calls("sub")) == 1
    assert (caught.value.limit, caught.value.hint) == ("wall_time_min", "ask for less")
    assert caught.value.message == "could not submit the job: sub: error:  too long"
    assert caught.value.output == "sub: error:  too long\nnote"


def test_words_that_nobody_foresaw_are_told_and_leave_it_open_whether_the_job_was_taken(
    stand: Stand, commands: Commands, script: Path
) -> None:
    commands.put("sub", "echo 'moon is wrong' >&2; exit 3")
    with pytest.raises(Ambiguous, match="moon is wrong") as caught:
        stand.qsub(script)
    assert caught.value.unknown
    commands.put("sub", "exit 3")
    with pytest.raises(Ambiguous, match="exit code 3, without a word") as caught:
        stand.qsub(script)
    assert caught.value.unknown


def test_an_id_beside_a_failure_leaves_it_open_whether_the_job_was_taken(
    stand: Stand, commands: Commands, script: Path
) -> None:
    commands.put("sub", "echo 17; echo 'hook: too long' >&2; exit 1")
    with pytest.raises(Ambiguous, match="printed 17") as caught:
        stand.qsub(script)
    assert not caught.value.unknown
    assert len(commands.calls("sub")) == 1


def test_a_time_out_leaves_it_open_whether_the_job_was_taken(stand: Stand, commands: Commands, script: Path) -> None:
    commands.put("sub", "sleep 60")
    with pytest.raises(Ambiguous, match="did not answer within 0 s|did not answer within 1 s"):
        stand.qsub(script, timeout_s=0.5)
    assert len(commands.calls("sub")) == 1


def test_a_submit_command_that_dies_leaves_it_open_too(stand: Stand, commands: Commands, script: Path) -> None:
    commands.put("sub", "kill -9 $$")
    with pytest.raises(Ambiguous, match="SIGKILL"):
        stand.qsub(script)
    assert len(commands.calls("sub")) == 1


@pytest.mark.parametrize("text", ["echo maybe >&2; exit 1", "true", "echo; echo warning >&2"])
def test_what_may_have_been_taken_is_never_sent_twice(
    stand: Stand, commands: Commands, script: Path, text: str
) -> None:
    commands.put("sub", text)
    with pytest.raises(Ambiguous):
        stand.qsub(script)
    assert len(commands.calls("sub")) == 1


def test_a_missing_command_is_one_sentence_and_not_tried_again(stand: Stand, script: Path) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        stand.qsub(script)
    assert time.monotonic() - began < 5  # of the 5.6 s and more of all its pauses
    assert caught.value.message == "the command 'sub' is not on PATH"


# ---- asking --------------------------------------------------------------------------------------------------------


def test_one_question_tells_all_jobs(stand: Stand, commands: Commands) -> None:
    commands.put("stat", "echo 1 Q; echo 2 R; echo '# a line that tells nothing'; echo 3 C")
    answer = stand.qstat(lambda seen: [])
    assert {name: record.status.state for name, record in answer.records.items()} == {
        "1": JobState.QUEUED,
        "2": JobState.ACTIVE,
        "3": JobState.COMPLETED,
    }
    assert not commands.calls("hist")


def test_an_empty_answer_is_one(stand: Stand, commands: Commands) -> None:
    commands.put("stat", "true")
    assert stand.qstat(lambda seen: []).records == {}


@pytest.mark.parametrize(
    "text",
    [
        "echo 'error: controller down' >&2",
        "echo 'error: controller down' >&2; exit 1",
        "exit 1",
        "echo 1 Q; exit 1",
        "kill -9 $$",
    ],
)
def test_no_answer_is_no_information(stand: Stand, commands: Commands, text: str) -> None:
    commands.put("stat", text)
    with pytest.raises(Unavailable) as caught:
        stand.qstat(lambda seen: [])
    assert ("controller down" in caught.value.output) == ("down" in text)


def test_an_answer_in_which_nothing_can_be_read_is_no_information(stand: Stand, commands: Commands) -> None:
    commands.put("stat", "echo 'Welcome to the machine!'; echo '** maintenance on Monday **'")
    with pytest.raises(Unavailable, match="nothing that can be read"):
        stand.qstat(lambda seen: [])


def test_an_answer_that_cannot_even_be_taken_apart_is_no_information(stand: Stand, commands: Commands) -> None:
    def split(text: str) -> list[str]:
        raise ValueError("this is no JSON")

    commands.put("stat", "echo '{torn'")
    with pytest.raises(Unavailable, match="this is no JSON"):
        stand.ask(Query(["stat"], read, split=split))


def test_a_bad_record_costs_that_record_and_one_warning(
    stand: Stand, commands: Commands, caplog: pytest.LogCaptureFixture
) -> None:
    commands.put("stat", "echo 1 Q; echo 2 WEIRD; echo 3 R")
    for _ in range(2):
        assert set(stand.qstat(lambda seen: []).records) == {"1", "3"}
    assert [record.message for record in caplog.records if "WEIRD" in record.message] != []
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


def test_a_job_whose_record_cannot_be_read_is_not_absent(stand: Stand, commands: Commands) -> None:
    """Else a format that has changed would make every job LOST."""
    commands.put("stat", "echo 1 Q; echo 2 WEIRD; echo 12 R")
    commands.put("hist", "true")
    answer = stand.qstat(lambda seen: ["2", "9"])
    assert answer.unheard == {"2"}
    assert commands.calls("hist") == [["2", "9"]]


def test_what_history_tells_of_its_id_does_not_make_it_heard(stand: Stand, commands: Commands) -> None:
    """It may be of a job that had the id before; whose record that is, is not known here."""
    commands.put("stat", "echo 1 Q; echo 2 WEIRD")
    commands.put("hist", "echo 2 C; echo 9 C")
    answer = stand.qstat(lambda seen: ["2", "9"])
    assert (set(answer.past), answer.unheard) == ({"2", "9"}, {"2"})


def test_exit_codes_with_which_an_answer_counts_are_the_platforms(stand: Stand, commands: Commands) -> None:
    commands.put("stat", "echo 1 Q; exit 35")
    assert [record.id for record in stand.ask(Query(["stat"], read, answers=(0, 35)))] == ["1"]


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("echo no such job: 7 >&2; echo no such job: 8 >&2; exit 1", True),
        ("echo no such job: 7; exit 255", True),  # on stdout, as some managers do
        ("echo no such job: 7 >&2; echo connection lost >&2; exit 1", False),
        ("exit 1", False),
    ],
)
def test_a_command_that_knows_none_of_the_ids_has_answered(
    stand: Stand, commands: Commands, text: str, answers: bool
) -> None:
    commands.put("stat", text)
    query = Query(["stat", "7", "8"], read, unknown=r"^no such job: \S+$")
    if answers:
        assert list(stand.ask(query)) == []
        return
    with pytest.raises(Unavailable):
        stand.ask(query)


# ---- history -------------------------------------------------------------------------------------------------------


def test_vanished_ids_are_looked_up_in_chunks(stand: Stand, commands: Commands) -> None:
    commands.put("stat", "echo 1 Q")
    commands.put("hist", 'for id in "$@"; do echo $id C; done; echo 99 C')
    answer = stand.qstat(lambda live: [str(n) for n in (1, *range(10, 17)) if str(n) not in live])
    assert commands.calls("hist") == [["10", "11", "12"], ["13", "14", "15"], ["16"]]
    assert set(answer.records) == {
        "1",
        *(str(number) for number in range(10, 17)),
    }  # and not 99, which nobody asked for
    assert answer.unheard == frozenset()


def test_what_has_vanished_is_told_from_what_was_seen(stand: Stand, commands: Commands) -> None:
    commands.put("stat", "echo 1 Q; echo 2 Q")
    seen: list[set[str]] = []
    stand.qstat(lambda ids: bool(seen.append(set(ids))) or [])
    assert seen == [{"1", "2"}]


def test_history_that_does_not_answer_leaves_its_ids_unheard(stand: Stand, commands: Commands) -> None:
    commands.put("stat", "echo 1 Q")
    commands.put("hist", 'case "$*" in *10*) echo error: database down >&2; exit 1;; esac; echo 14 C')
    commands.put("hist2", "exit 1")
    answer = stand.qstat(lambda seen: ["10", "11", "12", "13", "14"])
    assert answer.unheard == {"10", "11", "12"}
    assert set(answer.records) == {"1", "14"}


def test_the_second_source_answers_where_the_first_does_not(stand: Stand, commands: Commands) -> None:
    commands.put("stat", "true")
    commands.put("hist", "echo error: no books are kept >&2; exit 1")
    commands.put("hist2", "echo 10 C")
    answer = stand.qstat(lambda seen: ["10", "11"])
    assert set(answer.records) == {"10"}
    assert answer.unheard == frozenset()


def test_a_machine_without_any_history_has_said_so(
    stand: Stand, commands: Commands, caplog: pytest.LogCaptureFixture
) -> None:
    commands.put("stat", "true")
    for name in ("hist", "hist2"):
        commands.put(name, "echo error: no books are kept >&2; exit 1")
    answer = stand.qstat(lambda seen: ["10"])
    assert (answer.records, answer.unheard) == ({}, frozenset())
    assert not caplog.records


# ---- cancelling, and the rest --------------------------------------------------------------------------------------


def test_many_ids_are_cancelled_in_few_calls_and_unknown_ones_are_told(stand: Stand, commands: Commands) -> None:
    commands.put("del", 'for id in "$@"; do [ $id != 5 ] || { echo unknown 5 >&2; rc=1; }; done; exit ${rc:-0}')
    assert stand.qdel(["5", "1", "2", "3"]) == {"5"}
    assert commands.calls("del") == [["1", "2", "3"], ["5"]]


def test_one_unknown_id_does_not_hide_that_the_others_were_not_cancelled(stand: Stand, commands: Commands) -> None:
    commands.put("del", "echo 'unknown 5' >&2; echo 'error: busy' >&2; exit 1")
    with pytest.raises(Unavailable):
        stand.qdel(["1", "5"])


def test_a_cancel_that_fails_is_an_error_with_the_managers_words(stand: Stand, commands: Commands) -> None:
    commands.put("del", "echo 'permission denied' >&2; exit 1")
    with pytest.raises(Rejected, match="could not cancel: permission denied"):
        stand.qdel(["1"])
    commands.put("del", "echo 'error: busy' >&2; exit 1")
    with pytest.raises(Unavailable, match="busy"):
        stand.qdel(["1"])


def test_a_command_that_fails_with_exit_code_0_is_an_error(stand: Stand, commands: Commands) -> None:
    commands.put("hold", "echo held 1; echo 'not held: 2 runs'")
    with pytest.raises(Rejected, match="could not hold jobs: not held: 2 runs"):
        stand.hold(["1", "2"])
    commands.put("hold", "echo held 1")
    stand.hold(["1"])
    assert commands.calls("hold") == [["1", "2"], ["1"]]


def test_nothing_to_cancel_runs_nothing(stand: Stand) -> None:
    assert stand.qdel([]) == set()


def test_what_a_manager_cannot_do_is_said(stand: Stand, commands: Commands) -> None:
    commands.put("hold", "true")
    stand.hold(["2", "1"])
    assert commands.calls("hold") == [["1", "2"]]
    for call in (lambda: stand.release(["1"]), lambda: stand.signal("1", "USR1"), lambda: stand.extend("1", 5)):
        with pytest.raises(Unsupported) as caught:
            call()
        assert caught.value.hint


def test_queues_are_told_or_the_silence_is(stand: Stand, commands: Commands) -> None:
    commands.put("queues", "echo debug; echo long")
    assert [queue.name for queue in stand.queues()] == ["debug", "long"]
    commands.put("queues", "echo error: down >&2")
    with pytest.raises(Unavailable):
        stand.queues()


def test_the_cluster_is_told_from_the_clients_own_variables() -> None:
    class Kept(Stand):
        keep_env = ("MY_CONF",)

    assert Kept().cluster({"MY_CONF": "/a", "OTHER": "b"}) == "MY_CONF=/a"
    assert Kept().cluster({"MY_CONF": ""}) == ""


def test_elements_of_an_array_and_their_whole(stand: Stand) -> None:
    assert stand.element("12", 3) == "12_3"
    assert stand.whole("12_3") == "12"
    assert stand.whole("12") == "12"


# ---- Slurm's words, through stand-ins for its commands -------------------------------------------------------------


def slurm(commands: Commands, call: Callable[[SlurmScheduler], object]) -> SchedulerError:
    with pytest.raises(SchedulerError) as caught:
        call(SlurmScheduler())
    return caught.value


def test_slurm_answers_in_a_language_that_we_read(
    commands: Commands, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("SLURM_CONF", "/etc/our/slurm.conf")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SBATCH_PARTITION", "theirs")
    commands.put(
        "sbatch", '[ -t 0 ] || echo "$LC_ALL $SLURM_CONF ${SLURM_JOB_ID-none} ${SBATCH_PARTITION-none}" >said; echo 5'
    )
    assert SlurmScheduler().qsub(script) == "5"
    assert (commands.folder / "said").read_text() == "C.UTF-8 /etc/our/slurm.conf none none\n"


def test_slurms_busy_controller_is_asked_again(commands: Commands, script: Path) -> None:
    said = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
    commands.put("sbatch", f"[ -e again ] && {{ echo 9; exit; }}; touch again; echo '{said}' >&2; exit 1")
    assert SlurmScheduler().qsub(script) == "9"
    assert len(commands.calls("sbatch")) == 2


def test_slurms_own_hints_name_the_limit(commands: Commands, script: Path) -> None:
    said = (
        "sbatch: error: QOSMaxSubmitJobPerUserLimit\n"
        "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy"
    )
    commands.put("sbatch", f"echo '{said}' >&2; exit 1")
    error = slurm(commands, lambda scheduler: scheduler.qsub(script))
    assert isinstance(error, Rejected)
    assert error.limit == "account limits"
    assert error.output == said


def test_a_cluster_that_slurm_does_not_know_is_a_refusal_that_needs_no_search(
    commands: Commands, script: Path
) -> None:
    said = (
        "sbatch: error: 'nope' can't be reached now, or it is an invalid entry for --cluster."
        "  Use 'sacctmgr list clusters' to see available clusters."
    )
    commands.put("sbatch", f'echo "{said}" >&2; exit 1')
    with pytest.raises(Rejected, match="'nope' can't be reached") as caught:
        SlurmScheduler(cluster="nope").qsub(script)
    assert (caught.value.limit, caught.value.answered) == ("cluster", False)


@pytest.mark.parametrize(
    "wrong",
    [
        5,
        SchedulerRecord(7, JobStatus(JobState.ACTIVE, "R")),
        SchedulerRecord("7", "R"),
        SchedulerRecord("7", JobStatus("R", "R")),  # type: ignore[arg-type]  # as a plug-in may have it
        SchedulerRecord("7", JobStatus(JobState.ACTIVE, "R"), submitted="now"),
    ],  # type: ignore[arg-type]
)
def test_a_reader_that_gives_no_record_costs_that_record_alone(commands: Commands, wrong: object) -> None:
    class Odd(SlurmScheduler):
        def live(self) -> Query:
            return Query(
                ["odd"],
                lambda line: wrong if line == "bad" else SchedulerRecord(line, JobStatus(JobState.ACTIVE, "R")),
            )

    commands.put("odd", "echo bad; echo 8")
    assert set(Odd().qstat(lambda seen: []).records) == {"8"}
    commands.put("odd", "echo bad")
    with pytest.raises(Unavailable, match="nothing that can be read"):
        Odd().qstat(lambda seen: [])


def test_slurm_ids_go_into_few_commands(commands: Commands) -> None:
    commands.put("squeue", "true")
    commands.put("sacct", "true")
    SlurmScheduler().qstat(lambda seen: [str(number) for number in range(450)])
    asked = [words[words.index("-j") + 1].split(",") for words in commands.calls("sacct")]
    assert [len(ids) for ids in asked] == [200, 200, 50]
