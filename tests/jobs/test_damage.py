"""Damage and dirt in our own files: each costs itself only, in every verb that reads, and the doctor counts it."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from psij_parsl import BatchSchedulerExecutor, Job, JobState
from psij_parsl.jobs import snapshot as snapshots
from psij_parsl.jobs.job_folder import ABANDONED, ExitFile, abandon, claim, claimed_by
from psij_parsl.jobs.journal import Journal
from psij_parsl.jobs.record import JobRecord
from psij_parsl.jobs.snapshot import QueueSnapshot
from psij_parsl.system.files import read_json
from tests.cli.helpers import psij_here
from tests.jobs.test_journal import DONE, add

pytestmark = pytest.mark.usefixtures("here")

READERS = (
    ("status",),
    ("status", "--elements"),
    ("list",),
    ("list", "--all"),
    ("list", "--since", "9d"),
    ("list", "--all", "-n", "3"),
    ("clean", "--dry-run", "--older-than", "0"),
    ("cancel", "--orphans"),
)
NAMING = (("status",), ("info",), ("info", "--json"), ("logs",), ("wait", "--timeout", "0s"))

VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    3,
    1e400,
    -1e400,
    float("nan"),
    10**400,
    1e300,
    "",
    "x",
    "\0",
    "\ud800",
    "/",
    "../..",
    [],
    [1],
    ["a"],
    [None],
    [[1]],
    {},
    {"": 1},
    {"": None},
    {"": {}},
    {"3": {"state": "COMPLETED"}},
    {"": {"state": "DONE"}},
    {"": {"state": "FAILED", "exit_code": "3"}},
    {"": {"state": "FAILED", "ended": "now"}},
    {"*": "then"},
    "k" * 5000,
    {"": {"state": "FAILED", "reason": 4}},
    {"": {"state": ["FAILED"]}},
    {"": {"state": "QUEUED"}},
    {"": {"nodes": 3}},
)


def text_of(value: object) -> bytes:
    """A value as JSON; a number with more digits than Python reads is written as it is."""
    return json.dumps(value).encode() if value != 10**400 else b"9" * 5000


def dirt(good: bytes, rng: random.Random) -> bytes:
    """A line that is damaged, wrong or foreign."""
    kind = rng.randrange(7)
    if kind == 0:  # bytes
        line = bytearray(good)
        for _ in range(rng.randint(1, 8)):
            line[rng.randrange(len(line))] = rng.randrange(256)
        return bytes(line).replace(b"\n", b" ")
    if kind == 1:  # torn
        return good[: rng.randrange(len(good))]
    if kind == 2:
        return rng.choice(
            [b"[" * 200_000, b'{"a":' * 100_000, b"\xff\xfe\0\0", b"\0" * 4096, b'"' * 99, b"9" * 10_000]
        )
    if kind == 3:
        return text_of(rng.choice(VALUES[:-1]))
    event = json.loads(good)
    for _ in range(rng.randint(1, 3)):  # values of another kind
        name = rng.choice([*event, "ended", "array", "cancelled", "twins", "novelty", "e", "t", "k", "s", "natives"])
        if name != "id" or rng.random() < 0.2:
            event[name] = rng.choice(VALUES)
    parts = (json.dumps(name).encode() + b":" + text_of(value) for name, value in event.items())
    return b"{" + b",".join(parts) + b"}"


@pytest.fixture
def executor(home: Path) -> BatchSchedulerExecutor:
    return BatchSchedulerExecutor("local", poll_s=0.2)


@pytest.fixture
def jobs(executor: BatchSchedulerExecutor) -> list[str]:
    """One that has ended, one that waits, and an array of which nothing is known yet."""
    done = executor.submit(Job(command=["echo", "here"]))
    assert done.wait(300).state is JobState.COMPLETED
    held = executor.submit(Job(command=["true"], hold=True))
    array = executor.submit(Job(command=["true"], array=(0, 2), hold=True))
    return [done.id, held.id, array.id]


def sane(words: tuple[str, ...]) -> None:
    """A verb answers, or says in a sentence why not; it never stumbles."""
    done = psij_here(*words)
    assert "unexpected error" not in done.stderr, (words, done.stderr)
    assert "Traceback" not in done.stderr
    if done.returncode not in (0, 124):
        assert done.stderr.startswith("psij-run: ")


def steady(entries: Mapping[str, JobRecord]) -> dict[str, JobRecord]:
    """Records without what a look at the manager adds to them."""
    return {job_id: replace(entry, born=None) for job_id, entry in entries.items()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_dirty_lines_cost_themselves_only_in_every_verb(home: Path, jobs: list[str], seed: int) -> None:
    rng = random.Random(seed)
    journal = Journal(home)
    before = journal.path.read_bytes()
    victim = add(journal, native=str(rng.randrange(99)), array=rng.choice([(), (0, 3)]))
    journal.cancel_asked([(victim.id, "*")])
    journal.twins(victim, ["8"])
    journal.end({(victim.id, key): DONE for key in victim.keys[:1]})
    good = journal.path.read_bytes()[len(before) :].splitlines()
    known = steady(Journal(home).some(jobs))
    assert len(known) == 3
    with open(journal.path, "ab") as log:
        for _ in range(30):
            log.write(dirt(rng.choice(good), rng) + b"\n")
    names = {victim.id, *jobs} | {name for name in Journal(home).open_entries() if name.isalnum()}
    assert steady(Journal(home).some(jobs)) == known
    rows = json.loads(psij_here("list", "--all", "--json").stdout)
    assert {row["id"] for row in rows} >= set(jobs)
    for words in READERS:
        sane(words)
    for words in NAMING:
        for name in (jobs[0], victim.id, "last", rng.choice(sorted(names))):
            sane((*words, name))
    assert steady(Journal(home).some(jobs)) == known
    late = add(Journal(home), native="77777")
    assert Journal(home).find(["77777"]) == [(late, "")]


@pytest.mark.parametrize("last", [[1], {}, None, 3, "x"])
def test_a_log_that_says_something_odd_of_the_last_job_stops_no_verb(
    home: Path, jobs: list[str], last: object
) -> None:
    with open(home / "journal.jsonl", "ab") as log:
        log.write(json.dumps({"e": "log", "segments": [], "last": last}).encode() + b"\n")
    for words in (("status", "last"), ("info", "last"), ("list", "--all")):
        sane(words)
    assert psij_here("status", "last", "--json").returncode == 0


def test_the_doctor_counts_what_cannot_be_read(home: Path, jobs: list[str]) -> None:
    journal = Journal(home)
    text = journal.path.read_text().splitlines()[0]
    record = json.loads(text)
    bad = [
        b"[" * 200_000,
        b"\xff\xfe",
        b'{"e":"job","id":"x","platform":"p","place":null}',
        json.dumps({**record, "place": None}).encode(),
        json.dumps({**record, "id": 5}).encode(),
        json.dumps({"e": "native", "id": record["id"], "native": 5, "t": 1}).encode(),
        json.dumps({"e": "end", "id": record["id"], "k": "7", "s": {"state": "FAILED"}}).encode(),
    ]
    before = dict(journal.entries())
    with open(journal.path, "ab") as log:
        log.writelines(line + b"\n" for line in bad)
    assert dict(Journal(home).entries()) == before
    assert Journal(home).damage() == len(bad)
    told = psij_here("doctor").stdout
    assert f"{len(bad)} lines of {journal.path}" in told


@pytest.mark.slow
@pytest.mark.parametrize("value", [value for value in VALUES if value != 10**400])
@pytest.mark.parametrize(
    "name", ["name", "native", "intended", "array", "ended", "cancelled", "twins", "site", "run"]
)
def test_a_field_of_a_wrong_kind_counts_as_not_said(home: Path, name: str, value: object) -> None:
    journal = Journal(home)
    entry = add(journal, native="5")
    record = {"e": "job", "id": entry.id, "platform": "slurm", "place": entry.place, "native": "5", name: value}
    journal.path.write_text(json.dumps(record) + "\n")
    found = Journal(home).get(entry.id)
    assert (found.id, found.platform, found.place) == (entry.id, "slurm", entry.place)
    assert name == "native" or found.native == "5"
    assert type(getattr(found, name)) is type(getattr(entry, name)) or isinstance(getattr(found, name), int | float)
    assert found.open is (found.id in Journal(home).open_entries())
    assert all(status.state for status in found.ended.values())


def test_a_clean_of_a_record_whose_place_is_damaged_removes_no_other_folder(home: Path, tmp_path: Path) -> None:
    journal = Journal(home)
    precious = tmp_path / "precious"
    precious.mkdir()
    entry = add(journal, native="5")
    text = journal.path.read_text().replace(entry.place, str(precious))
    journal.path.write_text(text)
    Journal(home).end({(entry.id, ""): DONE})
    assert psij_here("clean", "--older-than", "0").returncode == 0
    assert entry.id not in Journal(home).entries()
    assert precious.is_dir()


# ---- files beside the log --------------------------------------------------------------------------------------------


def spoil(path: Path, how: str) -> None:
    """Put something in a file's place."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    if how == "directory":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "deep":
        path.write_bytes(b"[" * 200_000)
    elif how == "bytes":
        path.write_bytes(bytes(range(256)) * 20)
    elif how == "number":
        path.write_text("9" * 10_000)
    elif how == "list":
        path.write_text('["a", 1]')
    elif how == "empty":
        path.write_text("")


