"""A manager that is not like toyq: docs/how-to/odd-managers.md, whose code is the platform, and a manager that really runs jobs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import sleep

import pytest

from psij_parsl import BatchSchedulerExecutor, EndReason, Job, JobState, JobStatus
from psij_parsl.errors import InvalidRequest, Unavailable
from psij_parsl.jobs.identity import Whose, whose
from psij_parsl.jobs.record import JobRecord
from psij_parsl.platforms.queries import SchedulerRecord
from psij_parsl.testing import PlatformContract
from psij_parsl.testing.tools import PATIENCE_S, comes_true, ended, shell
from tests.oddq.manager_of import Oddq

pytestmark = pytest.mark.slow

Oddly = Callable[..., BatchSchedulerExecutor]


class TestOddq(PlatformContract):
    """As the page has it: standard input, unrelated ids, the tag in the name, any end, orders, dear history."""

    @pytest.fixture
    def executor(self, oddly: Oddly) -> BatchSchedulerExecutor:
        return oddly()


class TestOddqOfFiles(PlatformContract):
    """An executable file, arrays of a range from 1, the tag in the log's path, and nothing forgotten."""

    @pytest.fixture
    def executor(self, oddq: Oddq, oddly: Oddly) -> BatchSchedulerExecutor:
        oddq.switch(stdin=False, own_ids=False, shows=["output"], keeps_unstarted=True)
        return oddly("variants:FileScheduler", "variants:RangeTemplate")


class TestOddqOfTimes(PlatformContract):
    """No tag comes back at all: a record is known by its time of submission."""

    @pytest.fixture
    def executor(self, oddq: Oddq, oddly: Oddly) -> BatchSchedulerExecutor:
        oddq.switch(stdin=False, own_ids=False, shows=[])
        return oddly("variants:TimeScheduler", "variants:RangeTemplate")


# ---- what it is that is odd --------------------------------------------------------------------------------------


