"""The journal: many writers at once, killed ones, full disks, damaged lines; and what selectors mean."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psij_parsl import EndReason, Job, JobState, JobStatus
from psij_parsl.errors import InvalidRequest, JournalError, UnknownJob
from psij_parsl.jobs import job_places
from psij_parsl.jobs.job_folder import ABANDONED, ExitFile, abandon, claimed_by
from psij_parsl.jobs.journal import Journal
from psij_parsl.jobs.record import JobRecord
from psij_parsl.system.locks import hold_lock, lock, try_lock

DONE = JobStatus(JobState.COMPLETED, "CD", 0)
FAILED = JobStatus(JobState.FAILED, "F", 3)


def add(journal: Journal, *, native: str = "", array: tuple[int, ...] = (), **fields: str) -> JobRecord:
    """A record as a submission makes it."""
    job_id, folder = journal.new_folder()
    entry = JobRecord(job_id, fields.pop("platform", "slurm"), str(folder), array=array, **fields)
    entry = journal.intend(entry, Job(command=["true"], array=array))
    return journal.commit(entry, native) if native else entry


def python(code: str, *words: object, **options: object) -> subprocess.Popen[str]:
    """A process of its own that runs code of ours."""
    head = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\nfrom tests.jobs.test_journal import *\n"
    )
    argv = [sys.executable, "-c", head + code, *map(str, words)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload,no-any-return]  # options of Popen


def output(process: subprocess.Popen[str], timeout: float = 60) -> str:
    out, errors = process.communicate(timeout=timeout)
    assert process.returncode == 0, errors
    return out


def in_small_disk(code: str, folder: Path, size: str) -> str:
    """Run code in a process whose `disk` is a file system of that size, which nobody else sees."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this host cannot give a process its own mounts (unshare -m)")
    folder.mkdir()
    script = (
        f"mount -t tmpfs -o size={size} tmpfs {folder} && exec {sys.executable} -c '"
        f'import sys; sys.path.insert(0, "{Path(__file__).parents[2]}")\nfrom tests.jobs.test_journal import *\n'
        f'disk = Path("{folder}")\n{code}' + "'"
    )
    done = subprocess.run(["unshare", "-m", "bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fill(disk: Path, *, leave: int = 0) -> Path:
    """Use up a file system, but for so many bytes."""
    path = disk / "fill"
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
        file.truncate(max(0, file.tell() - leave))
    return path


# ---- one process ---------------------------------------------------------------------------------------------------


def test_what_was_written_is_read_by_everybody(home: Path) -> None:
    mine, other = Journal(home), Journal(home)
    first = add(mine, native="12", name="a\nb", command="echo 'é'", site="here")
    assert other.entries() == {first.id: first}
    other.cancel_asked([(first.id, "")])
    other.end({(first.id, ""): DONE})
    assert mine.get(first.id).ended == {"": DONE}
    assert mine.get(first.id).cancel_asked("")
    other.cancel_failed([(first.id, "")])
    assert not mine.get(first.id).cancel_asked("")
    mine.forget([first.id])
    assert other.entries() == {}


def test_a_first_end_stays(home: Path) -> None:
    journal = Journal(home)
    entry = add(journal, native="1")
    journal.end({(entry.id, ""): DONE})
    Journal(home).end({(entry.id, ""): FAILED})
    late = Journal(home)
    late.end({(entry.id, ""): FAILED, ("gone", ""): DONE})
    assert late.get(entry.id).ended == {"": DONE}


def test_the_specification_comes_back_from_the_jobs_folder(home: Path) -> None:
    journal = Journal(home)
    job = Job(command=["echo", "é\n"], environment={"A": "it's"}, stdout=Path("o ut"), parameters={"qos": "x"})
    job_id, folder = journal.new_folder()
    entry = journal.intend(JobRecord(job_id, "slurm", str(folder)), job)
    assert Journal(home).job(entry) == job
    (folder / "job.json").write_text("{torn")
    assert journal.job(entry) is None


def test_ids_are_new_sorted_by_time_and_never_mistaken_for_a_managers(home: Path) -> None:
    journal = Journal(home)
    ids = [journal.prepare()[0] for _ in range(500)]
    assert len(set(ids)) > 490  # two of one second may meet: then the folder tells
    folder = journal.prepare()[1]
    assert journal.make_folder(folder)
    assert not journal.make_folder(folder)
    assert not any(job_id.isdigit() for job_id in ids)
    assert sorted(job_id[:6] for job_id in ids) == [job_id[:6] for job_id in ids]


def test_two_ids_of_one_second_that_meet_are_two_folders(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = iter(["aaaaaabbbb", "aaaaaabbbb", "aaaaaabbbb", "aaaaaacccc"])
    monkeypatch.setattr(job_places, "new_id", lambda: next(few))
    made = [Journal(home).new_folder(), Journal(home).new_folder()]
    assert made == [("aaaaaabbbb", home / "jobs" / "aaaaaabbbb"), ("aaaaaacccc", home / "jobs" / "aaaaaacccc")]
    assert all(folder.is_dir() for _, folder in made)


def consistent(entry: JobRecord) -> JobRecord:
    """With ends of elements that it has."""
    return replace(entry, ended={key: status for key, status in entry.ended.items() if key in entry.keys})


STATUS = st.builds(
    JobStatus,
    st.sampled_from([state for state in JobState if state.final]),
    st.text(max_size=8),
    st.none() | st.integers(0, 255),
    st.none() | st.integers(1, 64),
    st.none() | st.sampled_from(EndReason),
    st.text(max_size=8),
    st.text(max_size=8),
    st.integers(0, 5),
    st.none() | st.floats(0, 1e10),
    st.none() | st.floats(0, 1e10),
    st.booleans(),
)
ENTRY = st.builds(
    JobRecord,
    st.from_regex(r"[a-z]{10}", fullmatch=True),
    st.text(max_size=8),
    st.text("ab/é .", min_size=1, max_size=8),
    site=st.text(max_size=8),
    name=st.text(max_size=20),
    command=st.text(max_size=20),
    native=st.text(max_size=8),
    array=st.lists(st.integers(0, 9), unique=True).map(tuple),
    owner=st.text(max_size=8),
    intended=st.floats(0, 1e10),
    committed=st.floats(0, 1e10),
    cancelled=st.dictionaries(st.sampled_from(["*", "", "3"]), st.floats(0, 1e10)),
    ended=st.dictionaries(st.sampled_from(["", "0", "3"]), STATUS),
    twins=st.lists(st.text(max_size=5)).map(tuple),
).map(consistent)


@given(entry=ENTRY)
def test_an_entry_goes_through_its_line_unchanged(tmp_path_factory: pytest.TempPathFactory, entry: JobRecord) -> None:
    journal = Journal(tmp_path_factory.mktemp("round"))
    Path(journal.home, "jobs").mkdir(parents=True)
    written = journal.intend(entry)
    assert Journal(journal.home).get(entry.id) == written


# ---- damage --------------------------------------------------------------------------------------------------------


def test_a_line_that_was_torn_harms_only_itself(home: Path) -> None:
    journal = Journal(home)
    first, second = add(journal, native="1"), add(journal, native="2")
    whole = journal.path.read_bytes()
    for cut in range(1, 60):
        journal.path.write_bytes(whole[:-cut])
        late = Journal(home)
        assert late.get(first.id).native == "1"
        third = add(late, native="3")
        assert {entry.native for entry in Journal(home).entries().values()} >= {"1", "3"}
        assert Journal(home).get(third.id) == late.get(third.id)
    assert second.id in Journal(home).entries()


@pytest.mark.parametrize(
    "line",
    [
        b"\0\0\0\0",
        b"123",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"e":"job"}',
        b'{"e":"job","id":"x"}',
        b'{"e":"job","id":["x"],"platform":"a","place":"b"}',
        b'{"e":"native","id":"ID"}',
        b'{"e":"end","id":"ID"}',
        b'{"e":"end","id":"ID","k":"","s":{"state":"FROZEN"}}',
        b'{"e":"end","id":"ID","k":"","s":3}',
        b'{"e":"end","id":"ID","k":"","s":{"state":"FAILED","reason":"MOON"}}',
        b'{"e":"twin","id":"ID","natives":4}',
        b'{"e":"later","id":"ID","x":1}',
        b'{"e":"cancel","id":"ID"}',
        b'{"e":["job"],"id":"ID"}',
        b"\xff\xfe",
        b"",
    ],
)
def test_a_damaged_line_harms_only_itself(home: Path, line: bytes) -> None:
    journal = Journal(home)
    first = add(journal, native="1")
    with open(journal.path, "ab") as log:
        log.write(line.replace(b"ID", first.id.encode()) + b"\n")
    second = add(journal, native="2")
    for reader in (journal, Journal(home)):
        found = reader.entries()
        assert set(found) == {first.id, second.id}
        assert found[first.id].native == "1"


def test_a_record_of_a_later_version_stays_known(home: Path) -> None:
    journal = Journal(home)
    entry = add(journal, native="1")
    text = journal.path.read_text()
    event = {**json.loads(text.splitlines()[0]), "novelty": 1, "ended": {"": {"state": "FROZEN"}}}
    journal.path.write_text(json.dumps(event) + "\n" + text.splitlines()[1] + "\n")
    assert Journal(home).get(entry.id).native == "1"
    assert Journal(home).get(entry.id).open


@given(data=st.binary(max_size=300))
def test_no_bytes_at_all_stop_a_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    journal = Journal(tmp_path_factory.mktemp("fuzz"))
    entry = add(journal, native="1")
    with open(journal.path, "ab") as log:
        log.write(b"\n" + data + b"\n")
    assert Journal(journal.home).get(entry.id).native == "1"


def test_a_log_that_was_replaced_is_read_anew_even_under_the_same_inode_number(home: Path) -> None:
    """File systems give a freed inode number out again: two rewritings, and the log has its old one back."""
    journal = Journal(home)
    first = add(journal, native="1")
    reader = Journal(home)
    assert set(reader.entries()) == {first.id}
    other = Journal(home / "other")
    fresh = [add(other, native=str(number)) for number in range(20)]
    with open(journal.path, "r+b") as log:  # same inode, other and longer content
        log.truncate(0)
        log.write(other.path.read_bytes())
    assert set(reader.entries()) == {entry.id for entry in fresh}


def test_a_journal_that_may_not_be_read_is_one_sentence(home: Path) -> None:
    journal = Journal(home)
    add(journal)
    home.chmod(0)
    code = (
        "journal = Journal(Path(sys.argv[1]))\n"
        "if os.geteuid() == 0: os.setegid(65534); os.seteuid(65534)\n"
        "try:\n    journal.entries()\nexcept JournalError as error:\n    print(error.message, '|', error.hint)\n"
    )
    try:
        text = output(python(code, home))
    finally:
        home.chmod(0o700)
    assert "cannot read" in text
    assert "PSIJ_PARSL_HOME" in text


# ---- many processes ------------------------------------------------------------------------------------------------


WRITER = """
journal = Journal(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    entry = add(journal, native=f"{os.getpid()}.{number}")
    journal.cancel_asked([(entry.id, "*" * 50)] * 60)
    journal.end({(entry.id, ""): DONE})
    print(entry.id, entry.native, flush=True)
"""


@pytest.mark.slow
def test_writers_at_once_lose_nothing_while_the_log_is_rewritten(home: Path) -> None:
    writers = [python(WRITER, home, 30) for _ in range(4)]
    reader, inodes = Journal(home), set()
    while any(writer.poll() is None for writer in writers):
        if reader.path.exists():
            inodes.add(reader.path.stat().st_ino)
        reader.entries()
    expected = dict(line.split() for writer in writers for line in output(writer).splitlines())
    assert len(expected) == 120
    for journal in (reader, Journal(home)):
        found = journal.entries()
        assert {job_id: entry.native for job_id, entry in found.items()} == expected
        assert all(entry.ended == {"": DONE} and entry.cancel_asked("*" * 50) for entry in found.values())
    assert len(inodes) > 1  # it was rewritten on the way
    assert reader.path.stat().st_size < 120 * 60 * 100
    assert not reader.path.with_suffix(".new").exists()


def test_threads_at_once_lose_nothing(home: Path) -> None:
    journal = Journal(home)
    made: list[str] = []

    def work() -> None:
        for _ in range(10):
            made.append(add(journal, native="x").id)
            journal.entries()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 60
    assert set(Journal(home).entries()) == set(made) == set(journal.entries())


@pytest.mark.slow
def test_a_killed_writer_loses_only_what_it_had_not_finished(home: Path, comes_true: Callable[..., None]) -> None:
    told: dict[str, str] = {}
    for _ in range(6):
        writer = python(WRITER, home, 1000)
        assert writer.stdout
        first = writer.stdout.readline()
        time.sleep(random.uniform(0, 0.15))
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate(timeout=300)
        told |= dict(line.split() for line in (first + rest).splitlines() if len(line.split()) == 2)
    found = Journal(home).entries()
    assert {job_id: found[job_id].native for job_id in told} == told
    assert add(Journal(home), native="after").id in Journal(home).entries()  # its lock is not left behind


def test_a_writer_killed_in_the_middle_of_a_long_line_leaves_the_rest_whole(home: Path) -> None:
    journal = Journal(home)
    first = add(journal, native="1")
    code = "j = Journal(Path(sys.argv[1])); print(1, flush=True); j.twins(j.get(sys.argv[2]), ['9' * 40_000_000])"
    writer = python(code, home, first.id)
    assert writer.stdout
    writer.stdout.readline()
    size = journal.path.stat().st_size
    deadline = time.monotonic() + 20
    while journal.path.stat().st_size == size and writer.poll() is None and time.monotonic() < deadline:
        time.sleep(0.0005)
    writer.kill()
    writer.communicate()
    second = add(Journal(home), native="2")
    found = Journal(home).entries()
    assert {found[first.id].native, found[second.id].native} == {"1", "2"}


def test_a_rewriting_that_was_killed_leaves_the_log_as_it_was(home: Path) -> None:
    journal = Journal(home)
    entry = add(journal, native="1")
    journal.path.with_suffix(".new").write_text('{"e":"job","id":"torn')
    for _ in range(6):
        journal.cancel_asked([(entry.id, "*" * 80)] * 800)
    assert journal.path.stat().st_size < 256 * 1024
    assert Journal(home).get(entry.id).native == "1"
    assert not journal.path.with_suffix(".new").exists()


def test_a_log_that_cannot_shrink_is_not_rewritten_at_every_line(home: Path) -> None:
    journal = Journal(home)
    journal.make_folder(home / "jobs")
    entry = add(journal, native="1", command="x" * 200)
    line = journal.path.read_text().splitlines()[0]
    with open(journal.path, "a") as log:
        for number in range(2000):
            log.write(line.replace(entry.id, f"{number:010d}") + "\n")
    size = journal.path.stat().st_size
    assert size > 512 * 1024
    fresh = journal.path.with_suffix(".new")
    fresh.mkdir()  # a rewriting would fail at this
    for _ in range(5):
        journal.cancel_asked([(entry.id, "")])
    assert len(Journal(home).entries()) == 2001
    shutil.rmtree(fresh)


def test_ten_thousand_records_are_read_and_searched(home: Path) -> None:
    journal = Journal(home)
    entry = add(journal, native="1")
    lines = journal.path.read_text().splitlines()
    with open(journal.path, "w") as log:
        for number in range(10_000):
            for line in lines:
                log.write(
                    line.replace(entry.id, f"x{number:09d}").replace('"native":"1"', f'"native":"{number}"') + "\n"
                )
    late = Journal(home)
    assert len(late.entries()) == 10_000
    assert late.find(["9999"])[0][0].id == "x000009999"
    assert late.find(["last"])[0][0].id == "x000009999"
    assert len(late.find(["all"])) == 10_000
    late.end({(f"x{number:09d}", ""): DONE for number in range(9_990)})
    assert len(late.open_entries()) == 10


# ---- disks ---------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_said_and_corrupts_nothing(tmp_path: Path) -> None:
    code = """
journal = Journal(disk / "state")
first = add(journal, native="1")
full = fill(disk)
taken = 0
try:
    for taken in range(10_000):
        journal.cancel_asked([(first.id, str(taken))])
except JournalError as error:
    print(error.message); print(error.hint)
known = Journal(disk / "state").entries()[first.id]
assert known.native == "1" and set(known.cancelled) == {str(number) for number in range(taken)}, known
for attempt in (lambda: add(journal), lambda: journal.commit(first, "2")):
    try:
        attempt()
    except JournalError:
        pass
full.unlink()
journal.commit(first, "3")
second = add(journal, native="4")
assert {entry.native for entry in Journal(disk / "state").entries().values()} == {"3", "4"}
assert journal.path.read_text().count(chr(10)) == len([json.loads(line) for line in journal.path.open()])
"""
    message, hint = in_small_disk(code, tmp_path / "disk", "256k").splitlines()
    assert "No space left on device" in message
    assert "journal.jsonl" in message
    assert "PSIJ_PARSL_HOME" in hint


def test_a_rewriting_for_which_there_is_no_room_is_left_undone(tmp_path: Path) -> None:
    code = """
journal = Journal(disk / "state")
ids = [add(journal, native=str(number), command="x" * 200).id for number in range(300)]
while journal.path.stat().st_size < 240 * 1024:
    journal.cancel_asked([(ids[0], "a" * 100)] * 20)
fill(disk, leave=40 * 1024)
for number in range(10):
    journal.cancel_asked([(ids[1], str(number))] * 40)
assert journal.path.stat().st_size > 256 * 1024
assert not (disk / "state" / "journal.new").exists() and not list((disk / "state").glob("closed/*"))
assert len(Journal(disk / "state").entries()) == 300
assert len(Journal(disk / "state").get(ids[1]).cancelled) == 10
print("fine")
"""
    assert in_small_disk(code, tmp_path / "disk", "3m") == "fine\n"


def test_a_disk_that_is_read_only_can_be_read_and_says_that_it_is(tmp_path: Path) -> None:
    code = """
journal = Journal(disk / "state")
first = add(journal, native="1")
subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
assert Journal(disk / "state").get(first.id).native == "1"
for attempt in (lambda: journal.commit(first, "2"), lambda: add(journal), lambda: add(Journal(disk / "state"))):
    try:
        attempt()
    except JournalError as error:
        print(error.message, error.hint, sep=" | ")
"""
    lines = in_small_disk(code, tmp_path / "disk", "1m").splitlines()
    assert len(lines) == 3
    for line in lines:
        assert "Read-only file system" in line
        assert "the file system is read-only: set PSIJ_PARSL_HOME" in line


def test_a_file_where_the_directory_should_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file" / "state")
    with pytest.raises(JournalError, match="a file stands where a directory should be"):
        add(journal)


def test_a_lock_that_is_not_to_be_had_is_one_sentence_and_no_wait_where_none_is_wanted(tmp_path: Path) -> None:
    with hold_lock(lock(tmp_path / "lock")):
        held = hold_lock(lock(tmp_path / "lock"), timeout_s=0.2)
        with pytest.raises(JournalError, match="was not free within 0 s.*another process of yours holds it"), held:
            pass
        with try_lock(lock(tmp_path / "lock")) as ours:
            assert not ours
    with try_lock(lock(tmp_path / "lock")) as ours:
        assert ours


def test_folders_and_files_are_their_owners_alone(home: Path) -> None:
    add(Journal(home), native="1")
    for path in (home, home / "jobs", *home.rglob("*")):
        assert path.is_symlink() or path.stat().st_mode & 0o077 == 0, path


# ---- selectors -----------------------------------------------------------------------------------------------------


@pytest.fixture
def full(home: Path) -> tuple[Journal, dict[str, JobRecord]]:
    journal = Journal(home)
    made = {
        "old": add(journal, native="7"),
        "local": add(journal, native="12", platform="local"),
        "array": add(journal, native="30", array=(0, 3, 8)),
        "new": add(journal, native="12"),
    }
    journal.end({(made["old"].id, ""): DONE})
    return journal, {name: journal.get(entry.id) for name, entry in made.items()}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("{old}", [("old", "")]),
        ("7", [("old", "")]),
        ("last", [("new", "")]),
        ("all", [("local", ""), ("array", "0"), ("array", "3"), ("array", "8"), ("new", "")]),
        ("{array}", [("array", "0"), ("array", "3"), ("array", "8")]),
        ("{array}_3", [("array", "3")]),
        ("30_8", [("array", "8")]),
        ("30", [("array", "0"), ("array", "3"), ("array", "8")]),
    ],
)
def test_a_selector_names_jobs(
    full: tuple[Journal, dict[str, JobRecord]], selector: str, expected: list[tuple[str, str]]
) -> None:
    journal, made = full
    selector = selector.format(**{name: entry.id for name, entry in made.items()})
    assert journal.find([selector]) == [(made[name], key) for name, key in expected]


