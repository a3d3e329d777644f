"""The queue snapshot: one question for many, a small budget for early ones, and no trust in files or clocks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psij_parsl import EndReason, JobState, JobStatus
from psij_parsl.errors import JournalError, Unavailable
from psij_parsl.jobs import snapshot as snapshots
from psij_parsl.jobs.snapshot import CAPACITY, QueueSnapshot, View, pack, unpack

STATUS = st.builds(
    JobStatus,
    st.sampled_from(JobState),
    st.text(),
    st.none() | st.integers(0, 255),
    st.none() | st.integers(1, 64),
    st.none() | st.sampled_from(EndReason),
    st.text(),
    st.text(),
    st.integers(0, 9),
    st.none() | st.floats(0, 1e11),
    st.none() | st.floats(0, 1e11),
    st.booleans(),
)


class Manager:
    """What a refresh asks; counts, and can be silent."""

    def __init__(self) -> None:
        self.asked = 0
        self.silent = False
        self.rows: dict[str, Any] = {}

    def __call__(self, old: View) -> View:
        self.asked += 1
        if self.silent:
            raise Unavailable("no answer")
        return View(asked=time.time(), rows={**self.rows, "count": pack(JobStatus(attempt=self.asked))})


@pytest.fixture
def manager() -> Manager:
    return Manager()


def snapshot(home: Path, interval: float = 1000.0) -> QueueSnapshot:
    return QueueSnapshot(home, "slurm", "", interval)


def change(home: Path, **fields: Any) -> None:
    """Write other values into the file, as another process or time would have left them."""
    path = snapshot(home).path
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@given(status=STATUS)
def test_a_status_goes_through_its_row_unchanged(status: JobStatus) -> None:
    assert unpack(json.loads(json.dumps(pack(status)))) == status


# ---- one question for many -----------------------------------------------------------------------------------------


def test_a_fresh_answer_is_shared_and_nobody_asks_again(home: Path, manager: Manager) -> None:
    manager.rows["7"] = pack(JobStatus(JobState.ACTIVE, "RUNNING"))
    assert snapshot(home).read(manager).status("7") == JobStatus(JobState.ACTIVE, "RUNNING")
    for _ in range(5):
        assert snapshot(home).read(manager).status("7")
    assert snapshot(home).read(manager).status("8") is None
    assert manager.asked == 1


def test_a_stale_answer_is_asked_for_again(home: Path, manager: Manager) -> None:
    shared = snapshot(home, 0.05)
    shared.read(manager)
    time.sleep(0.3)
    shared.read(manager)
    assert manager.asked == 2


def test_many_processes_ask_once(home: Path, tmp_path: Path) -> None:
    """All of them wait for the very first answer, which takes its time."""
    code = """
import sys, time
from pathlib import Path
from psij_parsl.jobs.snapshot import QueueSnapshot, View
def ask(old):
    with open(sys.argv[2], "a") as file: file.write("asked\\n")
    time.sleep(1)
    return View(asked=time.time(), rows={"1": [3, "R", None, None, None, "", "", 0, None, None, False]})
