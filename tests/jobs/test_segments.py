"""Records of ended jobs in segments: moved, found, forgotten, torn between by kills, full disks and other processes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.records import NOW, cost, fill, job_id, verbs
from psij_parsl import BatchSchedulerExecutor, Job, JobState
from psij_parsl.errors import InvalidRequest, UnknownJob
from psij_parsl.jobs import log as log_module
from psij_parsl.jobs.journal import Journal
from psij_parsl.jobs.record import JobRecord
from psij_parsl.jobs.record_filter import RecordFilter
from psij_parsl.jobs.segments import Segment, found_in
from tests.cli.helpers import psij
from tests.jobs.test_journal import DONE, add, in_small_disk, output, python

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FEW = 4096  # bytes of the log that are worth a look here, in place of 256 KB


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs are rewritten from a few KB on."""
    monkeypatch.setattr(log_module, "GROWN", FEW)
    monkeypatch.setattr(log_module, "OLD", FEW)


def closed(journal: Journal, count: int, **fields: object) -> list[JobRecord]:
    """So many jobs that have ended, by their records as they are then."""
    made = [add(journal, native=str(1000 + number), command=f"run {number}", **fields) for number in range(count)]  # type: ignore[arg-type]  # names of fields
    for entry in made:
        journal.end({(entry.id, key): DONE for key in entry.keys})
    return list(journal.some(entry.id for entry in made).values())


def segments(home: Path) -> list[Segment]:
    return found_in(home / "closed")


def test_ended_records_leave_the_log_and_every_question_finds_them(home: Path, small: None) -> None:
    journal = Journal(home)
    ended = closed(journal, 60)
    going = add(journal, native="7")
    assert segments(home)
    assert journal.path.stat().st_size < 3 * FEW
    for reader in (journal, Journal(home)):
        everything = reader.entries()
        assert len(everything) == 61
        assert (
            {entry.id: entry for entry in everything.values()}
            == {entry.id: entry for entry in (*ended, going)}
            == dict(everything)
        )
        times = [entry.intended for entry in everything.values()]
        assert times == sorted(times)
        assert reader.some([ended[3].id, "nosuch", going.id]) == {ended[3].id: ended[3], going.id: going}
        assert reader.some([entry.id for entry in ended]) == {entry.id: entry for entry in ended}
        assert list(reader.open_entries()) == [going.id]
        assert reader.get(ended[0].id) == ended[0]
        assert reader.find([ended[0].id]) == [(ended[0], "")]
        assert reader.find(["1000"]) == [(ended[0], "")]
        assert reader.find(["1059"]) == [(ended[59], "")]
        assert reader.find(["last"]) == [(going, "")]
        assert list(reader.recent(5)) == [entry.id for entry in (*ended[-4:], going)]
        late, early = RecordFilter(after=ended[40].intended), RecordFilter(before=ended[9].intended)
        assert list(reader.wanted(late)) == [*ended[40:], going]
        assert list(reader.wanted(early)) == list(reader.recent(20, early).values()) == ended[:10]
        assert list(reader.recent(3, early).values()) == ended[7:10]
        assert {entry.id for entry in reader.aged(ended[9].intended)} == {entry.id for entry in ended[:10]}
        assert going.id not in {entry.id for entry in reader.aged(ended[9].intended)}
        assert ended[0].id in everything
        assert "nosuch" not in everything


def test_attempts_are_found_from_each_of_them(home: Path, small: None) -> None:
    journal = Journal(home)
    [first] = closed(journal, 1)
    closed(journal, 40)
    [second] = closed(journal, 1, resubmitted_from=first.id)
    closed(journal, 40)
    [third] = closed(journal, 1, resubmitted_from=second.id)
    beside, going = closed(journal, 1, resubmitted_from=first.id)[0], add(journal, resubmitted_from=third.id)
    assert {first.id, second.id} < {name for segment in segments(home) for name in segment.ids()}
    for reader in (journal, Journal(home)):
        assert reader.resubmissions(first) == [second, beside]
        assert reader.resubmissions(going) == []
        for entry in (first, second, third, beside, going):
            assert reader.attempts(entry) == [first, second, third, beside, going]
    journal.forget([first.id])
    assert Journal(home).attempts(third) == [second, third, going]


def test_records_that_name_each_other_are_no_endless_chain(home: Path) -> None:
    journal = Journal(home)
    one = add(journal, resubmitted_from="9" * 10)
    two = journal.intend(replace(one, id="9" * 10, resubmitted_from=one.id))
    assert journal.attempts(two) == [one, two]
    assert [entry.id for entry in journal.attempts(journal.get(one.id))] == [one.id, two.id]