def test_a_managers_id_that_two_open_jobs_have_is_refused(full: tuple[Journal, dict[str, JobRecord]]) -> None:
    journal, made = full
    with pytest.raises(InvalidRequest, match="could mean 2 jobs") as caught:
        journal.find(["12"])
    assert made["local"].id in str(caught.value)
    assert journal.find(["12"], of=(made["new"].platform, made["new"].cluster)) == [(made["new"], "")]
    journal.end({(made["new"].id, ""): DONE})
    assert journal.find(["12"])[0][0].id == made["local"].id  # the one that is still open


@pytest.mark.parametrize(
    ("platform", "native", "selector"),
    [
        ("pbspro", "412.head", "412"),
        ("pbspro", "412.head", "412.head.site.org"),
        ("flux", "fcJjB1sV", "ƒcJjB1sV"),
        ("flux", "fcJjB1sV", "1344039550976"),
    ],
)
def test_a_managers_id_names_its_job_in_each_of_its_forms(
    full: tuple[Journal, dict[str, JobRecord]], platform: str, native: str, selector: str
) -> None:
    journal, _ = full
    entry = add(journal, native=native, platform=platform)
    assert journal.find([selector]) == [(entry, "")]
    assert journal.find([selector], of=(platform, "")) == [(entry, "")]
    with pytest.raises(UnknownJob):
        journal.find([selector], of=("local", ""))