print(QueueSnapshot(Path(sys.argv[1]), "slurm", "", 1000).read(ask).status("1").native)
"""
    argv = [sys.executable, "-c", code, str(home), str(tmp_path / "log")]
    crowd = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    assert [process.communicate(timeout=300)[0] for process in crowd] == ["R\n"] * 8
    assert (tmp_path / "log").read_text() == "asked\n"


def test_while_one_refreshes_the_others_read_what_was_there(home: Path, manager: Manager) -> None:
    manager.rows["7"] = pack(JobStatus(JobState.QUEUED, "old"))
    snapshot(home, 0.01).read(manager)
    time.sleep(0.05)
    started, go_on = threading.Event(), threading.Event()

    def slow(old: View) -> View:
        started.set()
        go_on.wait(300)
        return View(asked=time.time(), rows={"7": pack(JobStatus(JobState.ACTIVE, "new"))})

    with ThreadPoolExecutor() as pool:
        first = pool.submit(lambda: snapshot(home, 0.01).read(slow))
        assert started.wait(300)
        began = time.monotonic()
        seen = snapshot(home, 0.01).read(manager).status("7")
        assert time.monotonic() - began < 200  # the other goes on after 300
        go_on.set()
        assert first.result(300).status("7") == JobStatus(JobState.ACTIVE, "new")
    assert seen == JobStatus(JobState.QUEUED, "old")
    assert manager.asked == 1


def test_a_process_that_dies_while_it_asks_holds_nobody_up(
    home: Path, manager: Manager, comes_true: Callable[..., None], tmp_path: Path
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from psij_parsl.jobs.snapshot import QueueSnapshot\n"
        "def ask(old):\n    open(sys.argv[2], 'w').close(); time.sleep(60)\n"
        "QueueSnapshot(Path(sys.argv[1]), 'slurm', '', 1000).read(ask)"
    )
    dying = subprocess.Popen([sys.executable, "-c", code, str(home), str(tmp_path / "mark")])
    comes_true((tmp_path / "mark").exists)
    dying.kill()
    dying.wait()
    snapshot(home).read(manager)
    assert manager.asked == 1


def test_clusters_and_platforms_have_a_snapshot_each(home: Path) -> None:
    paths = {
        QueueSnapshot(home, platform, cluster, 1).path for platform in ("slurm", "flux") for cluster in ("", "a", "b")
    }
    assert len(paths) == 6


# ---- the budget of early questions ---------------------------------------------------------------------------------


def test_early_questions_are_paid_from_a_small_budget(home: Path, manager: Manager) -> None:
    shared = snapshot(home)
    for _ in range(20):
        shared.read(manager, urgent=True)
    assert manager.asked == CAPACITY


def test_the_budget_fills_up_with_time(home: Path, manager: Manager) -> None:
    shared = snapshot(home, 10)
    for _ in range(int(CAPACITY) + 2):
        shared.read(manager, urgent=True)
    spent = manager.asked
    now = time.time()
    change(home, tokens_at=now - 25, asked=now)
    for _ in range(int(CAPACITY) + 2):
        shared.read(manager, urgent=True)
    assert manager.asked == spent + 2


def test_what_is_less_worth_is_paid_from_a_fuller_budget(home: Path, manager: Manager) -> None:
    shared = snapshot(home, 10)
    for _ in range(int(CAPACITY) + 2):
        shared.read(manager, urgent=CAPACITY / 2)
    assert manager.asked == CAPACITY / 2 + 1
    shared.read(manager, urgent=1)
    assert manager.asked == CAPACITY / 2 + 2


def test_after_early_questions_the_regular_ones_come_later(home: Path, manager: Manager) -> None:
    shared = snapshot(home, 10)
    shared.read(manager)
    now = time.time()
    change(home, asked=now - 11, tokens=1.5, tokens_at=now)
    shared.read(manager)
    assert manager.asked == 1
    change(home, asked=now - 13, tokens=1.5, tokens_at=now)
    shared.read(manager)
    assert manager.asked == 2


# ---- a manager that does not answer --------------------------------------------------------------------------------


def test_no_answer_keeps_the_rows_and_everybody_backs_off(
    home: Path, manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    manager.rows["7"] = pack(JobStatus(JobState.ACTIVE, "R"))
    snapshot(home, 10).read(manager)
    change(home, asked=time.time() - 100)
    manager.silent = True
    shared = snapshot(home, 10)
    for _ in range(5):
        assert shared.read(manager).status("7") == JobStatus(JobState.ACTIVE, "R")
        snapshot(home, 10).read(manager, urgent=True)
    assert manager.asked == 2
    view = shared.view()
    assert (view.failures, view.failure) == (1, "no answer")
    assert 7 < view.failing_until - time.time() < 13
    (said,) = (record.message for record in caplog.records)
    assert re.fullmatch(r"no answer; states stay as they were at [\d:]+, 1\d\d s ago; it is asked again later", said)


def test_pauses_grow_with_each_failure_up_to_a_limit(home: Path, manager: Manager) -> None:
    manager.silent = True
    shared = snapshot(home, 10)
    pauses = []
    for _ in range(9):
        shared.read(manager)
        view = shared.view()
        pauses.append(view.failing_until - time.time())
        change(home, failing_until=0, tokens=4)
    assert manager.asked == 9
    for pause, middle in zip(pauses, (10, 20, 40, 80, 160, 300, 300, 300, 300), strict=True):
        assert 0.74 * middle < pause < 1.26 * middle


@pytest.mark.parametrize("names", [["write_whole"], ["write_whole", "try_lock"]], ids=["full", "read-only"])
def test_where_nothing_can_be_written_a_process_asks_for_itself_and_no_more_often(
    home: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, names: list[str]
) -> None:
    manager.rows["7"] = pack(JobStatus(JobState.ACTIVE, "R"))
    shared = snapshot(home, 10)

    def cannot(*words: object, **settings: object) -> None:
        raise JournalError("cannot write it: no")

    for name in names:
        monkeypatch.setattr(snapshots, name, cannot)
    for _ in range(5):
        assert shared.read(manager).status("7") == JobStatus(JobState.ACTIVE, "R")
        assert shared.view().status("7") == JobStatus(JobState.ACTIVE, "R")
    assert manager.asked == 1
    assert [record.message for record in caplog.records] == ["cannot write it: no; what the manager says is not kept"]
    monkeypatch.undo()
    snapshot(home, 10).read(manager)
    assert shared.read(manager) == snapshot(home, 10).view()
    assert manager.asked == 2


def test_an_answer_after_failures_is_said_and_forgets_them(
    home: Path, manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    manager.silent = True
    shared = snapshot(home, 10)
    shared.read(manager)
    change(home, failing_until=0)
    manager.silent = False
    shared.read(manager)
    view = shared.view()
    assert (view.failures, view.failing_until, view.failure) == (0, 0, "")
    assert caplog.records[-1].message == "the resource manager answers again"


def test_a_fault_that_is_no_silence_is_raised_and_the_lock_is_free(home: Path, manager: Manager) -> None:
    def broken(old: View) -> View:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        snapshot(home).read(broken)
    snapshot(home).read(manager)
    assert manager.asked == 1


# ---- clocks --------------------------------------------------------------------------------------------------------


def test_a_clock_that_was_set_back_stops_nothing(home: Path, manager: Manager) -> None:
    shared = snapshot(home, 10)
    shared.read(manager)
    change(home, asked=time.time() + 7200, tokens_at=time.time() + 7200)
    for _ in range(3):
        shared.read(manager)
    assert manager.asked == 2


def test_a_clock_that_was_set_back_while_the_manager_is_silent_floods_nobody(home: Path, manager: Manager) -> None:
    shared = snapshot(home, 10)
    shared.read(manager)
    later = time.time() + 7200
    change(home, asked=later, tokens_at=later, failing_until=later + 10, failures=1)
    manager.silent = True
    for _ in range(10):
        shared.read(manager, urgent=True)
    assert manager.asked == 2


def test_a_spent_budget_of_the_future_does_not_last_until_then(home: Path, manager: Manager) -> None:
    shared = snapshot(home, 10)
    shared.read(manager)
    change(home, asked=time.time() - 60, tokens=0, tokens_at=time.time() + 7200)
    shared.read(manager)
    assert manager.asked == 2


# ---- damage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '{"rows": 3}',
        '{"missing": []}',
        '{"tokens": "x"}',
        '{"asked": null}',
        '{"novelty": 1}',
        '{"rows": {}, "failing_until": {}}',
        '{"failure": 3}',
        "\x00\x00",
    ],
)
def test_a_damaged_file_is_as_none(home: Path, manager: Manager, text: str) -> None:
    shared = snapshot(home)
    shared.read(manager)
    shared.path.write_text(text)
    assert shared.view() == View()
    assert shared.read(manager).status("count") == JobStatus(attempt=2)
    assert snapshot(home).view().rows


ROW = pack(JobStatus(JobState.ACTIVE))


@pytest.mark.parametrize("row", [None, 3, [], [3], ["x"] * 11, [99, *ROW[1:]], [*ROW[:4], "MOON", *ROW[5:]]])
def test_a_damaged_row_tells_nothing_and_spoils_no_other(home: Path, manager: Manager, row: object) -> None:
    shared = snapshot(home)
    manager.rows["7"] = pack(JobStatus(JobState.ACTIVE))
    shared.read(manager)
    rows = dict(shared.view().rows)
    change(home, rows={**rows, "8": row})
    assert shared.view().status("8") is None
    assert shared.view().status("7") == JobStatus(JobState.ACTIVE)


@pytest.mark.slow
def test_a_file_is_whole_at_every_moment(home: Path, manager: Manager) -> None:
    manager.rows = {str(number): pack(JobStatus(message="x" * 50)) for number in range(3000)}
    snapshot(home, 1e-6).read(manager)
    stop = threading.Event()
    torn: list[object] = []

    def look() -> None:
        while not stop.is_set():
            if len(snapshot(home).view().rows) != 3001:
                torn.append(1)

    watcher = threading.Thread(target=look)
    watcher.start()
    for _ in range(30):
        snapshot(home, 1e-6).read(manager)
    stop.set()
    watcher.join()
    assert manager.asked == 31
    assert not torn


def test_a_view_knows_no_more_than_its_rows() -> None:
    assert View()._replace(rows={}).status("1") is None
