"""Whose record it is, rule by rule, and what becomes of a job whose id another one has by now."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from psij_parsl.jobs.identity import Whose, bearers_of, whose
from psij_parsl.jobs.record import JobRecord
from psij_parsl.jobs.snapshot import View
from psij_parsl.platforms.queries import SchedulerRecord
from psij_parsl.platforms.scheduler import Scheduler
from psij_parsl.states import JobState, JobStatus
from psij_parsl.system.job_names import cluster_in
from tests.platforms.test_scheduler import Stand

OURS, OTHER = "7qp3kx2abc", "7qp3kx2abd"
INTENT = 1_790_000_000.0
ENTRY = JobRecord(OURS, "slurm", f"/spool/{OURS}", native="7", intended=INTENT, committed=INTENT + 1)
RUNNING = JobStatus(JobState.ACTIVE, "RUNNING")
LOG = f"/spool/{OURS}/manager.log"


class Dotted(Stand):
    """A manager that takes no colon in what it gives back."""

    tag_form = "psij.{}.job"


def judged(
    record: SchedulerRecord, entry: JobRecord = ENTRY, scheduler: Scheduler | None = None, **known: float
) -> Whose:
    return whose(scheduler or Stand(), entry, record, **known)  # type: ignore[arg-type]


CASES = {
    "our tag": (SchedulerRecord("7", RUNNING, f"psij:{OURS}"), Whose.TAGGED),
    "our tag, whatever the time": (SchedulerRecord("7", RUNNING, f"psij:{OURS}", INTENT - 1e6), Whose.TAGGED),
    "another tag of ours": (SchedulerRecord("7", RUNNING, f"psij:{OTHER}", INTENT), Whose.STRANGER),
    "our folder in the path of the log": (SchedulerRecord("7", RUNNING, "changed by hand", None, LOG), Whose.TAGGED),
    "our folder on another mount": (SchedulerRecord("7", RUNNING, "", None, f"head:/gpfs{LOG}.3"), Whose.TAGGED),
    "another folder of ours": (
        SchedulerRecord("7", RUNNING, "", INTENT, f"/spool/{OTHER}/manager.log"),
        Whose.STRANGER,
    ),
    "our tag in the comment, another path": (
        SchedulerRecord("7", RUNNING, f"psij:{OURS}", None, "/home/x/out"),
        Whose.TAGGED,
    ),
    "another tag in the comment, our path": (SchedulerRecord("7", RUNNING, f"psij:{OTHER}", None, LOG), Whose.TAGGED),
    "no tag, submitted when ours was": (SchedulerRecord("7", RUNNING, "", INTENT + 0.5), Whose.KNOWN),
    "no tag, nine minutes off": (SchedulerRecord("7", RUNNING, "", INTENT - 540), Whose.KNOWN),
    "no tag, eleven minutes before": (SchedulerRecord("7", RUNNING, "", INTENT - 660), Whose.STRANGER),
    "no tag, eleven minutes after": (SchedulerRecord("7", RUNNING, "", INTENT + 662), Whose.STRANGER),
    "no tag, in time, but its log goes elsewhere": (
        SchedulerRecord("7", RUNNING, "", INTENT + 0.5, "/home/x/slurm-7.out"),
        Whose.STRANGER,
    ),
    "no tag, in time, no log at all": (SchedulerRecord("7", RUNNING, "", INTENT + 0.5, "/dev/null"), Whose.STRANGER),
    "a comment of the site": (SchedulerRecord("7", RUNNING, "project=chem", INTENT + 0.5), Whose.KNOWN),
    "what looks like a tag and is none": (SchedulerRecord("7", RUNNING, "psij:thesis", INTENT + 0.5), Whose.KNOWN),
    "a manager that tells neither tag nor time": (SchedulerRecord("7", RUNNING), Whose.KNOWN),
}


@pytest.mark.parametrize("name", CASES)
def test_before_it_was_adopted(name: str) -> None:
    record, expected = CASES[name]
    assert judged(record) is expected


ADOPTED = replace(ENTRY, born=INTENT + 2)


@pytest.mark.parametrize(
    ("submitted", "attempt", "expected"),
    [
        (INTENT + 2, 0, Whose.KNOWN),
        (INTENT + 3, 0, Whose.KNOWN),  # rounded
        (INTENT + 9, 0, Whose.STRANGER),  # within ten minutes, and yet another job's
        (INTENT - 9, 1, Whose.STRANGER),
        (INTENT + 900, 1, Whose.KNOWN),  # a requeue may move it
    ],
)
def test_once_it_was_adopted_its_time_of_submission_decides(submitted: float, attempt: int, expected: Whose) -> None:
    assert judged(SchedulerRecord("7", replace(RUNNING, attempt=attempt), "", submitted), ADOPTED) is expected
    assert judged(SchedulerRecord("7", RUNNING, "", submitted), ADOPTED, attempt=attempt, past=True) is expected


def test_a_record_that_was_started_less_often_than_ours_is_anothers_unless_it_is_from_history() -> None:
    later = SchedulerRecord("7", RUNNING, "", INTENT + 900)
    assert judged(later, ADOPTED, attempt=1) is Whose.STRANGER
    assert judged(later, ADOPTED, attempt=1, past=True) is Whose.KNOWN
    assert judged(later._replace(foreign=True), ADOPTED, attempt=1, past=True) is Whose.STRANGER


def test_a_later_start_whose_log_goes_elsewhere_is_anothers_unless_it_was_attached() -> None:
    again = SchedulerRecord("7", replace(RUNNING, attempt=2), "", INTENT + 900, "/home/x/slurm-7.out")
    assert judged(again, ADOPTED, attempt=1) is Whose.STRANGER
    assert judged(again, replace(ADOPTED, attached=True), attempt=1) is Whose.KNOWN


def test_the_managers_clock_may_be_another() -> None:
    late = SchedulerRecord("7", RUNNING, "", INTENT + 3000)
    assert judged(late) is Whose.STRANGER
    assert judged(late, clock=3000.0) is Whose.KNOWN


def test_in_the_hour_that_is_told_twice_a_time_may_mean_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        told = time.mktime((2026, 10, 25, 2, 30, 0, 0, 0, -1))
        for meant in (told - 3600, told, told + 3600):
            entry = replace(ENTRY, intended=meant, committed=meant + 1)
            twice = time.localtime(meant)[:6] == time.localtime(told)[:6]
            assert judged(SchedulerRecord("7", RUNNING, "", told), entry) is (
                Whose.KNOWN if twice else Whose.STRANGER
            )
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("place", [f"/spool/a b/{OURS}", f"/spool\\x/{OURS}", f"/spool/ü/{OURS}"])
def test_a_job_whose_folder_no_directive_can_carry_has_no_log(place: str) -> None:
    record = SchedulerRecord("7", RUNNING, "", INTENT + 0.5, "/dev/null")
    assert judged(record, replace(ENTRY, place=place)) is Whose.KNOWN


def test_where_our_tags_are_given_back_a_record_without_one_is_not_ours() -> None:
    assert whose(Stand(), ENTRY, SchedulerRecord("7", RUNNING, "", INTENT + 0.5), tagged=True) is Whose.STRANGER


def test_a_job_of_another_cluster_is_a_stranger_whatever_it_bears() -> None:
    entry = replace(ENTRY, cluster="SLURM_CONF=/etc/a|cluster=two")
    assert judged(SchedulerRecord("7", RUNNING, f"psij:{OURS}", cluster="two"), entry) is Whose.TAGGED
    assert judged(SchedulerRecord("7", RUNNING, f"psij:{OURS}", cluster="one"), entry) is Whose.STRANGER


def test_an_attached_job_is_known_by_its_time_alone() -> None:
    entry = replace(ENTRY, attached=True, born=INTENT - 1e5)
    assert judged(SchedulerRecord("7", RUNNING, "", INTENT - 1e5), entry) is Whose.KNOWN
    assert judged(SchedulerRecord("7", RUNNING, "", INTENT), entry) is Whose.STRANGER


@pytest.mark.parametrize(
    ("key", "name"),
    [("", ""), ("cluster=two", "two"), ("SLURM_CONF=/a|cluster=two", "two"), ("SLURM_CONF=/cluster=x", "")],
)
def test_the_name_of_a_cluster_is_read_from_its_key(key: str, name: str) -> None:
    assert cluster_in(key) == name


def test_a_tag_has_the_form_that_the_manager_takes() -> None:
    assert Dotted().tag(OURS) == f"psij.{OURS}.job"
    assert bearers_of(Dotted(), SchedulerRecord("7", RUNNING, f"psij.{OURS}.job")) == {OURS}
    assert bearers_of(Dotted(), SchedulerRecord("7", RUNNING, f"psij:{OURS}")) == set()
    for odd in ("", "psij.", "psij..job", "psij.job", f"psij.{OURS}", f"x.{OURS}.job"):
        assert bearers_of(Dotted(), SchedulerRecord("7", RUNNING, odd)) == set()


def test_what_is_proved_is_proved_as_of_the_answer_that_showed_it() -> None:
    view = View(asked=100.0, rows={"1": [], "2": []}, unproved={"2": 40.0})
    assert (view.proved("1"), view.proved("2"), view.proved("3")) == (100.0, 40.0, 0.0)


def test_the_folder_of_a_job_is_never_looked_at_for_it(tmp_path: Path) -> None:
    """A claim agrees with any job of that id: it is no proof."""
    (tmp_path / "claim").symlink_to("7")
    entry = replace(ENTRY, place=str(tmp_path))
    assert judged(SchedulerRecord("7", RUNNING, "", INTENT + 5000), entry) is Whose.STRANGER