def test_a_record_of_a_platform_that_is_gone_is_found_by_its_id_as_it_is(
    full: tuple[Journal, dict[str, JobRecord]],
) -> None:
    journal, _ = full
    entry = add(journal, native="55.gone", platform="removed")
    assert journal.find(["55.gone"]) == [(entry, "")]
    with pytest.raises(UnknownJob):
        journal.find(["55"])


def test_an_element_of_the_last_array(full: tuple[Journal, dict[str, JobRecord]]) -> None:
    journal, _ = full
    with pytest.raises(UnknownJob, match="last_3"):
        journal.find(["last_3"])  # the last one is no array
    latest = add(journal, native="31", array=(3, 4))
    assert [(entry.id, key) for entry, key in journal.find(["last_3"])] == [(latest.id, "3")]


def test_a_beginning_of_an_id_is_enough_when_it_is_the_only_one(full: tuple[Journal, dict[str, JobRecord]]) -> None:
    journal, made = full
    ids = [entry.id for entry in made.values()]
    for name, entry in made.items():
        length = next(n for n in range(4, 11) if sum(job_id.startswith(entry.id[:n]) for job_id in ids) == 1)
        found = journal.find([entry.id[:length]], elements=False)
        assert found == [(made[name], "*" if entry.array else "")]