def test_a_beginning_of_an_ended_jobs_id_is_enough_when_it_is_the_only_one(home: Path, small: None) -> None:
    journal = Journal(home)
    ended = closed(journal, 60)
    ids = [entry.id for entry in ended]
    assert segments(home)
    for entry in (ended[0], ended[30]):
        size = next(size for size in range(4, 11) if sum(name.startswith(entry.id[:size]) for name in ids) == 1)
        assert Journal(home).find([entry.id[:size]]) == [(entry, "")]
        with pytest.raises(InvalidRequest, match="could mean"):
            Journal(home).find([entry.id[: size - 1] if size > 4 else ended[0].id[:5]])
    with pytest.raises(UnknownJob):
        Journal(home).find(["zzzzz"])


def test_an_array_that_has_ended_is_found_whole_and_by_element(home: Path, small: None) -> None:
    journal = Journal(home)
    [array] = closed(journal, 1, array=(0, 3, 8))
    closed(journal, 60)
    assert array.id in {name for segment in segments(home) for name in segment.ids()}
    assert Journal(home).find([f"{array.id}_3"]) == [(array, "3")]
    with pytest.raises(UnknownJob, match="has no element 5"):
        Journal(home).find([f"{array.id}_5"])


def test_a_managers_id_means_the_open_job_else_the_latest_that_has_ended(home: Path, small: None) -> None:
    journal = Journal(home)
    first = closed(journal, 50)[0]
    second = closed(journal, 50)[0]
    assert {first.native, second.native} == {"1000"}
    assert second.id in {name for segment in segments(home) for name in segment.ids()}
    assert Journal(home).find(["1000"]) == [(second, "")]
    going = add(journal, native="1000")
    assert Journal(home).find(["1000"]) == [(going, "")]
    assert Journal(home).find(["1000"], of=("slurm", "")) == [(going, "")]
    with pytest.raises(UnknownJob):
        Journal(home).find(["1000"], of=("local", ""))


def test_the_last_is_the_latest_submission_though_it_has_ended_and_though_it_is_forgotten(
    home: Path, small: None
) -> None:
    journal = Journal(home)
    old = add(journal, native="1")
    ended = closed(journal, 60)
    assert Journal(home).find(["last"]) == [(ended[-1], "")]
    journal.forget([ended[-1].id])
    assert Journal(home).find(["last"]) == [(ended[-2], "")]
    journal.forget(entry.id for entry in ended[20:])
    assert Journal(home).find(["last"]) == [(ended[19], "")]
    journal.forget(entry.id for entry in ended)
    assert Journal(home).find(["last"]) == [(old, "")]


def test_forgotten_records_stay_forgotten_and_segments_of_which_many_went_are_written_anew(
    home: Path, small: None
) -> None:
    journal = Journal(home)
    ended = closed(journal, 200)
    before = {segment.path for segment in segments(home)}
    victims = {entry.id for entry in random.sample(ended, 30)}
    journal.forget(victims)
    more = closed(journal, 60)
    rest = {entry.id for entry in (*ended, *more)} - victims
    for reader in (journal, Journal(home)):
        assert set(reader.entries()) == rest
        assert len(reader.entries()) == len(rest)
        assert not reader.some(victims)
        assert reader.places()[0] == rest
    journal.forget(rest)
    closed(journal, 30)
    log = journal.path.read_text()
    named = json.loads(log.splitlines()[0])["segments"]
    assert not {path.name for path in before} & set(named)
    assert log.count('"gone"') < 300
    assert len(Journal(home).entries()) == 30


def test_what_no_longer_counts_is_removed_once_nobody_can_be_reading_it(home: Path, small: None) -> None:
    journal = Journal(home)
    ended = closed(journal, 60)
    reading = journal.entries()
    journal.forget(entry.id for entry in ended)
    closed(journal, 60)
    assert {entry.id for entry in reading.values()} == {entry.id for entry in ended}  # it goes on as it was
    for path in (home / "closed").iterdir():
        os.utime(path, (1, 1))
    closed(journal, 60)
    named = json.loads(journal.path.read_text().splitlines()[0])["segments"]
    assert {segment.path.name for segment in segments(home)} == set(named)
    assert len(Journal(home).entries()) == 120


