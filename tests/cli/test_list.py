"""`list`: which jobs it shows, and in which order."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from psij_parsl.cli.moments import age, since, until
from psij_parsl.cli.ordering import texts_in_order
from psij_parsl.cli.output import short_moment
from psij_parsl.jobs.record import JobRecord
from psij_parsl.jobs.record_lines import line_of
from psij_parsl.jobs.segments import write
from psij_parsl.states import EndReason, JobState, JobStatus
from tests.cli.helpers import one_sentence_and_a_hint, psij_here

C, F, X = JobState.COMPLETED, JobState.FAILED, JobState.CANCELED
HOUR = 3600.0
DAY = 24 * HOUR
PATIENCE_S = 60.0


def ended(state: JobState, at: float, run_s: float = 60.0, reason: EndReason | None = None) -> JobStatus:
    code = {C: 0, F: None if reason else 3}.get(state)
    return JobStatus(state, exit_code=code, reason=reason, started=at, ended=at + run_s)


def record(home: Path, job_id: str, ago_s: float, ends: Mapping[str, JobStatus], **fields: Any) -> bytes:
    """The line of a job that was submitted so long ago."""
    at = time.time() - ago_s
    data = {"platform": "local", "native": job_id[-1], "committed": at, **fields}
    return line_of(JobRecord(job_id, place=f"{home}/jobs/{job_id}", intended=at, ended=ends, **data))


@pytest.fixture(params=["in the log", "in segments"])
def jobs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Jobs of several kinds that have ended; the last figure of an id is the job's number."""
    home = tmp_path / "state"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("PSIJ_PARSL_HOME", str(home))
    now = time.time()
    timeout = ended(F, now - 3 * DAY, 900, EndReason.TIMEOUT)
    ends = {"0": ended(C, now - HOUR), "1": ended(C, now - 2 * HOUR), "2": timeout, "3": ended(F, now, 5)}
    lines = [
        record(home, "aaaaaaaaa1", 9 * DAY, {"": ended(C, now - 8 * DAY, 5)}, name="train-1", site="polaris"),
        record(home, "aaaaaaaaa2", 5 * DAY, {"": ended(F, now - 5 * DAY, 300)}, name="train-2", site="polaris"),
        record(home, "aaaaaaaaa3", 4 * DAY, {"": timeout}, name="train-10", site="aurora"),
        record(home, "aaaaaaaaa4", 3 * HOUR, {"": JobStatus(X)}, name="läuft [x]"),
        record(home, "aaaaaaaaa5", 2 * HOUR, ends, name="array", array=(0, 1, 2, 3), platform="slurm"),
    ]
    log = home / "journal.jsonl"
    if request.param == "in segments":
        write(home / "closed", {f"aaaaaaaaa{number}": line for number, line in enumerate(lines, 1)})
        log.touch(0o600)
    else:
        log.write_bytes(b"".join(line + b"\n" for line in lines))
    return home