def test_a_beginning_that_several_ids_have_is_refused(home: Path) -> None:
    journal = Journal(home)
    for name in ("abcdefghij", "abcdxyzuvw"):
        journal.intend(JobRecord(name, "slurm", str(home)))
    with pytest.raises(InvalidRequest, match="could mean 2 jobs"):
        journal.find(["abcd"])
    with pytest.raises(UnknownJob):
        journal.find(["abc"])  # too short to mean anything


def test_a_managers_id_can_be_looked_for_on_one_platform(full: tuple[Journal, dict[str, JobRecord]]) -> None:
    journal, made = full
    assert journal.find(["12"], of=("local", "")) == [(made["local"], "")]
    with pytest.raises(UnknownJob):
        journal.find(["7"], of=("local", ""))


def test_an_array_is_given_whole_or_by_its_elements_and_nothing_twice(
    full: tuple[Journal, dict[str, JobRecord]],
) -> None:
    journal, made = full
    array = made["array"]
    assert journal.find([array.id, "30", f"{array.id}_3"]) == [(array, "0"), (array, "3"), (array, "8")]
    assert journal.find(["30"], elements=False) == [(array, "*")]


@pytest.mark.parametrize("selector", ["nosuchjob", "999", "30_5", "30_x", "30_", "7_1", "", "_", "*"])
def test_a_selector_that_names_nothing_is_an_error_that_repeats_it(
    full: tuple[Journal, dict[str, JobRecord]], selector: str
) -> None:
    with pytest.raises(UnknownJob) as caught:
        full[0].find([selector])
    assert selector.partition("_")[0] in str(caught.value)
    assert caught.value.hint