def test_a_second_copy_of_a_job_that_ended_long_ago_is_added_to_its_record(home: Path, small: None) -> None:
    journal = Journal(home)
    ended = closed(journal, 60)
    first = ended[3]
    assert first.id in {name for segment in segments(home) for name in segment.ids()}
    journal.twins(first, ["77"])
    expected = replace(first, twins=("77",))
    for _ in range(3):
        for reader in (journal, Journal(home)):
            assert reader.get(first.id) == expected
            assert len(reader.entries()) == len(list(reader.entries().values()))
            assert reader.find([first.id]) == [(expected, "")]
            assert reader.find(["last"])[0][0].id != first.id
        closed(journal, 60)
    ids = [name for segment in Journal(home).entries()._shelf.segments for name in segment.ids()]
    assert ids.count(first.id) == 1


def test_segments_are_never_changed(home: Path, small: None) -> None:
    journal = Journal(home)
    closed(journal, 60)
    before = {segment.path: segment.path.read_bytes() for segment in segments(home)}
    closed(journal, 120)
    for path, text in before.items():
        assert path.read_bytes() == text
    assert len(segments(home)) > len(before)


def test_a_log_without_its_first_line_still_knows_the_ended(home: Path, small: None) -> None:
    journal = Journal(home)
    ended = closed(journal, 60)
    text = journal.path.read_bytes()
    first, _, rest = text.partition(b"\n")
    for damaged in (b"\0" * len(first), b'{"e":"log","segments":5}', b"[" * 20_000):
        journal.path.write_bytes(damaged + b"\n" + rest)
        reader = Journal(home)
        assert {entry.id for entry in reader.entries().values()} == {entry.id for entry in ended}
        assert len(reader.entries()) == 60
    closed(journal, 40)  # and the next rewriting puts it right
    assert b'"segments":[' in journal.path.read_bytes().partition(b"\n")[0]
    assert len(Journal(home).entries()) == 100


def test_a_damaged_line_of_a_segment_costs_that_record_and_is_counted(home: Path, small: None) -> None:
    journal = Journal(home)
    ended = closed(journal, 60)
    path = segments(home)[0].path
    text = path.read_bytes().splitlines(keepends=True)
    name = json.loads(text[1])["id"]
    text[1] = b'{"e":"job","id":"' + name.encode() + b'","place":null}\n'
    path.write_bytes(b"".join(text))
    reader = Journal(home)
    assert {entry.id for entry in reader.entries().values()} == {entry.id for entry in ended} - {name}
    assert reader.some([name]) == {}
    assert reader.damage() == 1
    path.unlink()
    assert Journal(home).damage() == len(text)
    assert len(list(Journal(home).entries().values())) == 60 - len(text)


# ---- other processes -------------------------------------------------------------------------------------------------

MOVER = """
import psij_parsl.jobs.log as module
module.GROWN = module.OLD = 4096
journal = Journal(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    entry = add(journal, native=f"{os.getpid()}.{number}")
    journal.end({(entry.id, ""): DONE})
    print(entry.id, entry.native, flush=True)
"""


def test_several_processes_that_all_move_records_lose_and_double_nothing(home: Path) -> None:
    movers = [python(MOVER, home, 80) for _ in range(4)]
    reader = Journal(home)
    while any(mover.poll() is None for mover in movers):
        ids = [entry.id for entry in reader.entries().values()]
        assert len(ids) == len(set(ids))
    expected = dict(line.split() for mover in movers for line in output(mover).splitlines())
    assert len(expected) == 320
    for journal in (reader, Journal(home)):
        found = [(entry.id, entry.native) for entry in journal.entries().values()]
        assert len(found) == 320
        assert dict(found) == expected
        assert all(entry.ended == {"": DONE} for entry in journal.entries().values())
    assert segments(home)


def test_a_mover_that_is_killed_loses_and_doubles_nothing(home: Path) -> None:
    told: dict[str, str] = {}
    for _ in range(12):
        mover = python(MOVER, home, 1000)
        assert mover.stdout
        first = mover.stdout.readline()
        time.sleep(random.uniform(0, 0.2))
        mover.send_signal(signal.SIGKILL)
        rest, _ = mover.communicate(timeout=300)
        told |= dict(line.split() for line in (first + rest).splitlines() if len(line.split()) == 2)
    found = [(entry.id, entry.native) for entry in Journal(home).entries().values()]
    assert len(found) == len(dict(found))
    assert {name: native for name, native in found if name in told} == told
    assert segments(home)


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "flock"])
def test_a_mover_that_is_killed_at_any_such_syscall_loses_and_doubles_nothing(home: Path, call: str) -> None:
    if shutil.which("strace") is None:
        pytest.skip("there is no strace on this host")
    fill(home, 40)
    journal = Journal(home)
    ended, text = dict(journal.entries()), journal.path.read_bytes()
    assert len(ended) == 40
    head = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nimport psij_parsl.jobs.log as module\nfrom psij_parsl.jobs.journal import Journal, Path\n"
    code = head + "module.GROWN = module.OLD = 4096\nJournal(Path(sys.argv[1])).entries()"
    killed = 0
    for number in range(1, 60):
        inject = f"inject={call}:signal=SIGKILL:when={number}"
        words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
        mover = subprocess.run([*words, sys.executable, "-c", code, str(home)], check=False, timeout=120)
        assert list(Journal(home).entries().items()) == list(ended.items())
        if mover.returncode == 0:
            break
        killed += 1
        journal.path.write_bytes(text)
    assert killed
    assert segments(home)
    assert json.loads(journal.path.read_text().splitlines()[0])["segments"]