SPOILT = ("directory", "pipe", "deep", "bytes", "number", "list", "empty")


@pytest.mark.slow
@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("name", ["job.json", "exit", "claim", "environment", "elements", "script.sh", "owner"])
def test_a_spoilt_file_in_a_jobs_folder_stops_no_verb(home: Path, jobs: list[str], name: str, how: str) -> None:
    for job in Journal(home).some(jobs).values():
        spoil(job.folder / name, how)
    for words in READERS:
        sane(words)
    for words in NAMING:
        for job_id in (*jobs, f"{jobs[2]}_2"):
            sane((*words, job_id))


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_snapshot_is_as_none(
    home: Path, executor: BatchSchedulerExecutor, jobs: list[str], how: str
) -> None:
    [path] = (home / "snapshots").glob("*.json")
    spoil(path, how)
    if how == "directory":  # it cannot be replaced: the answer is given all the same
        for words in READERS:
            sane(words)
        return
    assert [status.state for status in executor.status(jobs, urgent=True)][:2] == [
        JobState.COMPLETED,
        JobState.QUEUED,
    ]
    for words in READERS:
        sane(words)


def test_a_row_of_a_snapshot_of_a_wrong_kind_tells_nothing(home: Path) -> None:
    good = snapshots.pack(DONE)
    snapshot = QueueSnapshot(home, "slurm", "", 5.0)
    snapshot.path.parent.mkdir(parents=True)
    for at in range(len(good)):
        for value in VALUES:
            rows = {"1": [*good[:at], value, *good[at + 1 :]], "2": good}
            body = ",".join(
                f'"{name}":[{",".join(text_of(each).decode() for each in row)}]' for name, row in rows.items()
            )
            snapshot.path.write_text(f'{{"asked":5.0,"rows":{{{body}}}}}')
            view = QueueSnapshot(home, "slurm", "", 5.0).view()
            for told in (view.status("1"), view.status("2")):
                assert told is None or json.dumps(told.to_dict(), allow_nan=False)
                assert told is None or told.describe()


