"""The live view without a terminal: its keys, its rows, its lines, and the output that it shows."""

from __future__ import annotations

import json
import random
import string
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from psij_parsl import Job
from psij_parsl.cli.job_row import JobRow
from psij_parsl.cli.job_table import JobTable
from psij_parsl.cli.live.board import Board, Cancel, Quit, Request, Unfold
from psij_parsl.cli.live.keys import Keys
from psij_parsl.cli.live.pane import Follower
from psij_parsl.cli.live.picture import Marks, Pane, Picture, Size, age
from psij_parsl.cli.wrapping import display_width
from psij_parsl.jobs.record import JobRecord
from psij_parsl.states import EndReason, JobState, JobStatus

NOW = 1_900_000_000.0
Q, A, C, F = JobState.QUEUED, JobState.ACTIVE, JobState.COMPLETED, JobState.FAILED


def row(number: int, status: JobStatus | JobState = Q, name: str = "", key: str = "", **fields: object) -> JobRow:
    status = status if isinstance(status, JobStatus) else JobStatus(status)
    array = (0, 1) if key else ()
    entry = JobRecord(
        f"6fr{number:07}", "slurm", f"/jobs/{number}", name=name or f"case-{number}", intended=NOW - 5000, array=array
    )
    as_of = None if status.final else NOW - 12
    return JobRow(entry, key, status, str(100 + number), as_of=as_of)._replace(**fields)  # type: ignore[arg-type]


def board(*rows: JobRow) -> Board:
    found = Board()
    found.take(rows)
    return found


def press(shown: Board, *keys: str) -> list[Request]:
    return [request for key in keys if (request := shown.press(key)) is not None]


def numbers(rows: Sequence[JobRow]) -> str:
    return "".join(each.id[-1] for each in rows)


# ---- keys ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1b[B\x1bOA\x1bOB", ["up", "down", "up", "down"]),
        (b"\x1b[5~\x1b[6~\x1b[H\x1b[F\x1b[1~\x1b[4~", ["page up", "page down", "home", "end", "home", "end"]),
        (b"\x1b[1;5A\x1b[5;3~", ["up", "page up"]),
        (b"\r\n\x7f\x08\x15", ["enter", "enter", "backspace", "backspace", "clear"]),
        ("lä漢".encode(), ["l", "ä", "漢"]),
        (b"\x1b[200~\x1b[?1;2c\x1b[15~\x1b[<0;3;4M", []),
        (b"\x1b\x1b[A", ["escape", "up"]),
        (b"\x1bj", ["escape", "j"]),
        (b"\x00\x01\xff", ["\ufffd"]),
    ],
)
def test_bytes_are_keys_however_they_are_split(data: bytes, keys: list[str]) -> None:
    assert Keys().feed(data) == keys
    for _ in range(20):
        decoder, found, rest = Keys(), list[str](), data
        while rest:
            size = random.randint(1, len(rest))
            found += decoder.feed(rest[:size])
            rest = rest[size:]
        assert found == keys
        assert not decoder.waiting


def test_escape_alone_is_a_key_when_nothing_follows() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.waiting
    assert keys.flush() == ["escape"]
    assert keys.flush() == []


# ---- rows ------------------------------------------------------------------------------------------------------


def test_the_chosen_job_stays_chosen_when_others_come_go_and_are_sorted() -> None:
    shown = board(*(row(number) for number in range(5)))
    press(shown, "down", "j", "down")
    assert shown.row is not None
    assert shown.row.id == "6fr0000003"
    shown.take([row(number) for number in (9, 3, 1)])
    assert shown.row.id == "6fr0000003"
    press(shown, "r")
    assert shown.row.id == "6fr0000003"
    shown.take([row(number) for number in (9, 1)])
    assert numbers([shown.row]) in "91"