# ---- disks -----------------------------------------------------------------------------------------------------------


def test_a_move_for_which_there_is_no_room_leaves_all_as_it_was(tmp_path: Path) -> None:
    code = """
import psij_parsl.jobs.log as module
from tests.jobs.test_segments import closed
journal = Journal(disk / "state")
ended = closed(journal, 300)
assert not (disk / "state" / "closed").exists()
fill(disk, leave=30 * 1024)
module.GROWN = module.OLD = 4096
fresh = Journal(disk / "state")
assert len(fresh.entries()) == 300 and fresh.path.stat().st_size > 100 * 1024
assert not list((disk / "state" / "closed").glob("*")) and not (disk / "state" / "journal.new").exists()
(disk / "fill").unlink()
late = Journal(disk / "state")
assert len(late.entries()) == 300
assert late.path.stat().st_size < 4096 and list((disk / "state" / "closed").glob("*"))
assert len(Journal(disk / "state").entries()) == 300
print("fine")
"""
    assert in_small_disk(code, tmp_path / "disk", "8m") == "fine\n"


# ---- many ------------------------------------------------------------------------------------------------------------


def test_an_old_journal_of_five_thousand_is_moved_over_by_the_first_command_and_costs_little(home: Path) -> None:
    count = 5000
    fill(home, count)
    first = cost(home, ["status"])
    assert segments(home)
    assert (home / "journal.jsonl").stat().st_size < 64 * 1024
    found = list(Journal(home).entries().values())
    assert [entry.id for entry in found] == [job_id(number, count, NOW)[0] for number in range(count)]
    assert not any(entry.open for entry in found)
    costs = {label: cost(home, words) for label, words in verbs(home, count).items()}
    for label, found in {"first": first, **costs}.items():
        assert found.memory < 200, label


def test_list_shows_the_same_with_and_without_segments(home: Path) -> None:
    fill(home, 6000)
    shutil.copytree(home, home.parent / "log")
    (home.parent / "log" / "journal.tidy.lock").mkdir()  # so that nothing is moved there
    shown = {}
    for place in (home, home.parent / "log"):
        asked = (["--all"], ["--all", "-n", "7"], ["--since", "20d"], [])
        shown[place] = [
            json.loads(psij("list", *words, "--json", PSIJ_PARSL_HOME=str(place)).stdout) for words in asked
        ]
        shown[place].append(psij("list", "--all", PSIJ_PARSL_HOME=str(place)).stdout.splitlines())
    assert segments(home)
    assert not segments(home.parent / "log")
    everything, newest, recent, going, table = shown[home]
    again = shown[home.parent / "log"]
    assert [everything, newest, going, table] == [again[0], again[1], *again[3:]]
    assert [len(rows) for rows in (everything, newest, going, table)] == [6000, 7, 0, 6001]
    assert newest == everything[-7:]
    for rows in (recent, again[2]):  # one may have become too old since they were made
        assert len(rows) in (398, 399)
        assert rows == everything[-len(rows) :]


def test_a_job_comes_after_one_that_ended_long_ago(home: Path, small: None) -> None:
    executor = BatchSchedulerExecutor("local", poll_s=0.2)
    first = executor.submit(Job(command=["true"]))
    assert first.wait(300).state is JobState.COMPLETED
    closed(executor.journal, 60)
    assert first.id in {name for segment in segments(home) for name in segment.ids()}
    second = executor.submit(Job(command=["true"], after=[f"afterok:{first.id}"]))
    assert second.wait(300).state is JobState.COMPLETED
    assert executor.status([first.id])[0].state is JobState.COMPLETED
    with pytest.raises(InvalidRequest, match="could never start"):
        executor.submit(Job(command=["true"], after=[f"afternotok:{first.id}"]))