@pytest.mark.parametrize(
    "name", ["asked", "tokens", "tokens_at", "failures", "failing_until", "failure", "missing", "rows"]
)
def test_a_field_of_a_snapshot_of_a_wrong_kind_makes_it_as_none(home: Path, name: str) -> None:
    path = QueueSnapshot(home, "slurm", "", 5.0).path
    path.parent.mkdir(parents=True)
    for value in VALUES:
        path.write_bytes(b'{"%b":%b}' % (name.encode(), text_of(value)))
        snapshot = QueueSnapshot(home, "slurm", "", 5.0)
        view = snapshot.read(lambda old: snapshots.View(asked=7.0))
        assert view.asked == 7.0 or 0 <= view.asked < 1e11


@pytest.mark.parametrize("how", ["directory", "pipe", "empty"])
def test_where_the_claim_should_be_something_else_no_script_can_take_it(home: Path, how: str) -> None:
    entry = add(Journal(home))
    spoil(entry.folder / "claim", how)
    assert claimed_by(entry.folder) == ""
    assert claim(entry.folder, "12") == ABANDONED
    assert abandon(entry) == ""


@pytest.mark.parametrize(
    "text",
    [
        "7 0 3 command inf",
        "7 0 3 command nan",
        "7 0 3 command 1e300",
        "7 -1 3 command 5",
        "7 0 300 command 5",
        "7 0 -1 command 5",
        f"7 {'9' * 5000} 3 command 5",
        f"7 {'9' * 400} 3 command 5",
        "7 0 3 command -5",
    ],
)
def test_an_exit_file_that_makes_no_sense_tells_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "exit").write_text(text)
    assert ExitFile.read(tmp_path, "7") is None


@pytest.mark.parametrize("how", SPOILT)
def test_what_is_no_json_file_is_none(tmp_path: Path, how: str, comes_true: Callable[..., None]) -> None:
    spoil(tmp_path / "file", how)
    assert read_json(tmp_path / "file") in (None, ["a", 1])


def test_the_specification_of_a_job_of_wrong_kinds_is_none(home: Path) -> None:
    journal = Journal(home)
    entry = add(journal)
    good = json.loads((entry.folder / "job.json").read_text())["job"]
    read = 0
    for name in good:
        for value in VALUES:
            text = b'{"job":{' + b",".join(
                json.dumps(key).encode() + b":" + text_of(value if key == name else each)
                for key, each in good.items()
            )
            (entry.folder / "job.json").write_bytes(text + b"}}")
            job = journal.job(entry)
            if job is not None:
                read += 1
                assert isinstance(json.dumps(job.to_dict()), str)
                assert isinstance(job.display_name + job.command_line, str)
    assert 0 < read < len(good) * len(VALUES)


def test_an_entry_of_a_place_that_is_no_folder_is_looked_after_without_it(home: Path) -> None:
    journal = Journal(home)
    for place in ("/proc/version/x", "/dev/null", "relative"):
        job_id, _ = journal.prepare()
        entry = journal.commit(journal.intend(JobRecord(job_id, "local", place)), "999")
        for words in NAMING:
            sane((*words, entry.id))