def test_moving_ends_at_the_first_and_the_last_row_and_keeps_the_row_on_the_screen() -> None:
    shown = board(*(row(number) for number in range(100)))
    shown.resize(10)
    for keys in (["up"], ["page down"] * 3, ["end"], ["down"], ["page up"], ["home"], ["G"], ["g"], [" "]):
        press(shown, *keys)
        shown.resize(10)
        assert shown.row in shown.window()
        assert len(shown.window()) == 10
    press(shown, "end")
    shown.resize(3)
    assert [each.id for each in shown.window()] == ["6fr0000097", "6fr0000098", "6fr0000099"]
    shown.take([row(4)])
    assert [each.id for each in shown.window()] == ["6fr0000004"]
    shown.take([])
    assert (shown.row, shown.window()) == (None, [])
    assert press(shown, "down", "up", "t", "c", "y") == []


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("train", "12"),
        ("TRAIN active", "1"),
        ("state:failed", "3"),
        ("state:timeout", "3"),
        ("name:active", "4"),
        ("active", "14"),
        ("site:slurm name:train", "12"),
        ("id:103", "3"),
        ("6fr0000002", "2"),
        ("why:priority", "2"),
        ("nothing like it", ""),
        ("stat:x", ""),
        ("12:30", ""),
    ],
)
def test_a_filter_shows_rows_that_contain_all_its_words(typed: str, found: str) -> None:
    shown = board(
        row(1, A, "train-1"),
        row(2, Q, "train-2", pending_words="others have a higher priority"),
        row(3, JobStatus(F, reason=EndReason.TIMEOUT)),
        row(4, Q, "active"),
    )
    press(shown, "/", *typed, "enter")
    assert (shown.mode, numbers(shown.shown)) == ("", found)
    assert bool(shown.wrong) == typed.startswith("stat:")
    press(shown, "/", *["backspace"] * 20)
    assert numbers(shown.shown) == "1234"
    press(shown, *"train", "escape")
    assert (shown.mode, shown.text, numbers(shown.shown)) == ("", "", "1234")


def test_letters_of_a_filter_are_no_commands() -> None:
    shown = board(row(1), row(2))
    assert press(shown, "/", "q", "c", "y", "up") == []
    assert (shown.text, shown.mode) == ("qcy", "filter")


def test_sorting_goes_through_all_columns_and_back() -> None:
    def ran(number: int, seconds: float) -> JobRow:
        return row(number, JobStatus(C, started=NOW - 900, ended=NOW - 900 + seconds))

    shown = board(ran(3, 30), ran(1, 10), ran(2, 20))
    seen = {}
    for _ in range(20):
        press(shown, "s")
        seen[shown.sort] = numbers(shown.shown)
    assert (seen["run"], seen["id"], seen[""]) == ("123", "123", "312")
    while shown.sort != "run":
        press(shown, "s")
    press(shown, "r")
    assert numbers(shown.shown) == "321"


def test_cancelling_asks_first_and_not_for_what_has_ended() -> None:
    shown = board(row(1, A), row(2, C))
    assert press(shown, "c", "n") == []
    assert shown.message == "nothing was cancelled"
    assert press(shown, "c", "q") == []
    (request,) = press(shown, "c", "y")
    assert isinstance(request, Cancel)
    assert request.row.id == "6fr0000001"
    assert press(shown, "down", "c", "y") == []
    assert shown.message == ""
    press(shown, "c")
    assert "has ended already" in shown.message
    assert press(shown, "q") == [Quit()]


def test_the_job_that_is_cancelled_is_the_one_that_was_asked_about() -> None:
    shown = board(row(1, A), row(2, A))
    press(shown, "c")
    shown.take([row(2, A)])
    assert "6fr0000001" in lines(shown, 80, 24)[-2]
    (request,) = press(shown, "y")
    assert isinstance(request, Cancel)
    assert request.row.id == "6fr0000001"


# ---- lines -----------------------------------------------------------------------------------------------------


WHY = "nodes that it needs are not available: " + "node[0001-0016,0100-0250] " * 3


def limit(each: JobRow) -> float | None:
    return 3600.0 if each.id.endswith("1") else None


def lines(shown: Board, columns: int, height: int, pane: Pane | None = None, marks: Marks | None = None) -> list[str]:
    return [line.plain for line in Picture(limit, marks).lines(shown, Size(columns, height), NOW, pane)]