def test_an_element_that_the_array_has_not_is_told_with_those_it_has(
    full: tuple[Journal, dict[str, JobRecord]],
) -> None:
    with pytest.raises(UnknownJob, match="has no element 5.*0 to 8"):
        full[0].find(["30_5"])


def test_the_last_of_nothing_is_an_error(home: Path) -> None:
    with pytest.raises(UnknownJob, match="no last job"):
        Journal(home).find(["last"])
    assert Journal(home).find(["all"]) == []


# ---- claims and exit files -----------------------------------------------------------------------------------------


def test_a_submission_that_is_given_up_can_never_start(home: Path) -> None:
    journal = Journal(home)
    entry = add(journal)
    assert abandon(entry) == ""
    assert claimed_by(entry.folder) == ABANDONED
    assert abandon(entry) == ""  # again is fine


def test_a_submission_that_did_start_is_not_given_up(home: Path) -> None:
    journal = Journal(home)
    entry = add(journal)
    os.symlink("42", entry.folder / "claim")
    assert abandon(entry) == "42"
    assert claimed_by(entry.folder) == "42"


@pytest.mark.parametrize(
    "text",
    ["", "\n", "7", "7 0", "7 0 3 command", "7 x 3 command 1", "7 0 3 command x", "8 0 3 command 1", "\xff", "\0"],
)
def test_an_exit_file_that_is_torn_or_anothers_tells_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "exit").write_bytes(text.encode("latin-1"))
    assert ExitFile.read(tmp_path, "7") is None


def test_an_exit_file_tells_the_end(tmp_path: Path) -> None:
    (tmp_path / "exit").write_text("12_3 1 137 command 1700000000\n")
    assert ExitFile.read(tmp_path, "12_3") == ExitFile("12_3", 1, 137, "command", 1.7e9)
