"""What Slurm 24.11 and 26.05 print otherwise than 22.05, recorded from real ones. Expectations come from the jobs' names."""

from __future__ import annotations

from pathlib import Path

import pytest

from psij_parsl.platforms.queries import SchedulerRecord
from psij_parsl.providers.slurm.records import exit_status, read_sacct, read_scontrol, read_squeue, status
from psij_parsl.providers.slurm.scheduler import SlurmScheduler
from psij_parsl.states import JobState
from psij_parsl.system.commands import Output

VERSIONS = ("24.11", "26.05")
C, F, Q, A, X = JobState.COMPLETED, JobState.FAILED, JobState.QUEUED, JobState.ACTIVE, JobState.CANCELED
ENDS = {
    "psij:ok": (C, 0, None),
    "psij:env": (C, 0, None),
    "psij:cpus": (C, 0, None),
    "psij:tres": (C, 0, None),
    "psij:badchdir": (C, 0, None),
    "psij:badout": (C, 0, None),  # since 23.02 it makes the directories
    "psij:exit3": (F, 3, None),
    "psij:sig9": (F, None, 9),
    "psij:sig11": (F, None, 11),
    "psij:exit137": (F, 137, None),
}
GOING = {"psij:held": (Q, None, None), "psij:long": (A, None, None), "psij:wall": (A, None, None)}


SUBMITTED = "2026-11-26T04:02:57"


def printed(version: str, name: str) -> str:
    text = (Path(__file__).parents[2] / "recorded" / f"slurm-{version}" / f"{name}.txt").read_text()
    return text.partition("#--stdout--\n")[2].partition("#--stderr--\n")[0]


def squeue(version: str, name: str = "squeue-ours") -> list[str]:
    """Recorded lines of squeue, with the columns that we have added since."""
    lines = [line.split("|") for line in printed(version, name).splitlines()]
    return ["|".join([*line[:4], SUBMITTED, *line[4:8], "/home/alice/out", line[8]]) for line in lines]


def sacct(version: str) -> list[str]:
    """Likewise of sacct."""
    lines = [line.split("|") for line in printed(version, "sacct-ours").splitlines()]
    return ["|".join([*line[:3], SUBMITTED, *line[3:]]) for line in lines]


def told(records: list[SchedulerRecord | None]) -> dict[str, tuple[JobState, int | None, int | None]]:
    return {
        record.tag: (record.status.state, record.status.exit_code, record.status.signal)
        for record in records
        if record is not None and record.tag and record.tag != "psij:array"
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_squeue_tells_how_each_job_is(version: str) -> None:
    records = [read_squeue(line) for line in squeue(version)]
    assert told(records) == ENDS | GOING
    ours = [record for record in records if record is not None and record.tag]
    assert [record.status.message for record in ours if record.status.final] == [""] * (len(ours) - len(GOING))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_job_cancelled_while_it_ran_is_told_so(version: str) -> None:
    records = [read_squeue(line) for line in squeue(version, "squeue-after-cancel")]
    assert told(records)["psij:long"] == (X, None, None)


@pytest.mark.parametrize("version", VERSIONS)
def test_accounting_tells_how_each_job_ended(version: str) -> None:
    records = [read_sacct(line) for line in sacct(version)]
    folded = {"psij:exit137": (F, 9, None)} if version == "24.11" else {}  # 25.11 subtracts nothing any more
    assert told(records) == ENDS | folded


@pytest.mark.parametrize("version", VERSIONS)
def test_scontrol_tells_how_each_job_is(version: str) -> None:
    records = [read_scontrol(line) for line in printed(version, "scontrol-show-job").splitlines()]
    assert told(records) == ENDS | GOING
    assert all(record.status.message == "" for record in records if record is not None and record.tag in ENDS)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_array_is_told_element_by_element(version: str) -> None:
    answers = (
        [read_squeue(line) for line in squeue(version)],
        [read_sacct(line) for line in sacct(version)],
        [read_scontrol(line) for line in printed(version, "scontrol-show-job").splitlines()],
    )
    for records in answers:
        found = {r.id: r.status.exit_code for r in records if r is not None and r.tag == "psij:array"}
        assert found == {"10_0": 0, "10_1": 1, "10_2": 0, "10_3": 1}


def test_a_refused_submission_leaves_a_record_that_harms_no_other() -> None:
    """sbatch --mem=900G: refused, and 24.11 keeps it as FAILED 0:1, without tag, node or start."""
    lines = squeue("24.11")
    record = read_squeue(next(line for line in lines if line.startswith("15|")))
    assert record is not None
    assert (record.status.state, record.tag, record.status.nodes) == (F, "", "")
    past = read_sacct(next(line for line in sacct("24.11") if line.startswith("15|")))
    assert past is not None
    assert (past.status.state, past.status.nodes) == (F, "")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("768", (3, 0)),
        ("9", (0, 9)),
        ("0", (0, 0)),
        ("3:0", (3, 0)),
        ("0:9", (0, 9)),
        ("137:0", (137, 0)),
        ("9:0", (9, 0)),
        ("", (None, 0)),
        (" ", (None, 0)),
        ("N/A", (None, 0)),
        ("3:", (None, 0)),
        (":9", (None, 0)),
        ("-1", (None, 0)),
        ("x:y", (None, 0)),
    ],
)
def test_every_form_of_an_exit_status_is_read(text: str, meant: tuple[int | None, int]) -> None:
    assert exit_status(text) == meant


@pytest.mark.parametrize("code", ["3:0", "0:9", "", "garbage"])
def test_whatever_stands_for_the_exit_status_the_state_is_known(code: str) -> None:
    record = read_squeue(f"7|RUNNING|{code}|0|{SUBMITTED}|2026-11-26T04:02:58|N/A|node01|psij:x|/dev/null|None")
    assert record is not None
    assert (record.id, record.status.state) == ("7", A)


@pytest.mark.parametrize(
    "reason", ["RaisedSignal:9(Killed)", "RaisedSignal:11(Segmentation fault)", "RaisedSignal:11(Segmentation_fault)"]
)
def test_a_signal_is_told_once(reason: str) -> None:
    found = status("FAILED", 0, int("".join(filter(str.isdigit, reason))), "n1", reason, 0, "", "")
    assert found.describe().count("signal") == 1
    assert "Raised" not in found.describe()


def test_no_comment_is_no_tag() -> None:
    line = (
        "JobId=7 JobName=x JobState=RUNNING Reason=None ExitCode=0:0 StartTime=Unknown NodeList=(null) Comment=(null)"
    )
    record = read_scontrol(line)
    assert record is not None
    assert (record.tag, record.status.nodes) == ("", "")


def test_an_id_is_read_from_what_sbatch_of_any_version_prints() -> None:
    done = Output(("sbatch",), 0, "sbatch: warning\n14;one\n", "")
    assert SlurmScheduler().job_id(done.stdout) == "14;one"