@pytest.mark.parametrize("mode", ["", "filter", "cancel", "help"])
@pytest.mark.parametrize("columns", [1, 10, 20, 40, 80, 200])
@pytest.mark.parametrize("height", [1, 2, 3, 5, 6, 12, 24, 60])
def test_there_are_as_many_lines_as_the_screen_has_and_none_is_too_long(mode: str, columns: int, height: int) -> None:
    rows = [row(n, A if n % 3 else Q, "漢字-" + string.ascii_letters[: n % 50], pending_words=WHY) for n in range(40)]
    shown = board(*rows)
    press(shown, "end")
    shown.mode, shown.message = mode, "what\nhas been said " * 20
    for pane in (None, Pane("the output", ["line " * 50, "漢" * 200])):
        shown.pane = pane is not None
        found = lines(shown, columns, height, pane)
        assert len(found) == height
        assert max(map(display_width, found)) <= columns
        assert not any("\n" in line for line in found)


def test_a_row_tells_the_state_the_time_and_its_limit_and_how_old_that_is() -> None:
    running = row(1, JobStatus(A, started=NOW - 600, nodes="n[1-4]"), "train")
    text = "\n".join(lines(board(running, row(2, pending_words=WHY)), 110, 24))
    assert "> 6fr0000001  train   ACTIVE  10m/1h00m  10s ago  slurm" in text
    assert "nodes n[1-4]" in text
    assert "2 jobs: 1 QUEUED, 1 ACTIVE" in text


def test_the_whole_reason_stands_below_the_table() -> None:
    text = " ".join("\n".join(lines(board(row(2, pending_words=WHY)), 60, 24)).split())
    assert " ".join(WHY.split()) in text.replace("…", "")


def test_a_narrow_terminal_shows_what_matters_most() -> None:
    head = lines(board(row(1, A)), 40, 24)[1]
    assert head.split() == ["ID", "NAME", "STATE", "RUN/LIMIT"]
    assert lines(board(row(1, A)), 25, 24)[1].split() == ["ID", "STATE"]


def test_a_terminal_without_unicode_gets_none() -> None:
    shown = board(*(row(n, A, "x" * 90, pending_words=WHY) for n in range(40)))
    text = "".join(lines(shown, 40, 24, Pane("output", ["x" * 99]), Marks.of("ANSI_X3.4-1968")))
    assert text.isascii()


def test_control_characters_of_names_and_messages_do_not_reach_the_terminal() -> None:
    shown = board(row(1, A, "a\x1b[2Jb\nc", pending_words="x\x07\x9b2J"))
    shown.message = "\x1b]0;title\x07"
    for line in lines(shown, 80, 24):
        assert line.isprintable()


def test_no_age_is_negative_and_old_ones_change_seldom() -> None:
    ages = [age(row(1)._replace(as_of=NOW - seconds), NOW) for seconds in (-50, 0, 7, 12, 14.9, 59, 61, 119, 4000)]
    assert ages == [f"{text} ago" for text in ("0s", "0s", "7s", "10s", "10s", "55s", "1m00s", "1m00s", "1h06m")]
    assert age(row(1, C), NOW) == ""


# ---- output ----------------------------------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobRow:
    """A job that has started."""
    monkeypatch.setenv("PSIJ_PARSL_HOME", str(tmp_path / "state"))
    (tmp_path / "job.json").write_text(json.dumps({"job": Job(command=["x"], directory=tmp_path).to_dict()}))
    entry = JobRecord("6fr0000001", "local", str(tmp_path), intended=time.time())
    return JobRow(entry, "", JobStatus(A), "1")