def listed(*words: str) -> list[dict[str, Any]]:
    done = psij_here("list", *words, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def numbers(words: str) -> str:
    """The last letters of the ids of the jobs that these words show."""
    return "".join(row["id"][-1] for row in listed(*shlex.split(words)))


CHOICES: Mapping[str, str] = {
    "": "",
    "-a": "12345",
    "--state failed": "235",
    "--state FAILED,CANCELED": "2345",
    "--state failed --state canceled": "2345",
    "--state timeout": "35",
    "--state node-failure": "",
    "--state queued": "",
    "--state queued -a": "",
    "--state held,completed": "1",
    "-a --name 'train-?'": "12",
    "-a --name 'train*'": "123",
    "-a --name 'train'": "",
    "-a --name 'train-[12]'": "12",
    "-a --name '*-2' --name array": "25",
    "-a --name 'lä*'": "4",
    "-a --name 'läuft [[]x]'": "4",
    "-a --name '*'": "12345",
    "-a --site polaris": "12",
    "-a --site polaris,slurm": "125",
    "-a --site local": "4",
    "--name 'train*'": "",
    "--since 4.5d": "345",
    "--since 2": "45",
    "--since 1d": "45",
    "--until 1d": "123",
    "--since 6d --until 1d12h": "23",
    "--since 150m": "5",
    "--since 6d --state failed --site polaris --name 't*'": "2",
    "-a --limit 2": "45",
    "-a -n 2 --name 'train*'": "23",
    "-a --count 1 --state failed": "5",
    "--state failed --until 1d --limit 1": "3",
    "-a --sort name": "54132",
    "-a --sort -submitted": "54321",
    "-a --sort run": "12354",
    "-a --sort -run": "53214",
    "-a --sort state,-name": "41235",
    "-a --sort=-site,submitted": "51243",
    "-a --limit 3 --sort -run": "534",
}


@pytest.mark.parametrize("words", CHOICES)
def test_these_jobs_are_shown(words: str, jobs: Path) -> None:
    assert numbers(words) == CHOICES[words]


def test_the_table_has_the_same_jobs(jobs: Path) -> None:
    done = psij_here("list", "--state", "failed", "--sort", "-name")
    assert [line.split()[0][-1] for line in done.stdout.splitlines()[1:]] == ["2", "3", "5"]
    assert "SUBMITTED" in done.stdout.splitlines()[0]


def test_an_array_is_told_from_its_first_start_to_its_last_end(jobs: Path) -> None:
    row = listed("--name", "array", "-a")[0]
    now = time.time()
    assert row["started"] == pytest.approx(now - 3 * DAY, abs=PATIENCE_S)
    assert row["ended"] == pytest.approx(now + 5, abs=PATIENCE_S)
    assert row["run_s"] == row["ended"] - row["started"]


def test_times_are_not_negative_where_clocks_differ(jobs: Path) -> None:
    """The node's clock is ten minutes behind ours, and was set back while the job ran."""
    now = time.time()
    skewed = JobStatus(C, exit_code=0, started=now - 600, ended=now - 660)
    with (jobs / "journal.jsonl").open("ab") as log:
        log.write(record(jobs, "aaaaaaaaa6", 0, {"": skewed}, name="skewed") + b"\n")
    row = listed("-a", "--name", "skewed")[0]
    assert (row["queue_s"], row["run_s"]) == (0, 0)
    assert psij_here("list", "-a", "--name", "skewed").stdout.split()[-2:] == ["0s", "0s"]


MISTAKES: Mapping[str, tuple[str, str]] = {
    "--state failled": ("--state failled: there is no such state, and no such reason", "did you mean 'FAILED'?"),
    "--state running": ("--state running", "did you mean ACTIVE?"),
    "--state failed,,": ("a word is missing next to a comma", "--state A,B"),
    "--state ''": ("--state is empty", "leave it out"),
    "--site polariss": ("--site polariss: there is no such site", "did you mean 'polaris'?"),
    "--since soon": ("--since soon: it must be an age (2d, 1h30m; a number alone is days), a date", "14:30"),
    "--since 2026-02-30": ("--since 2026-02-30: it must be", "2026-11-27"),
    "--since 25:00": ("--since 25:00: it must be", "2026-11-27"),
    "--since 2999-01-01": ("--since is in the future", "--since 2d"),
    "--since 1d --until 2d": ("--since is later than --until", "exchange"),
    "--until later": ("--until later: it must be", "submitted until then"),
    "--limit 0": ("--limit 0: it must be a whole number above 0", "newest"),
    "--name ''": ("--name is empty", "leave it out"),
    "--sort quux": ("--sort quux: jobs cannot be sorted by 'quux'", "known: "),
    "--sort -nam": ("jobs cannot be sorted by 'nam'", "did you mean 'name'?"),
    "--sort name,": ("a word is missing", "--sort A,B"),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_told_with_what_is_right(words: str, jobs: Path) -> None:
    done = psij_here("list", *shlex.split(words))
    said, hint = one_sentence_and_a_hint(done)
    expected, remedy = MISTAKES[words]
    assert expected in said
    assert remedy in hint
    assert done.returncode == 2


def test_nothing_found_is_told_and_no_mistake(jobs: Path) -> None:
    for words, text in {
        "--name train-1": "no open job matches; `-a` looks at those that have ended, too",
        "-a --name nobody": "no job matches",
        "--site frontier": "no open job matches",
        "": "no open jobs",
    }.items():
        done = psij_here("list", *shlex.split(words))
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.startswith(f"psij-run: {text}")
    assert psij_here("list", "--name", "nobody", "--json").stdout == "[]\n"


def test_points_in_time_are_read_as_people_mean_them() -> None:
    now = datetime.now()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for text, ago_s in {
        "2d": 2 * DAY,
        "3": 3 * DAY,
        "1h30m": 1.5 * HOUR,
        "1.5h": 1.5 * HOUR,
        "2 W": 14 * DAY,
    }.items():
        assert age(text) == ago_s
        assert since(text) == pytest.approx(time.time() - ago_s, abs=PATIENCE_S)
    assert since("2026-03-05") == datetime(2026, 3, 5).timestamp()
    assert until("2026-03-05") == datetime(2026, 3, 6).timestamp()
    assert since("2026-03-05 14:30") == until("2026-03-05T14:30:00") == datetime(2026, 3, 5, 14, 30).timestamp()
    assert since("2026-03-05T14:30Z") == datetime.fromisoformat("2026-03-05T14:30+00:00").timestamp()
    assert (since("yesterday"), until("yesterday")) == ((today - timedelta(1)).timestamp(), today.timestamp())
    assert until("now") == pytest.approx(time.time(), abs=PATIENCE_S)
    for hours in (1, 23):  # a time of day is the last one
        at = now - timedelta(hours=hours)
        assert since(at.strftime("%H:%M:%S")) == at.replace(microsecond=0).timestamp()
    for text in ("", "d", "2x", "14:60", "1 2", "-1d", "2026-13-01", "monday"):
        with pytest.raises(ValueError, match="must be an age"):
            since(text)
    assert since("99999999d") == 0.0


def test_a_moment_in_a_table_is_short() -> None:
    this_year = datetime.now().year
    assert short_moment(datetime(this_year, 3, 5, 14, 30).timestamp()) == "03-05 14:30"
    assert short_moment(datetime(this_year - 1, 3, 5, 14, 30).timestamp()) == f"{this_year - 1}-03-05"
    assert short_moment(None) == ""


def test_elements_of_arrays_have_rows_of_their_own(jobs: Path) -> None:
    rows = listed("-a", "--elements")
    assert [row["id"] for row in rows[4:]] == [f"aaaaaaaaa5_{index}" for index in range(4)]
    assert [row["state"] for row in rows[4:]] == ["COMPLETED", "COMPLETED", "FAILED", "FAILED"]
    assert [row["exit_code"] for row in rows[4:]] == [0, 0, None, 3]
    assert [row["run_s"] for row in rows[4:]] == [60, 60, 900, 5]
    assert {row["id"] for row in listed("--elements", "--state", "completed", "--name", "array")} == {
        "aaaaaaaaa5_0",
        "aaaaaaaaa5_1",
    }
    assert [row["id"] for row in listed("--elements", "--state", "timeout")] == ["aaaaaaaaa3", "aaaaaaaaa5_2"]
    assert [row["id"] for row in listed("-a", "--elements", "--name", "array", "--sort", "-run", "--limit", "1")] == [
        "aaaaaaaaa5_2",
        "aaaaaaaaa5_0",
        "aaaaaaaaa5_1",
        "aaaaaaaaa5_3",
    ]


def test_many_rows_as_json_are_sorted_through_a_file() -> None:
    """Their texts are more than is kept in memory."""
    rows = [{"id": f"{number}", "text": letter * 10_000_000} for number, letter in enumerate("dbeac")]
    texts = [json.loads(text) for text in texts_in_order(rows, [("text", False)])]
    assert [(row["id"], row["text"][:1], len(row["text"])) for row in texts] == [
        ("3", "a", 10_000_000),
        ("1", "b", 10_000_000),
        ("4", "c", 10_000_000),
        ("0", "d", 10_000_000),
        ("2", "e", 10_000_000),
    ]


def test_the_table_has_the_same_order_as_json(jobs: Path) -> None:
    for order in ("name", "-run", "state,-name", "ended", "-wait", "site,id"):
        table = psij_here("list", "-a", "--sort", order).stdout.splitlines()[1:]
        assert [line.split()[0] for line in table] == [row["id"] for row in listed("-a", "--sort", order)]