def submit_by_command(*words: str, fault: str = "") -> subprocess.CompletedProcess[str]:
    """`psij-run submit` on oddq, killed at a step of ours if one is named."""
    environ = {**os.environ, "PSIJ_PARSL_FAULT": fault}
    return subprocess.run(
        [sys.executable, "-m", "psij_parsl.cli", "submit", "--platform", "oddq", *words],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("code", [99, 100])
def test_an_exit_code_that_is_an_order_does_not_reach_the_manager(
    oddq: Oddq, oddly: Oddly, tmp_path: Path, code: int
) -> None:
    job = oddly().submit(shell(f"echo ran >>{tmp_path}/log; exit {code}"))
    status = job.wait(PATIENCE_S)
    assert (status.state, status.exit_code, status.attempt) == (JobState.FAILED, code, 0)
    comes_true(lambda: "code: 1" in oddq.do("hist"))
    assert (tmp_path / "log").read_text() == "ran\n"
    assert not oddq.jobs()


@pytest.mark.parametrize("code", [99, 100])
def test_the_managers_own_word_of_such_a_job_is_made_true_by_the_exit_file(
    oddq: Oddq, oddly: Oddly, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    executor = oddly()
    monkeypatch.setattr(type(executor.scheduler), "history_is_dear", False)
    status = executor.submit(shell(f"exit {code}")).wait(PATIENCE_S)
    assert (status.state, status.exit_code, status.reason) == (JobState.FAILED, code, None)


# A failed job that stays in the books


def test_a_job_that_could_not_start_is_failed_once_the_manager_has_dropped_it(oddq: Oddq, oddly: Oddly) -> None:
    oddq.misbehave("broken")
    job = oddly().submit(Job(command=["true"]))
    status = job.wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LAUNCH_FAILED)
    assert "can't chdir" in status.message
    assert oddq.calls("del") == [f"oddq-del {job.native_id}"]
    assert not oddq.jobs()


def test_a_drop_that_failed_is_no_end(oddq: Oddq, oddly: Oddly, tmp_path: Path) -> None:
    oddq.misbehave("broken")
    oddq.misbehave("undeletable")
    executor = oddly()
    job = executor.submit(shell(f"echo ran >>{tmp_path}/log"))
    comes_true(lambda: executor.status([job.id], urgent=True)[0].held)
    assert executor.status([job.id])[0].state is JobState.QUEUED
    assert oddq.jobs()[job.native_id]["state"] == "E"
    oddq.misbehave("broken", False)
    oddq.do("clear", job.native_id)  # an administrator has mended the node: it runs after all
    assert ended(job) is JobState.COMPLETED
    assert (tmp_path / "log").read_text() == "ran\n"


def test_an_attached_job_is_never_dropped(oddq: Oddq, oddly: Oddly, tmp_path: Path) -> None:
    oddq.misbehave("broken")
    executor = oddly()
    script = tmp_path / "theirs.sh"
    script.write_text("#!/bin/bash\nexit 0\n")
    job = executor.attach(executor.scheduler.qsub(script))
    comes_true(lambda: executor.status([job.id], urgent=True)[0].held)
    assert not oddq.calls("del")
    oddq.misbehave("broken", False)
    oddq.do("clear", job.native_id)
    assert ended(job) is JobState.COMPLETED


def test_a_strangers_failed_job_with_our_id_is_never_dropped(oddq: Oddq, oddly: Oddly, tmp_path: Path) -> None:
    executor = oddly(grace_s=1.0)
    job = executor.submit(Job(command=["true"], hold=True))
    oddq.misbehave("broken")
    script = tmp_path / "theirs.sh"
    script.write_text("#!/bin/bash\n#ODD name psij.0000000000\n")
    theirs = executor.scheduler.qsub(script)
    executor.journal.commit(executor.journal.get(job.id), theirs)
    executor.cancel([job.id])
    assert ended(job) is JobState.CANCELED  # found again under its own id, by its tag
    assert executor.journal.get(job.id).native == job.native_id
    assert oddq.jobs()[theirs]["state"] == "E"
    assert f"oddq-del {theirs}" not in oddq.calls("del")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("remembers", [False, True])
def test_killed_while_it_drops_a_job_the_next_look_completes_it(
    oddq: Oddq, oddly: Oddly, monkeypatch: pytest.MonkeyPatch, when: str, remembers: bool
) -> None:
    """Between the record and the drop, and between the drop and its news; with a history that calls it deleted."""
    oddq.switch(keeps_unstarted=remembers)
    oddq.misbehave("broken")
    real = oddq.bin / "oddq-del"
    kept = real.rename(oddq.bin / "kept-del")
    lines = ['"$0"', "kill -9 $PPID"] if when == "after" else ["kill -9 $PPID"]
    real.write_text("#!/bin/bash\n" + "\n".join(lines).replace('"$0"', f'(exec -a oddq-del {kept} "$@")') + "\n")
    kept.write_text(kept.read_text().replace("Path(sys.argv[0]).name", "'oddq-del'"))
    real.chmod(0o755)
    job_id = submit_by_command("--", "true").stdout.split()[0]
    asked = subprocess.run(
        [sys.executable, "-m", "psij_parsl.cli", "wait", job_id], capture_output=True, timeout=60, check=False
    )
    assert asked.returncode == -9
    kept.replace(real)
    executor = oddly()
    entry = executor.journal.get(job_id)
    assert entry.open
    assert entry.dropped
    assert bool(oddq.jobs()) is (when == "before")
    status = executor.submission(job_id).wait(PATIENCE_S)
    assert (status.state, status.reason) == (JobState.FAILED, EndReason.LAUNCH_FAILED)
    assert not oddq.jobs()


def test_a_held_job_is_merely_held(oddq: Oddq, oddly: Oddly) -> None:
    executor = oddly()
    job = executor.submit(Job(command=["true"], hold=True))
    assert executor.status([job.id], urgent=True)[0].held
    assert not oddq.calls("del")
    executor.release([job.id])
    assert ended(job) is JobState.COMPLETED


# Any end only


@pytest.mark.parametrize(
    ("kind", "first", "met"),
    [
        ("afterok", "exit 0", True),
        ("afterok", "exit 3", False),
        ("afternotok", "exit 3", True),
        ("afternotok", "exit 0", False),
        ("afterany", "exit 3", True),
        ("afterok", "kill -9 $$", False),
    ],
)
def test_a_dependency_is_looked_at_by_the_script(
    oddq: Oddq, oddly: Oddly, tmp_path: Path, kind: str, first: str, met: bool
) -> None:
    executor = oddly()
    before = executor.submit(shell(first, hold=True))
    after = executor.submit(shell(f"echo ran >>{tmp_path}/log", after=[f"{kind}:{before.id}"]))
    assert "after: " not in (after.folder / "script.sh").read_text()
    executor.release([before.id])
    status = after.wait(PATIENCE_S)
    if met:
        assert status.state is JobState.COMPLETED
    else:
        assert (status.state, status.reason) == (JobState.FAILED, EndReason.DEPENDENCY)
        assert status.exit_code
    assert (tmp_path / "log").exists() is met


@pytest.mark.parametrize(("name", "met"), [("{}", False), ("{}_1", False), ("{}_0", True)])
def test_a_dependency_on_an_array_or_on_one_of_its_elements(
    oddq: Oddq, oddly: Oddly, tmp_path: Path, name: str, met: bool
) -> None:
    executor = oddly()
    array = executor.submit(shell("exit $PSIJ_ARRAY_INDEX", array=(0, 1, 2), hold=True))
    after = executor.submit(Job(command=["true"], after=[name.format(array.id)]))
    waits_for = oddq.jobs()[after.native_id]["after"]
    assert len(waits_for) == (3 if name == "{}" else 1)
    assert set(waits_for) <= set(executor.journal.get(array.id).elements)
    executor.release([array.id])
    assert (ended(after) is JobState.COMPLETED) is met


def test_an_exit_file_that_never_comes_is_no_good_end(
    oddq: Oddq, oddly: Oddly, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = oddly()
    monkeypatch.setattr(type(executor.scheduler), "exit_lag_s", 1.0)
    before = executor.submit(Job(command=["true"], hold=True))
    good = executor.submit(Job(command=["true"], after=[before.id]))
    bad = executor.submit(Job(command=["true"], after=[f"afternotok:{before.id}"]))
    oddq.do("del", before.native_id)  # by somebody else: it never ran
    assert (good.wait(PATIENCE_S).reason, ended(bad)) == (EndReason.DEPENDENCY, JobState.COMPLETED)


@pytest.mark.parametrize("attached", [False, True])
def test_how_a_strangers_job_ends_cannot_be_looked_at(
    oddq: Oddq, oddly: Oddly, tmp_path: Path, attached: bool
) -> None:
    executor = oddly()
    script = tmp_path / "theirs.sh"
    go = tmp_path / "go"
    script.write_text(f"#!/bin/bash\nfor i in {{1..3000}}; do [ -e {go} ] && break; sleep 0.1; done\n")
    theirs = executor.scheduler.qsub(script)
    name = executor.attach(theirs).id if attached else theirs
    with pytest.raises(InvalidRequest, match="knows no afterok") as caught:
        executor.submit(Job(command=["true"], after=[name]))
    assert "afterany" in caught.value.hint
    go.touch()
    assert ended(executor.submit(Job(command=["true"], after=[f"afterany:{name}"]))) is JobState.COMPLETED


@pytest.mark.parametrize("kind", ["afterany", "afternotok", "after"])
def test_a_kind_of_dependency_that_the_manager_lacks_and_no_script_can_stand_for_is_refused(
    oddq: Oddq, oddly: Oddly, tmp_path: Path, kind: str
) -> None:
    executor = oddly("variants:OnlyWellScheduler")
    first = executor.submit(Job(command=["true"], hold=True))
    script = tmp_path / "theirs.sh"
    script.write_text("#!/bin/bash\n")
    for name in (first.id, executor.scheduler.qsub(script)):
        with pytest.raises(InvalidRequest, match=f"knows no {kind}, only afterok") as caught:
            executor.submit(Job(command=["true"], after=[f"{kind}:{name}"]))
        assert "psij-run wait" in caught.value.hint
    first.cancel()
    ended(first)


# Submission


def test_the_script_goes_in_by_standard_input_and_messages_name_the_command(oddq: Oddq, oddly: Oddly) -> None:
    executor = oddly()
    job = executor.submit(Job(command=["true"]))
    assert oddq.calls("sub") == ["oddq-sub"]
    assert not oddq.calls("stat")  # the answer says nothing but the id, so that it needs no proof
    assert executor.journal.get(job.id).sure
    (oddq.bin / "oddq-sub").unlink()
    with pytest.raises(Unavailable, match="'oddq-sub' is not on PATH"):
        executor.submit(Job(command=["true"]))


def test_the_script_is_executable_where_the_manager_wants_it(oddq: Oddq, oddly: Oddly) -> None:
    oddq.switch(stdin=False, own_ids=False, shows=["output"])
    job = oddly("variants:FileScheduler", "variants:RangeTemplate").submit(Job(command=["true"]))
    assert oddq.calls("sub") == [f"oddq-sub {job.folder}/script.sh"]
    assert (job.folder / "script.sh").stat().st_mode & 0o777 == 0o700


# Arrays whose elements have ids of their own


def test_elements_are_known_by_their_own_ids(oddq: Oddq, oddly: Oddly) -> None:
    executor = oddly()
    array = executor.submit(shell("sleep 600", array=(2, 5, 9), hold=True))
    elements = executor.journal.get(array.id).elements
    assert sorted(oddq.jobs()) == sorted(elements)
    assert len(set(elements)) == 3
    assert array.native_id == elements[0]
    assert [executor.submission(f"{array.id}_{index}").native_id for index in (2, 5, 9)] == list(elements)
    assert executor.submission(elements[1]).id == f"{array.id}_5"
    assert [each.id for each in executor.list()] == [array.id]
    executor.release([f"{array.id}_5"])
    comes_true(lambda: oddq.jobs()[elements[1]]["state"] == "R")
    comes_true(lambda: executor.status([f"{array.id}_5"], urgent=True)[0].state is JobState.ACTIVE)
    assert executor.status([f"{array.id}_2"])[0].held
    assert executor.cancel([f"{array.id}_5"]) == [True]
    assert ended(executor.submission(f"{array.id}_5")) is JobState.CANCELED
    assert sorted(oddq.jobs()) == sorted({*elements} - {elements[1]})
    assert executor.cancel([array.id]) == [True]
    assert ended(array) is JobState.CANCELED
    assert not oddq.jobs()
    assert oddq.calls("del") == [
        f"oddq-del {elements[1]}",
        f"oddq-del {' '.join(sorted((elements[0], elements[2])))}",
    ]


@pytest.mark.parametrize("fault", ["intended", "submitted", "committed"])
def test_an_array_that_was_cut_short_is_found_by_its_tags(
    oddq: Oddq, oddly: Oddly, tmp_path: Path, fault: str
) -> None:
    done = submit_by_command(
        "--array", "3,5,6", "--hold", "--", "bash", "-c", f"echo $PSIJ_ARRAY_INDEX >>{tmp_path}/log", fault=fault
    )
    assert done.returncode == -9
    executor = oddly(settle_s=0.0)
    entry = next(iter(executor.journal.entries().values()))
    if fault == "intended":
        comes_true(lambda: executor.status([entry.id], urgent=True)[0].final)
        assert not oddq.jobs()
        return
    comes_true(lambda: executor.status([entry.id], urgent=True)[0].held)
    found = executor.journal.get(entry.id)
    placed = sorted(oddq.jobs().values(), key=lambda job: int(job["task"]))
    assert list(found.elements) == [job["id"] for job in placed]
    assert found.native == placed[0]["array"]
    executor.release([entry.id])
    assert ended(executor.submission(entry.id)) is JobState.COMPLETED
    assert sorted((tmp_path / "log").read_text().split()) == ["3", "5", "6"]


def test_elements_that_ended_before_the_array_was_found_are_known_by_their_claims(
    oddq: Oddq, oddly: Oddly, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    text = f"[ $PSIJ_ARRAY_INDEX != 1 ] || until [ -e {go} ]; do sleep 0.1; done; exit $PSIJ_ARRAY_INDEX"
    done = submit_by_command("--array", "0-3", "--", "bash", "-c", text, fault="submitted")
    assert done.returncode == -9
    comes_true(lambda: [job["task"] for job in oddq.jobs().values()] == ["2"])
    executor = oddly()
    entry = next(iter(executor.journal.entries().values()))
    comes_true(
        lambda: (
            all(executor.journal.get(entry.id).elements or [""]) or executor.status([entry.id], urgent=True)[0].final
        )
    )
    go.touch()
    assert ended(executor.submission(entry.id)) is JobState.FAILED
    codes = [executor.submission(f"{entry.id}_{index}").status().exit_code for index in range(4)]
    assert codes == [0, 1, 2, 3]


def test_a_second_copy_of_an_array_is_cancelled_by_the_ids_of_its_elements(oddq: Oddq, oddly: Oddly) -> None:
    executor = oddly()
    array = executor.submit(shell("exit 0", array=range(3), hold=True))
    mine = set(executor.journal.get(array.id).elements)
    executor.scheduler.qsub(array.folder / "script.sh")
    assert len(oddq.jobs()) == 6
    comes_true(lambda: executor.status([array.id], urgent=True) and executor.journal.get(array.id).twins)
    assert set(oddq.jobs()) == mine
    executor.release([array.id])
    assert ended(array) is JobState.COMPLETED


def test_of_two_copies_of_an_array_one_runs_whole(oddq: Oddq, oddly: Oddly, tmp_path: Path) -> None:
    """All elements agree on who has the claim at the root."""
    executor = oddly()
    array = executor.submit(shell(f"echo $PSIJ_ARRAY_INDEX >>{tmp_path}/log", array=range(4), hold=True))
    text = (array.folder / "script.sh").read_text().replace("#ODD hold yes\n", "")
    (tmp_path / "again.sh").write_text(text)
    again = executor.scheduler.qsub(tmp_path / "again.sh")
    comes_true(lambda: len(oddq.jobs()) == 4)  # the copy is over, and nothing shows it any more
    executor.release([array.id])
    assert ended(array) is JobState.COMPLETED
    assert sorted((tmp_path / "log").read_text().split()) == ["0", "1", "2", "3"]
    found = executor.journal.get(array.id)
    assert (found.native, found.twins) == (again, (array.native_id,))
    assert not oddq.jobs()


def test_of_two_copies_the_one_that_ran_is_the_job(oddq: Oddq, oddly: Oddly, tmp_path: Path) -> None:
    executor = oddly()
    job = executor.submit(shell(f"echo $PSIJ_NATIVE_ID >>{tmp_path}/log; exit 7", hold=True))
    (tmp_path / "again.sh").write_text((job.folder / "script.sh").read_text().replace("#ODD hold yes\n", ""))
    again = executor.scheduler.qsub(tmp_path / "again.sh")
    comes_true(lambda: list(oddq.jobs()) == [job.native_id])
    executor.release([job.id])
    assert job.wait(PATIENCE_S).exit_code == 7
    assert (tmp_path / "log").read_text().split() == [again]
    assert executor.journal.get(job.id).native == again


# Whose it is


@pytest.mark.parametrize("shows", ["output", ""])
def test_a_job_that_was_cut_short_runs_once_whatever_comes_back_of_its_tag(
    oddq: Oddq, oddly: Oddly, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shows: str
) -> None:
    """By the log's path it is found again. With nothing but a time it is not, but may not run when it was given up."""
    oddq.switch(stdin=False, own_ids=False, shows=[shows] if shows else [])
    executor = oddly(
        f"variants:{'File' if shows else 'Time'}Scheduler", "variants:RangeTemplate", settle_s=0.5, patience_s=20.0
    )
    real = (oddq.bin / "oddq-sub").rename(oddq.bin / "kept-sub")
    real.write_text(real.read_text().replace("Path(sys.argv[0]).name", "'oddq-sub'"))
    (oddq.bin / "oddq-sub").write_text(f'#!/bin/bash\n"{real}" "$@" >/dev/null\n')  # takes it, and prints nothing
    (oddq.bin / "oddq-sub").chmod(0o755)
    if not shows:  # should it be sent again, then it answers
        (oddq.bin / "oddq-sub").write_text(
            f'#!/bin/bash\n[ ! -e {tmp_path}/once ] || exec "{real}" "$@"\n>{tmp_path}/once\n"{real}" "$@" >/dev/null\n'
        )
    job = executor.submit(shell(f"sleep 1; echo ran >>{tmp_path}/log"))
    assert ended(job) is JobState.COMPLETED
    comes_true(lambda: not oddq.jobs())
    assert (tmp_path / "log").read_text() == "ran\n"
    assert len(oddq.calls("sub")) <= (1 if shows else 2)


def test_a_stranger_is_told_by_the_time_of_its_submission(oddq: Oddq, oddly: Oddly, tmp_path: Path) -> None:
    oddq.switch(stdin=False, own_ids=False, shows=[])
    executor = oddly("variants:TimeScheduler", "variants:RangeTemplate", grace_s=1.0)
    job = executor.submit(Job(command=["true"], hold=True))
    executor.status([job.id], urgent=True)
    script = tmp_path / "theirs.sh"
    script.write_text("#!/bin/bash\n#ODD hold yes\n")
    script.chmod(0o700)
    sleep(2.0)  # its times are whole seconds
    theirs = executor.scheduler.qsub(script)
    executor.journal.commit(executor.journal.get(job.id), theirs)
    comes_true(lambda: executor.status([job.id], urgent=True)[0].final)
    assert executor.status([job.id])[0].reason is EndReason.LOST
    assert not executor.cancel([job.id])[0]
    assert oddq.jobs()[theirs]["state"] == "H"


# What it remembers


def test_dear_history_is_asked_only_for_what_left_no_exit_file_or_was_killed(oddq: Oddq, oddly: Oddly) -> None:
    executor = oddly()
    jobs = [executor.submit(shell(f"exit {code}")) for code in (0, 3, 77)]
    assert [job.wait(PATIENCE_S).exit_code for job in jobs] == [0, 3, 77]
    assert not oddq.calls("hist")
    job = executor.submit(shell("kill -9 $PPID $(ps -o ppid= -p $PPID)"))  # its script too: no exit file
    assert ended(job) is JobState.FAILED
    assert oddq.calls("hist")


def test_a_wall_time_is_told_although_the_script_left_an_exit_file(oddq: Oddq, oddly: Oddly) -> None:
    executor = oddly()
    job = executor.submit(shell("sleep 600", hold=True))
    state = json.loads((oddq.home / "state.json").read_text())
    state["jobs"][job.native_id]["time"] = 1
    (oddq.home / "state.json").write_text(json.dumps(state))
    executor.release([job.id])
    assert job.wait(PATIENCE_S).reason is EndReason.TIMEOUT
    assert (job.folder / "exit").exists()


@pytest.mark.parametrize("witness", [True, False])
def test_a_job_that_somebody_deleted_before_it_started_needs_a_witness(
    oddq: Oddq, oddly: Oddly, witness: bool
) -> None:
    executor = oddly(grace_s=1.0)
    first = executor.submit(Job(command=["true"], hold=True))
    second = executor.submit(Job(command=["true"], hold=True))
    gone, stays = (second, first) if witness else (first, second)
    executor.status([gone.id], urgent=True)
    sleep(1.1)  # its times are whole seconds
    if not witness:
        stays.cancel()
        ended(stays)
    oddq.do("del", gone.native_id)
    status = gone.wait(PATIENCE_S)
    assert (status.state, status.reason) == (
        (JobState.CANCELED, None) if witness else (JobState.FAILED, EndReason.LOST)
    )
    assert "started" in status.message


@pytest.mark.parametrize(("tagged", "found"), [(True, Whose.STRANGER), (False, Whose.KNOWN)])
def test_without_a_time_a_record_without_a_tag_is_ours_only_where_no_record_has_one(
    oddly: Oddly, tagged: bool, found: Whose
) -> None:
    entry = JobRecord("0123456789", "oddq", "/spool/0123456789", native="7", intended=100.0, committed=101.0)
    record = SchedulerRecord("7", JobStatus(JobState.ACTIVE))
    assert whose(oddly().scheduler, entry, record, tagged=tagged) is found
    assert whose(oddly().scheduler, replace(entry, attached=True), record, tagged=tagged) is Whose.KNOWN