def test_the_pane_follows_the_output_as_a_terminal_would_show_it(job: JobRow) -> None:
    out, follower = job.entry.folder / "stdout", Follower(JobTable())
    out.write_bytes(b"one\n\x1b[31mred\x1b[0m\ttab\n10 %\r20 %")
    assert follower.pane(job, stderr=False).lines == ["one", "red     tab", "20 %"]
    with open(out, "ab") as file:
        file.write(b"\r30 %\r\nbell\x07\nl\xc3")
    assert follower.pane(job, stderr=False).lines == ["one", "red     tab", "30 %", "bell\\x07", "l"]
    with open(out, "ab") as file:
        file.write(b"\xa4uft")
    pane = follower.pane(job, stderr=False)
    assert pane.lines[-1] == "läuft"
    assert str(out) in pane.title


def test_the_pane_keeps_up_with_a_file_that_grows_by_megabytes(job: JobRow) -> None:
    out, follower = job.entry.folder / "stdout", Follower(JobTable())
    out.write_bytes(b"begin\n")
    assert follower.pane(job, stderr=False).lines == ["begin"]
    with open(out, "ab") as file:
        file.writelines(b"%09d\n" % number for number in range(500_000))
    assert follower.pane(job, stderr=False).lines[-1] == "000499999"
    assert len(follower.pane(job, stderr=False).lines) <= 200


def test_the_pane_says_why_there_is_no_output(job: JobRow) -> None:
    follower = Follower(JobTable())
    assert "u shows its elements" in follower.pane(job._replace(key="*"), stderr=False).title
    waits = job._replace(status=JobStatus(Q))
    assert follower.pane(waits, stderr=True).lines == ["it has not started"]
    (job.entry.folder / "job.json").unlink()
    assert "was not submitted from here" in follower.pane(job, stderr=False).title


# ---- arrays ----------------------------------------------------------------------------------------------------


def array_of(states: Sequence[JobState]) -> tuple[JobRow, list[JobRow]]:
    """An array as a whole, and its elements."""
    entry = replace(row(5).entry, array=tuple(range(len(states))))
    elements = [JobRow(entry, str(key), JobStatus(state), "105") for key, state in enumerate(states)]
    return JobRow(entry, "*", JobStatus(A), "105"), elements


def test_an_array_is_unfolded_into_its_elements_and_folded_again() -> None:
    array, elements = array_of([C, A, F])
    shown = board(row(1), array, row(2))
    assert press(shown, "down", "u") == [Unfold(array.entry, shown=True)]
    shown.take([row(1), array, row(2), *elements])  # as the poller finds them
    assert [each.id for each in shown.shown] == [
        "6fr0000001",
        "6fr0000005",
        "6fr0000005_0",
        "6fr0000005_1",
        "6fr0000005_2",
        "6fr0000002",
    ]
    assert "3 jobs" in lines(shown, 80, 24)[0]
    assert press(shown, "down", "down", "c", "y") == [Cancel(elements[1])]
    assert press(shown, "u") == [Unfold(array.entry, shown=False)]
    assert numbers(shown.shown) == "152"  # at once
    assert shown.row == array
    shown.take([row(1), array, row(2)])
    assert shown.row == array


def test_elements_stay_below_their_array_in_each_order_and_a_filter_finds_them() -> None:
    array, elements = array_of([C, A, F])
    shown = board(row(6), array, row(1))
    press(shown, "down", "u")
    shown.take([row(6), array, row(1), *elements])
    press(shown, "s", "s", "s", "s", "s", "r")  # by id, the greatest first
    assert shown.sort == "id"
    assert [each.id[-2:] for each in shown.shown] == ["06", "05", "_2", "_1", "_0", "01"]
    press(shown, "/", *"state:failed", "enter")
    assert [each.id for each in shown.shown] == ["6fr0000005_2"]


def test_only_an_array_can_be_unfolded_and_elements_that_were_asked_for_stay() -> None:
    shown = board(row(1))
    assert press(shown, "u") == []
    assert shown.message == "only an array can be unfolded"
    assert "unfold" not in lines(shown, 200, 24)[-1]
    array, elements = array_of([A, A])
    named = board(array, elements[1])  # `status --watch ID ID_1`
    assert [each.id for each in named.shown] == ["6fr0000005", "6fr0000005_1"]
    assert "u unfold" in lines(named, 80, 24)[-1]
    assert press(board(*elements), "u") == []  # --elements: the array is no row
